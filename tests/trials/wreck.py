"""The end of a machine, as far as one hub is concerned: every process gone, every mount, no word said."""

import contextlib
import os
import pathlib
import shutil
import signal

from disks import unmount_below
from hub import loops, processes_of, wait_until


CLAIMS = pathlib.Path("/var/lib/dormouse-hubs")


def programs_of(hub):
    """dormd, its gate and their children: whoever was started with this hub's state."""
    mark = f"DORM_STATE={hub.state}".encode()
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def kill_all(hub):
    """kill -9 for every process of the hub and of its users."""
    def none_left():
        pids = set(programs_of(hub)) | {pid for pid, _, _ in processes_of(hub.uids)}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    if hub.process is not None and hub.process.poll() is None:
        hub.kill()  # first: it would start others again
    wait_until(none_left, "every process of the hub has ended")


def remove_groups(hub):
    for top in hub.groups():
        for path, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)


def wreck(hub):
    """Nothing of the hub runs or is mounted any more; what is on its disk is as it is."""
    kill_all(hub)
    run = hub.run
    if run is None:
        with contextlib.suppress(OSError):
            run = hub.run_dir
    unmount_below(*[p for p in (run, hub.dir, hub.state) if p])
    remove_groups(hub)
    forget_uids(hub)
    if run:
        shutil.rmtree(run, ignore_errors=True)
    wait_until(lambda: not [l for l in loops() if str(hub.dir) in l], "the hub's loop devices are free")


def forget_uids(hub):
    """The claim to its uids lies outside of its state: on the disk that lost power it would be as old."""
    for claim in CLAIMS.glob("*"):
        if claim.read_text().rstrip("\n").endswith(f" {hub.state}"):
            claim.unlink()
    with contextlib.suppress(OSError):
        CLAIMS.rmdir()


def bury(hub):
    """A hub that was wrecked goes for good."""
    forget_uids(hub)
    shutil.rmtree(hub.dir, ignore_errors=True)
