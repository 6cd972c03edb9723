"""
The nfs driver, with the kernel's own NFS client and server: in a guest with Debian's kernel, because
the kernel that tests run on need not have either. qemu emulates the processor, so it is slow.
"""

import os
import pathlib
import re
import subprocess
import tarfile

import pytest

from hub import BUILD, PROGRAMS

GUEST = pathlib.Path(__file__).resolve().parent / "guest"
PLACE = pathlib.Path(__file__).resolve().parents[2] / "build-guest"
BOOT_AND_RUN_S = int(os.environ.get("DORM_TRIAL_GUEST_SECONDS", "1200"))


def make_guest():
    """The disk and the kernel: made once, which takes minutes and the network."""
    done = subprocess.run(["nice", "-n", "19", GUEST / "build", PLACE], capture_output=True, text=True)
    if done.returncode != 0:
        log = PLACE / "build.log"
        last = log.read_text(errors="replace")[-1500:] if log.exists() else ""
        pytest.skip(f"the guest could not be made: {done.stderr[-500:]}{last}")


def pack(script, to, more=()):
    """What the guest finds on its second disk: the programs, and what to do."""
    with tarfile.open(to, "w") as tar:
        for name, path in PROGRAMS.items():
            tar.add((BUILD / path).resolve(), name)
        tar.add(GUEST / script, "run")
        for path in more:
            tar.add(path, path.name)


def boot(script, tmp_path, more=(), init="init=/init-trial"):
    """Run the script in the guest; what it wrote on its console."""
    pack(script, tmp_path / "trial.tar", more)
    command = [
        "nice", "-n", "19", "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
        "-m", "2048", "-nographic", "-monitor", "none", "-nic", "none", "-no-reboot",
        "-kernel", PLACE / "vmlinuz", "-initrd", PLACE / "initrd",
        "-append", f"console=ttyS0 quiet root=/dev/vda rw {init} panic=-1 mitigations=off",
        "-drive", f"file={PLACE}/root.img,format=raw,if=virtio,snapshot=on,cache=unsafe",
        "-drive", f"file={tmp_path}/trial.tar,format=raw,if=virtio,readonly=on",
    ]
    with open(tmp_path / "console", "wb") as console:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT)
        try:
            process.wait(timeout=BOOT_AND_RUN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return (tmp_path / "console").read_text(errors="replace").replace("\r", "")


@pytest.mark.trial("G3-19")
@pytest.mark.needs("qemu-system-x86_64", "qemu-system-x86")
@pytest.mark.needs("debootstrap", "debootstrap")
def test_nfs_guest(trial, tmp_path):
    make_guest()
    said = boot("nfs", tmp_path)
    print(said)
    good = re.findall(r"(?m)^check: ok (.*)$", said)
    bad = re.findall(r"(?m)^check: FAIL (.*)$", said)
    up = re.search(r"guest: up after ([\d.]+) s", said)
    trial.figure(len(good), f"promises kept on a real export, of {len(good) + len(bad)}")
    if up:
        trial.figure(float(up.group(1)), "s until the guest was up")
    assert not bad, "\n".join(bad)
    assert re.search(r"(?m)^guest: end 0$", said), "the guest did not come to its end"
