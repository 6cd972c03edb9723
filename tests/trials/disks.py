"""
Disks that do what disks do at their worst, made of a file, FUSE and a loop device.

The loop device turns a file system's flushes into fsync on the FUSE file, so what lies behind it
sees exactly what a real disk would be told.
"""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import signal
import subprocess
import tempfile

from hub import loops, mounts_below, wait_until

FICLONE = 0x40049409
MKFS = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1", "-s", "size=4096"],
}


def run(*words, ok=(0,)):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode in ok, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def die_with_parent():
    """PR_SET_PDEATHSIG: a test run that is killed must not leave its disks behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def reflink(source, target):
    with open(source, "rb") as a, open(target, "wb") as b:
        fcntl.ioctl(b, FICLONE, a.fileno())


def loop_of(path):
    """A loop device on the file. Without direct I/O: on a FUSE file it was seen mixing up pages."""
    return run("losetup", "-f", "--show", "--direct-io=off", path).strip()


def unloop(device):
    run("losetup", "-d", device, ok=(0, 1))
    wait_until(lambda: not [l for l in loops() if l.split()[0] == device], f"{device} is free")


def unmount_below(*paths):
    """Every mount at or below the paths, the innermost first."""
    for point in reversed(mounts_below(*[str(p) for p in paths])):
        wait_until(lambda: subprocess.run(["umount", point], capture_output=True).returncode == 0
                   or point not in mounts_below(point), f"{point} is unmounted")


class Disk:
    """A block device with a file system, mounted at .mnt; with-statement or close() takes it away."""

    def __init__(self, size, fs, under=None):
        self.fs, self.size = fs, size
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="dorm-trial-", dir=under))
        self.dir.chmod(0o711)
        self.mnt = self.dir / "mnt"
        self.mnt.mkdir()
        self.raw = self.dir / "raw"
        with open(self.raw, "wb") as f:
            f.truncate(size)
        self.stack = contextlib.ExitStack()
        self.processes = []
        try:
            self.device = loop_of(self.expose())
            self.stack.callback(unloop, self.device)
            run(*MKFS[fs], self.device)
            self.mount()
        except BaseException:
            self.close()
            raise

    def expose(self):
        """The path of the file that the loop device is put on."""
        return self.raw

    def spawn(self, words, there):
        log = open(self.dir / f"{pathlib.Path(words[0]).name}.log", "ab")
        process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   preexec_fn=die_with_parent)
        log.close()
        self.processes.append(process)
        self.stack.callback(self.end, process)

        def is_there():
            assert process.poll() is None, pathlib.Path(log.name).read_text()
            return there()

        wait_until(is_there, f"{words[0]} serves")
        return process

    @staticmethod
    def end(process):
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def fuse_file(self):
        """The file that FUSE puts its disk over."""
        path = self.dir / "vdisk"
        path.touch()
        self.stack.callback(run, "umount", "-l", path, ok=(0, 1, 32))
        return path

    def serves(self, path):
        with contextlib.suppress(OSError):
            return os.stat(path).st_size == self.size
        return False

    def mount(self):
        run("mount", "-t", self.fs, "-o", "noatime", self.device, self.mnt)

    def unmount(self):
        unmount_below(self.mnt)

    def check(self):
        """What an operator does before it is used again after errors."""
        if self.fs == "ext4":
            run("e2fsck", "-fy", self.device, ok=(0, 1, 2))

    def close(self):
        try:
            self.unmount()
        finally:
            self.stack.close()
            run("rm", "-rf", "--one-file-system", self.dir)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class LoggedDisk(Disk):
    """Every write and flush goes into a log in dm-log-writes' format."""

    def expose(self):
        vdisk = self.fuse_file()
        self.log = self.dir / "log"
        self.log.touch()
        self.spawn(["qemu-storage-daemon",
                    "--blockdev", f"driver=file,node-name=f,filename={self.raw}",
                    "--blockdev", f"driver=file,node-name=lf,filename={self.log}",
                    "--blockdev", "driver=blklogwrites,node-name=lw,file=f,log=lf,log-sector-size=512",
                    "--export", f"type=fuse,id=e,node-name=lw,mountpoint={vdisk},writable=on"],
                   lambda: self.serves(vdisk))
        return vdisk

    def unplug(self):
        """Nothing is written any more; the log is whole."""
        self.unmount()
        unloop(self.device)
        self.end(self.processes[0])

    def position(self):
        """How long the log is: a commit that was acknowledged by now is in that much of it."""
        return os.stat(self.log).st_size


class FaultyDisk(Disk):
    """Fails writes while fail() holds; stands still while its server is stopped."""

    def __init__(self, size, fs, rate="100%"):
        self.rate = rate
        super().__init__(size, fs)

    def expose(self):
        vdisk, socket = self.fuse_file(), self.dir / "nbd"
        self.trigger = self.dir / "FAIL"
        self.server = self.spawn(
            ["nbdkit", "-f", "-U", socket, "--filter=error", "file", self.raw, "error-pwrite=EIO",
             f"error-pwrite-rate={self.rate}", f"error-pwrite-file={self.trigger}"], socket.exists)
        self.spawn(["nbdfuse", vdisk, "--unix", socket], lambda: self.serves(vdisk))
        return vdisk

    def fail(self, on):
        if on:
            self.trigger.touch()
        else:
            self.trigger.unlink(missing_ok=True)

    @contextlib.contextmanager
    def stalled(self):
        self.server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.send_signal(signal.SIGCONT)
