"""
G3-05. Volumes may promise more than the pool has. One user grows until it is full, another writes a
little all the time: the second must not notice. G3-05b: the same when an operator's file takes all
that is left of the host's disk.
"""

import contextlib
import os
import re
import subprocess
import threading
import time

import psycopg
import pytest

from disks import Disk
from history import History
from hub import wait_until

POOL = "700Mi"
GROWTH = 1 << 30  # the capacity of a volume: more than the pool has
HOME = "/var/lib/postgresql"
IN_WORDS = r"(?i)full|space|room"


class Greedy:
    """Takes as much as it gets, and remembers the last words it was told."""

    def __init__(self, hub, password):
        self.hub, self.password = hub, password
        self.words, self.codes = [], []

    def refused(self, problem):
        self.words.append(str(problem))
        self.codes.append(problem.sqlstate)

    def insert(self):
        """Until it was refused three times in a row: a refused statement gives its blocks back."""
        in_a_row = 0
        for _ in range(GROWTH >> 20):
            try:
                with self.hub.connect("alice", self.password) as c:
                    c.execute("create table if not exists big (x text)")
                    c.execute("alter table big alter x set storage external")
                    while True:
                        c.execute("insert into big select string_agg(md5(g::text), '') "
                                  "from generate_series(1, 131072) g")
                        in_a_row = 0
            except psycopg.Error as problem:
                self.refused(problem)
                in_a_row += 1
            if in_a_row == 3:
                return

    def program(self):
        """Files in the volume, by a program: no PostgreSQL looks at how that ends."""
        with contextlib.suppress(psycopg.Error), self.hub.connect("alice", self.password) as c:
            c.execute(f"copy (select where false) to program 'dd if=/dev/zero of={HOME}/junk bs=1M count=900 2>/dev/null; true'")
        try:
            with self.hub.connect("alice", self.password) as c:
                for _ in range(200):
                    c.execute("create table if not exists big (x text)")
                    c.execute("insert into big select md5(g::text) from generate_series(1, 30000) g")
                    c.execute("checkpoint")
        except psycopg.Error as problem:
            self.refused(problem)


def afterwards(hub, password):
    """What the greedy one gets on the next connection: an answer, or the reason in words."""
    done = subprocess.run(["psql", hub.conninfo("alice", password), "-XAtc", "select 42"],
                          capture_output=True, text=True, timeout=180)
    if done.returncode == 0:
        return "reachable"
    assert re.search(IN_WORDS, done.stderr), f"refused without the reason: {done.stderr}"
    return "refused in words"


def is_writable(hub, login):
    """Has its file system not given up?"""
    volume = hub.show(login)["volume id"]
    with open("/proc/mounts") as mounts:
        options = [line.split()[3].split(",") for line in mounts if line.split()[1].endswith(f"/vol/{volume}")]
    return bool(options) and all("rw" in o and "emergency_ro" not in o and "shutdown" not in o for o in options)


def writer(hub):
    """Bob: small commits, one every 20 ms."""
    bob = hub.add("bob")
    history = History(lambda: hub.connect("bob", bob), pace=0.02).prepare()
    return bob, history


def checkpoint(hub, bob):
    """Fails on a disk that cannot take what the kernel has taken. The sentence, or None."""
    try:
        with hub.connect("bob", bob) as c:
            c.execute("checkpoint")
    except psycopg.Error as problem:
        return str(problem)


def found(hub, bob, history):
    """What is there, or None while nobody gets in."""
    with contextlib.suppress(psycopg.OperationalError), hub.connect("bob", bob) as c:
        return history.check(c)


def unhurt(hub, trial, bob, history, since):
    """Bob's side of the promise."""
    no_checkpoint, writable = checkpoint(hub, bob), is_writable(hub, "bob")
    history.stop()
    trial.figure(len(history.problems), f"errors of the neighbour, in {len(history.acked)} commits")
    trial.figure(history.longest_gap(since) * 1000, "ms, the neighbour's longest pause between commits")
    finding = wait_until(lambda: found(hub, bob, history), "the neighbour gets in", seconds=30)
    trial.figure(len(finding.lost), "of the neighbour's commits lost")
    assert finding.good, finding
    assert not history.problems, [f"{p.sqlstate} {p.text}" for p in history.problems[:3]]
    assert writable, "the neighbour's volume has gone read-only"
    assert not no_checkpoint, f"the neighbour's checkpoint: {no_checkpoint}"


@pytest.mark.trial("G3-05")
@pytest.mark.parametrize("how", ["insert", "program"])
def test_pool_full(new_hub, trial, how):
    hub = new_hub(pool=POOL)
    hub.start()
    alice = hub.add("alice")
    bob, history = writer(hub)
    began = time.monotonic()
    greedy = Greedy(hub, alice)
    getattr(greedy, how)()
    enough = len(history.acked) + 150  # what the kernel still holds back is written meanwhile
    wait_until(lambda: len(history.acked) >= enough, "the neighbour has gone on")
    unhurt(hub, trial, bob, history, began)
    trial.figure(afterwards(hub, alice), "the greedy one, afterwards")
    hub.dorm("server", "stop", "bob")
    with hub.connect("bob", bob) as c:
        assert history.check(c).good
    assert greedy.words, "nothing was refused: the pool cannot have been full"
    assert re.search(IN_WORDS, greedy.words[-1]), greedy.words
    assert "53100" in greedy.codes, list(zip(greedy.codes, greedy.words))[:5]


def fill_host(path, stop):
    """An operator's file: all that is left, and again whatever is given back."""
    chunk = bytes(1 << 16)
    with open(path, "ab", buffering=0) as f:
        while not stop.is_set():
            try:
                f.write(chunk)
            except OSError:
                stop.wait(0.05)


@pytest.mark.trial("G3-05b")
@pytest.mark.parametrize("where", ["pool", "state"])
def test_host_disk_full(new_hub, trial, where):
    """where: is only the pool on that disk, or everything the hub has?"""
    with Disk(1400 << 20, "ext4") as disk:
        hub = new_hub(pool=POOL)
        if where == "state":
            hub.state = disk.mnt / "state"
            hub.state.mkdir(mode=0o711)
        hub.write_conf("" if where == "state" else f"storage: {{standard: {{pool: {disk.mnt}/pool}}}}\n")
        stop = threading.Event()
        operator = threading.Thread(target=fill_host, args=(disk.mnt / "operator", stop), daemon=True)
        try:
            hub.start()
            host_full(hub, trial, disk, operator)
        finally:
            stop.set()
            if operator.ident is not None:
                operator.join()
            (disk.mnt / "operator").unlink(missing_ok=True)
            hub.purge()


def host_full(hub, trial, disk, operator):
    carol = hub.add("carol")
    hub.connect("carol", carol).close()
    hub.dorm("server", "stop", "carol")
    bob, history = writer(hub)
    began = time.monotonic()
    operator.start()
    wait_until(lambda: os.statvfs(disk.mnt).f_bavail <= 16, "the host's disk is full")
    full = time.monotonic()
    with hub.connect("bob", bob) as c:  # grows by 100 MB that the pool had promised
        c.execute("create table t as select g, repeat(md5(g::text), 8) from generate_series(1, 300000) g")
        c.execute("checkpoint")
    with hub.connect("carol", carol) as c:  # wakes
        c.execute("create table t as select 1 as n")
    trial.figure(time.monotonic() - full, "s for 100 MB of a user and a wake of another on a full host")
    unhurt(hub, trial, bob, history, began)
