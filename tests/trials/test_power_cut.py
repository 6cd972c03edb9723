"""
G3-01. The power goes at every flush: the whole pool, and in one variant the record as well, lies on a
disk that logs its writes. Afterwards the disk is rebuilt as it was at many moments of that log, and as
it may have been when it had kept only some of what was not flushed yet; then a hub is started on it.
"""

import collections
import contextlib
import os
import pathlib
import random
import re
import subprocess
import tempfile
import threading
import time

import psycopg
import pytest

import writelog
from disks import Disk, LoggedDisk, loop_of, reflink, run, unloop, unmount_below
from history import History
from hub import Hub
from wreck import bury, wreck

POINTS = int(os.environ.get("DORM_TRIAL_POINTS", "60")) // 2  # of each variant
SUBSETS = int(os.environ.get("DORM_TRIAL_SUBSETS", "50")) // 2
SECONDS = float(os.environ.get("DORM_TRIAL_SECONDS", "20"))
CONF = "server: {claim: {capacity: 256Mi}}\n"
# sums in the superblock, which no journal holds: the kernel counts anew at every mount
HARMLESS = ("Free blocks count wrong", "Free inodes count wrong")

pytestmark = [pytest.mark.needs("qemu-storage-daemon", "qemu-system-common"),
              pytest.mark.needs("fusermount3", "fuse3")]


class Promise:
    """A user whose making was acknowledged, and what they were told is committed."""

    def __init__(self, login):
        self.login = login
        self.password, self.added, self.marked = None, None, None  # positions of the log


class Work:
    """What happens on the hub until the power goes."""

    def __init__(self, hub, position):
        self.hub, self.position = hub, position
        self.promises, self.histories = {}, {}
        self.problems = []

    def add(self, login):
        promise = self.promises[login] = Promise(login)
        promise.password = self.hub.add(login)
        promise.added = self.position()
        return promise

    def connect(self, promise):
        return self.hub.connect(promise.login, promise.password)

    def mark(self, promise):
        with self.connect(promise) as c:
            c.execute("create table mark as select 42 as n")
            c.execute("checkpoint")
        promise.marked = self.position()

    def bank(self, login):
        promise = self.add(login)
        history = History(lambda: self.connect(promise), position=self.position)
        self.histories[login] = history.prepare()
        promise.marked = self.position()

    def bulk(self, login, n):
        with contextlib.suppress(psycopg.Error):  # put to sleep in the middle
            with self.connect(self.promises[login]) as c:
                c.execute(f"create table bulk{n} as select g, md5(g::text) from generate_series(1, 20000) g")
                c.execute("checkpoint")

    def do(self):
        self.bank("alice")
        self.bank("bob")
        end, n = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            self.mark(self.add(f"extra{n}"))
            bulk = threading.Thread(target=self.bulk, args=("bob", n))
            bulk.start()
            self.hub.dorm("server", "stop", ("alice", "bob")[n % 2])
            if n % 3 == 2:
                self.hub.dorm("server", "stop", f"extra{n}")
            bulk.join()
            n += 1
            time.sleep(SECONDS / 12)  # not a wait: how thin the other work is spread


def questions(said):
    """What e2fsck -n would have repaired: the kind of each, and the line."""
    before = ""
    for line in said.splitlines():
        if line.endswith("? no"):
            line = re.sub(r"\S+( \S+)?\? no$", "", line) or before
            yield re.sub(r" *\(.*|[\d.]+", "", line).strip(), line
        before = line


class Cutter:
    """Rebuilds the disk as it was, starts the hub on it, and looks."""

    def __init__(self, hub, work, disk, scratch, ready):
        self.hub, self.work, self.disk, self.scratch = hub, work, disk, scratch
        self.ready = ready
        self.chance = random.Random(11)
        self.kinds = collections.Counter()
        self.lost, self.wrong, self.checked = 0, [], 0

    def look(self, cut, change=lambda path: None):
        """One moment: everything in the log before position cut, and what change does to it."""
        point = self.scratch.mnt / "point"
        reflink(self.scratch.mnt / "base", point)
        change(point)
        device = loop_of(point)
        try:
            run("mount", "-t", self.disk.fs, "-o", "noatime", device, self.disk.mnt)
            self.fsck_images()
            self.hub.start()
            self.look_at_users(cut)
            self.checked += 1
        except Exception as problem:  # the other moments are looked at as well
            self.wrong.append(f"at {cut}: {type(problem).__name__}: {str(problem)[:1500]}")
        finally:
            wreck(self.hub)
            unmount_below(self.disk.mnt)
            unloop(device)
            point.unlink()

    def fsck_images(self):
        """Does the file system of every volume come back by its journal alone?"""
        with tempfile.TemporaryDirectory(dir=self.hub.dir) as at:
            pool = pathlib.Path(self.pool()) / "pool.xfs"
            images = pool.parent / "images"
            if pool.exists() and (pool.parent / "identity").exists():
                run("mount", "-o", "loop,noatime", pool, at)
                images = pathlib.Path(at)
            try:
                for image in sorted(images.glob("*.img")):
                    self.fsck(image)
            finally:
                unmount_below(at)

    def fsck(self, image):
        copy = image.with_suffix(".fsck")
        reflink(image, copy)
        subprocess.run(["e2fsck", "-y", "-E", "journal_only", copy], capture_output=True)
        done = subprocess.run(["e2fsck", "-fn", copy], capture_output=True, text=True)
        copy.unlink()
        for kind, line in questions(done.stdout):
            self.kinds[kind] += 1
            if kind not in HARMLESS:
                self.wrong.append(f"{image.name}: {line}")
        assert done.returncode == 0 or "? no" in done.stdout, done.stdout + done.stderr

    def pool(self):
        where = re.search(r"pool: (/[^}]*)", self.hub.conf)
        return where.group(1) if where else self.hub.state / "pool"

    def look_at_users(self, cut):
        there = [row["login"] for row in self.hub.rows("user", "list")]
        for login in there:
            assert login == "demo" or login in self.work.promises, f"{login} was never added"
        for promise in self.work.promises.values():
            acked = promise.added is not None and promise.added <= cut
            assert promise.login in there or not acked, f"{promise.login} was added, and is not there"
            # outside of the disk, the record knows volumes that this disk has not seen yet
            inside = self.hub.state.is_relative_to(self.disk.mnt)
            if promise.login in there and (inside or (promise.marked or cut + 1) <= cut):
                self.look_at_user(promise, cut)

    def look_at_user(self, promise, cut):
        if promise.added is None or promise.password is None:
            promise = Promise(promise.login)
            promise.password = self.hub.rows("user", "passwd", promise.login)[0]["password"]
        with self.work.connect(promise) as c:
            if promise.marked is None or promise.marked > cut:
                c.execute("create table if not exists mark (n int)")
            elif promise.login in self.work.histories:
                finding = self.work.histories[promise.login].check(c, cut)
                self.lost += len(finding.lost)
                assert finding.good, f"{promise.login}: {finding}"
            else:
                assert c.execute("select n from mark").fetchone() == (42,)


def replay(cutter, log, start):
    """Every flush from start on, thinned; and behind some of them, what may have been kept."""
    found = writelog.entries(log)
    first = next(i for i, e in enumerate(found) if e.end > start)
    flushes = [i for i in range(first, len(found)) if found[i].is_flush]
    assert len(flushes) >= 100, f"only {len(flushes)} flushes"
    chance = cutter.chance
    points = {flushes[i * (len(flushes) - 1) // max(POINTS - 1, 1)] for i in range(POINTS)}
    busy = [k for k in range(len(flushes) - 1) if flushes[k + 1] - flushes[k] > 2]
    scattered = sorted(chance.sample(busy, min(SUBSETS, len(busy))))
    epochs = {flushes[k]: found[flushes[k] + 1:flushes[k + 1]] for k in scattered}
    base = writelog.Replay(log, cutter.scratch.mnt / "base", cutter.disk.size)
    for at in sorted(points | set(epochs)):
        base.forward(found, at + 1)
        if at in points:
            cutter.look(found[at].end)
        if at in epochs:
            cutter.look(found[at].end, lambda path, epoch=epochs[at]: base.scatter(path, epoch, chance))
    base.close()
    return len(points), len(epochs), len(flushes)


def settle(hub, where, disk):
    """Where the hub's things are. Returns from which position of the log it must come up."""
    if where == "state":
        hub.state = disk.mnt / "state"
        hub.state.mkdir(mode=0o711)
        hub.write_conf(CONF)
    else:
        hub.write_conf(f"storage: {{standard: {{pool: {disk.mnt}/pool}}}}\n{CONF}")
    os.sync()
    start = disk.position()
    hub.start()
    return start if where == "state" else disk.position()


@pytest.mark.trial("G3-01")
@pytest.mark.parametrize("where,fs,size", [
    pytest.param("state", "ext4", 1536 << 20, id="state"),
    pytest.param("pool", "xfs", 1024 << 20, id="pool"),
])
def test_power_cut(trial, where, fs, size):
    hub = Hub(pool="1Gi")
    try:
        with Disk(16 << 30, "xfs") as scratch, LoggedDisk(size, fs, under=scratch.mnt) as disk:
            scratch.mnt.chmod(0o711)
            try:
                start = settle(hub, where, disk)
                work = Work(hub, disk.position)
                work.do()
                for history in work.histories.values():
                    history.stop()
                acked = sum(len(h.acked) for h in work.histories.values())
                wreck(hub)
                disk.unplug()
                cutter = Cutter(hub, work, disk, scratch, start)
                points, subsets, flushes = replay(cutter, disk.log, start)
            finally:
                wreck(hub)
    finally:
        print(hub.log[-20000:])
        bury(hub)
    trial.figure(points, f"of {flushes} flushes replayed")
    trial.figure(subsets, "subsets of unflushed writes replayed")
    trial.figure(cutter.lost, f"acknowledged commits lost, of {acked}")
    trial.figure(sum(cutter.kinds.values()), f"repairs by fsck {dict(cutter.kinds) or ''}")
    assert not cutter.wrong, "\n".join(cutter.wrong[:10]) + f"\n({len(cutter.wrong)} in all)"
    assert cutter.checked == points + subsets
