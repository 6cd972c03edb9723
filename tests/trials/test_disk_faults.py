"""
G3-06, G3-07. A disk that fails every write for two seconds, and one that stands still for ten, under
the pool of one class of storage; a second class is on a healthy disk.
"""

import contextlib
import re
import subprocess
import threading
import time

import pytest

from disks import FaultyDisk
from history import History
from hub import wait_until
from wreck import bury, wreck

pytestmark = [pytest.mark.needs("nbdkit", "nbdkit"), pytest.mark.needs("nbdfuse", "libnbd-bin"),
              pytest.mark.needs("fusermount3", "fuse3")]

FAIL_S, STALL_S, PATIENT_S = 2, 10, 2
IN_WORDS = r"(?i)damaged|disk|storage|pool|file system|input/output error"


def hub_on(new_hub, disk):
    """Its first class is on the bad disk, its second on the machine's."""
    hub = new_hub(pool="700Mi")
    hub.write_conf(f"storage: {{bad: {{pool: {disk.mnt}/pool}}, good: {{pool: {hub.dir}/good}}}}\n"
                   "server: {claim: {capacity: 256Mi, class: bad}}\n")
    hub.start()
    return hub


def add_healthy(hub, login):
    """A user whose volume is on the good disk."""
    before = hub.conf
    hub.write_conf(before.replace("class: bad", "class: good"))
    hub.dorm("reload")
    password = hub.add(login)
    hub.connect(login, password).close()
    hub.write_conf(before)
    hub.dorm("reload")
    assert hub.show(login)["class"] == "good"
    return password


def try_connect(hub, login, password):
    """None, or the words of the refusal."""
    done = subprocess.run(["psql", hub.conninfo(login, password, connect_timeout=30), "-XAtc", "select 42"],
                          capture_output=True, text=True, timeout=120)
    return None if done.returncode == 0 else done.stderr


def go_down(hub):
    hub.dorm("down", check=False)
    with contextlib.suppress(subprocess.TimeoutExpired):
        hub.process.wait(timeout=60)
    if hub.process.poll() is None:
        hub.kill()


def repaired(hub, disk):
    """What an operator does: hub down, file system checked, hub up. What went wrong on the way, or None."""
    go_down(hub)
    try:
        disk.unmount()
    except AssertionError as problem:
        return f"the hub is down and its disk cannot be unmounted: {problem}"
    disk.check()
    disk.mount()
    said = hub.start(expect_ready=False)
    return None if said == "ready\n" else said


@pytest.mark.trial("G3-06")
@pytest.mark.parametrize("fs,rate", [("ext4", "100%"), ("xfs", "100%"), ("xfs", "2%")], ids=["ext4", "xfs", "xfs-some"])
def test_writes_fail(new_hub, trial, fs, rate):
    with FaultyDisk(1 << 30, fs, rate) as disk:
        hub = hub_on(new_hub, disk)
        try:
            writes_fail(hub, trial, disk)
        finally:
            disk.fail(False)
            wreck(hub)
            bury(hub)


def writes_fail(hub, trial, disk):
    alice = hub.add("alice")
    bob = add_healthy(hub, "bob")
    history = History(lambda: hub.connect("alice", alice, connect_timeout=10)).prepare()
    other = History(lambda: hub.connect("bob", bob), pace=0.02).prepare()
    wait_until(lambda: len(history.acked) > 50, "there is something to lose")
    disk.fail(True)
    time.sleep(FAIL_S)
    disk.fail(False)
    after = len(history.acked)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: len(history.acked) > after + 10, "it goes on by itself", seconds=20)
    alone = len(history.acked) > after + 10
    history.stop()
    other.stop()
    trial.figure("yes" if alone else "no", "goes on by itself when the disk is well again")
    words = try_connect(hub, "alice", alice)
    if words is not None:
        trial.figure(repr(words.strip()[-100:]), "said to the user")
    trial.figure(len(other.problems), "errors of the one on the healthy disk")
    assert not other.problems, other.problems[:3]
    if words is not None:
        assert re.search(IN_WORDS, words), f"refused, but not in words that help: {words}"
        left = repaired(hub, disk)
        assert left is None, f"{left}\n{hub.log[-3000:]}"
    with hub.connect("bob", bob) as c:
        assert other.check(c).good
    with hub.connect("alice", alice) as c:
        found = history.check(c)
    trial.figure(len(found.lost), f"acknowledged commits lost, of {len(history.acked)}")
    assert found.good, found
    assert not alone or re.search(r"(?i)fsck|checked|repaired", hub.log), \
        "a volume with errors was used again without a look at its file system"


@pytest.mark.trial("G3-06/restart")
def test_a_class_whose_disk_is_gone_does_not_hold_the_others(new_hub, trial):
    """The bad disk stays bad over a restart of the hub: who is on the other one must not care."""
    with FaultyDisk(1 << 30, "xfs") as disk:
        hub = hub_on(new_hub, disk)
        try:
            hub.connect("alice", hub.add("alice")).close()
            bob = add_healthy(hub, "bob")
            disk.fail(True)
            go_down(hub)
            said = hub.start(expect_ready=False)
            trial.figure("up" if said == "ready\n" else "down", "the hub, with one of two classes lost")
            assert said == "ready\n", said
            assert try_connect(hub, "bob", bob) is None
        finally:
            disk.fail(False)
            wreck(hub)
            bury(hub)


@pytest.mark.trial("G3-07")
@pytest.mark.parametrize("fs", ["ext4"])
def test_disk_stands_still(new_hub, trial, fs):
    with FaultyDisk(1 << 30, fs) as disk:
        hub = hub_on(new_hub, disk)
        try:
            disk_stands_still(hub, trial, disk)
        finally:
            wreck(hub)
            bury(hub)


class Looker(threading.Thread):
    """Does something again and again, and keeps the longest time it took."""

    def __init__(self, action):
        super().__init__(daemon=True)
        self.action, self.longest, self.n, self.problems = action, 0.0, 0, []
        self.ended = threading.Event()

    def run(self):
        while not self.ended.is_set():
            began = time.monotonic()
            try:
                self.action()
            except Exception as problem:  # seen by the test when it is over
                self.problems.append(problem)
            self.longest = max(self.longest, time.monotonic() - began)
            self.n += 1

    def stop(self):
        self.ended.set()
        self.join(timeout=60)
        return self


def disk_stands_still(hub, trial, disk):
    alice, carol = hub.add("alice"), hub.add("carol")
    bob = add_healthy(hub, "bob")
    hub.connect("carol", carol).close()
    hub.dorm("server", "stop", "carol")
    history = History(lambda: hub.connect("alice", alice)).prepare()
    wait_until(lambda: len(history.acked) > 50, "she writes")
    sleeper = threading.Thread(target=try_connect, args=(hub, "carol", carol), daemon=True)

    def wake_bob():
        hub.dorm("server", "stop", "bob")
        hub.connect("bob", bob).close()

    looks = {"a login and a wake on the healthy disk": wake_bob,
             "dorm server list": lambda: hub.rows("server", "list"),
             "dorm server show of the stalled one": lambda: hub.show("alice"),
             "dorm storage list": lambda: hub.rows("storage", "list")}
    lookers = {what: Looker(action) for what, action in looks.items()}
    with disk.stalled():
        stopped = time.monotonic()
        sleeper.start()  # a wake on the disk that stands still
        for looker in lookers.values():
            looker.start()
        time.sleep(STALL_S)
        for looker in lookers.values():
            looker.ended.set()
    for what, looker in lookers.items():
        looker.stop()
        trial.figure(looker.longest * 1000, f"ms at most: {what} ({looker.n} times)")
    wait_until(lambda: history.acked[-1].when > stopped + STALL_S, "she goes on")
    sleeper.join(timeout=60)
    assert try_connect(hub, "carol", carol) is None
    history.stop()
    with hub.connect("alice", alice) as c:
        found = history.check(c)
    assert found.good and not history.problems, f"{found} {history.problems[:3]}"
    for what, looker in lookers.items():
        assert not looker.problems, f"{what}: {looker.problems[:3]}"
        assert looker.longest < PATIENT_S, f"{what}: {looker.longest:.1f} s"
