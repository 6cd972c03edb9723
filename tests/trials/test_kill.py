"""
G3-03. kill -9 at random, of each kind of process, under clients that know what they were promised.
DORM_TRIAL_ROUNDS rounds (30); the seed is printed and can be given as DORM_TRIAL_SEED.
"""

import contextlib
import os
import random
import signal
import time

import psycopg
import pytest

from history import History
from hub import processes_of, wait_until
from wreck import programs_of

ROUNDS = int(os.environ.get("DORM_TRIAL_ROUNDS", "30"))
SEED = int(os.environ.get("DORM_TRIAL_SEED", str(os.getpid())))


def words_of(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace").split("\0")
    return [""]


class Victims:
    """Who can be killed on a hub, by kind."""

    KINDS = ("backend", "postmaster", "pod", "dormd", "gate", "all")

    def __init__(self, hub, login):
        self.hub = hub
        uid = int(hub.show(login)["host uid"])
        self.uids = (uid, uid)

    def pod(self):
        return [pid for pid, _, _ in processes_of(self.uids)]

    def postmaster(self):
        return [pid for pid in self.pod() if words_of(pid)[0].endswith("/postgres") and words_of(pid)[1] == "-D"]

    def backend(self):
        return [pid for pid in self.pod() if words_of(pid)[0].startswith("postgres: alice ")]

    def gate(self):
        return [pid for pid, name, _ in processes_of((self.hub.uids[0],) * 2) if "dorm-gate" in name]

    def dormd(self):
        return [self.hub.process.pid]

    def all(self):
        return self.dormd() + programs_of(self.hub) + self.gate() + self.pod()

    def kill(self, kind):
        """Returns how many there were."""
        pids = set(getattr(self, kind)())
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if kind in ("dormd", "all"):
            self.hub.process.wait()
            self.hub.start()
        return len(pids)


def seconds_to_select(hub, password):
    """As a person would who tries again until it works."""
    began = time.monotonic()

    def answered():
        with contextlib.suppress(psycopg.OperationalError):
            with hub.connect("alice", password) as c:
                return c.execute("select 42").fetchone() == (42,)

    wait_until(answered, "somebody gets in")
    return time.monotonic() - began


@pytest.mark.trial("G3-03")
def test_killed_at_random(new_hub, trial):
    hub = new_hub()
    hub.start()
    chance = random.Random(SEED)
    print(f"DORM_TRIAL_SEED={SEED}")
    alice, bob = hub.add("alice"), hub.add("bob")
    history = History(lambda: hub.connect("alice", alice)).prepare()
    other = History(lambda: hub.connect("bob", bob), pace=0.01).prepare()
    victims, times, killed = Victims(hub, "alice"), [], 0
    for n in range(ROUNDS):
        kind = Victims.KINDS[n % len(Victims.KINDS)]
        time.sleep(chance.random() * 0.4)  # where in its work it dies is the point
        killed += victims.kill(kind)
        times.append(seconds_to_select(hub, alice))
        acked = len(history.acked)
        wait_until(lambda: len(history.acked) > acked, f"the client goes on after round {n} ({kind})")
    with hub.connect("alice", alice) as c:
        found = history.stop().check(c)
    with hub.connect("bob", bob) as c:
        found_other = other.stop().check(c)
    times.sort()
    trial.figure(len(found.lost) + len(found_other.lost),
                 f"acknowledged commits lost, of {len(history.acked) + len(other.acked)}, in {ROUNDS} rounds")
    trial.figure(times[len(times) // 2] * 1000, "ms to the next SELECT, p50")
    trial.figure(times[min(len(times) - 1, len(times) * 99 // 100)] * 1000, "ms to the next SELECT, p99")
    assert killed >= ROUNDS
    assert found.good, f"seed {SEED}: {found}"
    assert found_other.good, f"seed {SEED}: {found_other}"
    assert times[-1] < 5, f"somebody waited {times[-1]:.1f} s"
