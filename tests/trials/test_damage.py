"""G3-15. One bit of a sleeping volume's image flips: never a wrong answer, always words."""

import os
import pathlib
import re
import subprocess
import time

import pytest

from disks import run
from hub import wait_until

ROWS = 2000
BLOCK = 4096
TABLE = ("create table precious as select g, md5(g::text) as m from generate_series(1, %d) g; checkpoint" % ROWS)
SUM = "select sum(g), md5(string_agg(m, '' order by g)) from precious"


class Image:
    """The file of a volume that is attached nowhere."""

    def __init__(self, hub, login):
        self.id = hub.show(login)["volume id"]
        self.path = hub.state / "pool" / "images" / f"{self.id}.img"

    def debugfs(self, request):
        return subprocess.run(["debugfs", "-R", request, self.path], capture_output=True, text=True).stdout

    def block_of(self, name):
        """Where the first block of a file below the user's data directory is."""
        blocks = self.debugfs(f"blocks {name}").split()
        assert blocks, f"{name}: {self.debugfs('ls -p /pod')}"
        return int(blocks[0]) * BLOCK

    def flip(self, offset, bit=3):
        fd = os.open(self.path, os.O_RDWR)
        byte = os.pread(fd, 1, offset)[0]
        os.pwrite(fd, bytes([byte ^ 1 << bit]), offset)
        os.fsync(fd)
        os.close(fd)


def is_free(hub, volume):
    mounts = pathlib.Path("/proc/self/mountinfo").read_text()
    return f"/vol/{volume} " not in mounts and f"{volume}.img" not in run("losetup", "-n", "-O", "BACK-FILE")


def sleeping_image(hub, alice):
    """A table in a volume that sleeps and is not mounted. The image, and the table's file."""
    with hub.connect("alice", alice) as c:
        c.execute(TABLE)
        file = c.execute("select pg_relation_filepath('precious')").fetchone()[0]
        good = c.execute(SUM).fetchone()
    hub.dorm("server", "stop", "alice")
    image = Image(hub, "alice")
    hub.dorm("down")
    hub.wait_end()
    if not is_free(hub, image.id):  # a sleeping volume may stay mounted: then dormd keeps it so
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            if line.split()[4].endswith(f"/vol/{image.id}"):
                run("umount", line.split()[4])
    wait_until(lambda: is_free(hub, image.id), "the volume is attached nowhere")
    # the pool is mounted while a hub runs on it
    pool = hub.state / "pool"
    if (pool / "pool.xfs").exists() and not os.path.ismount(pool / "images"):
        run("mount", "-o", "loop", pool / "pool.xfs", pool / "images")
        return image, file, good, lambda: run("umount", pool / "images")
    return image, file, good, lambda: None


def data_directory(image):
    """Where PostgreSQL's files are in the image."""
    for at in ("/pod/data", "/pod"):
        if "PG_VERSION" in image.debugfs(f"ls -p {at}"):
            return at
    raise AssertionError(image.debugfs("ls -p /pod"))


def ask(hub, alice, sql):
    """The answer, or all that was said instead."""
    done = subprocess.run(["psql", hub.conninfo("alice", alice), "-XAt", "-F", ",", "-c", sql],
                          capture_output=True, text=True, timeout=180)
    return (done.stdout.strip(), None) if done.returncode == 0 else (None, done.stderr)


def damage(new_hub, where):
    """A hub whose alice has one bit flipped. Also what the right answer would be."""
    hub = new_hub()
    hub.start()
    alice = hub.add("alice")
    image, file, good, done = sleeping_image(hub, alice)
    data = data_directory(image)
    if where == "table":
        image.flip(image.block_of(f"{data}/{file}") + BLOCK - 100)  # a row at the end of its first page's half
    elif where == "pg_control":
        image.flip(image.block_of(f"{data}/global/pg_control") + 40)
    else:
        image.flip(1024 + 0x30)  # s_mtime
    done()
    hub.start()
    return hub, alice, ",".join(str(v) for v in good)


@pytest.mark.trial("G3-15")
@pytest.mark.parametrize("where", ["table", "pg_control", "superblock"])
def test_a_bit_flips(new_hub, trial, where):
    hub, alice, good = damage(new_hub, where)
    began = time.monotonic()
    answer, words = ask(hub, alice, SUM)
    took = time.monotonic() - began
    trial.figure(int(answer is not None and answer != good), "silent wrong answers")
    trial.figure(took, "s until it was said")
    assert answer in (None, good), f"wrong: {answer}, not {good}"
    if where == "table":
        assert words and re.search(r"(?i)invalid page|checksum", words), words
        assert ask(hub, alice, "select 42") == ("42", None)
    elif answer is None:
        assert re.search(r"(?i)damaged|corrupt|broken", words), f"not said in words: {words}"
        assert re.search(r"(?i)restore|reset|snapshot", words + hub.dorm("server", "show", "alice").stdout), \
            f"no way back is offered: {words}"
