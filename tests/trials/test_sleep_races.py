"""
G4-05. Logins and words that arrive while a server falls asleep or begins to nap: at random, and at
each named instant of it. DORM_TRIAL_ROUNDS rounds (2000); the seed is printed and can be given as
DORM_TRIAL_SEED.
"""

import contextlib
import os
import pathlib
import random
import signal
import threading
import time

import psycopg
import pytest

from hub import Refused, wait_until

ROUNDS = int(os.environ.get("DORM_TRIAL_ROUNDS", "2000"))
SEED = int(os.environ.get("DORM_TRIAL_SEED", str(os.getpid())))
USERS = 10
CONF = "server: {sleep: {nap: 1s, after: 1s, connected: 8h}}"
# what somebody who has proved who they are must never hear
FORBIDDEN = ("shutting down", "starting up", "refused", "recovery mode", "in time", "did not begin")


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.logins, self.words, self.refused, self.cut, self.rounds = [], [], [], 0, 0

    def add(self, kind, seconds):
        with self.lock:
            (self.logins if kind == "login" else self.words).append(seconds * 1000)

    def fail(self, text):
        with self.lock:
            self.refused.append(text)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * p // 100)] if values else 0.0


class Racer(threading.Thread):
    """One user, round after round."""

    KINDS = ["stop"] * 6 + ["nap"] * 6 + ["nap login"] * 4 + ["asleep", "nap by itself"]

    def __init__(self, hub, name, tally, seed):
        super().__init__()
        self.hub, self.name_, self.tally, self.chance = hub, name, tally, random.Random(seed)
        self.password = hub.add(name)
        self.c = None

    def ask(self, verb):
        """An operator's command, at the same time."""
        def run():
            with contextlib.suppress(Refused):
                self.hub.call(verb, name=self.name_)

        t = threading.Thread(target=run)
        t.start()
        return t

    def login(self, may_be_cut=False):
        began = time.monotonic()
        try:
            c = self.hub.connect(self.name_, self.password)
            c.execute("select 1").fetchone()
            self.tally.add("login", time.monotonic() - began)
            return c
        except psycopg.Error as e:
            # one that was in before an operator's stop is ended by it, as by PostgreSQL itself
            if may_be_cut and "due to administrator command" in str(e):
                self.tally.cut += 1
            else:
                self.tally.fail(f"login: {e}")
            return None

    def speak(self):
        began = time.monotonic()
        try:
            assert self.c.execute("select 42").fetchone() == (42,)
            self.tally.add("word", time.monotonic() - began)
        except psycopg.Error as e:
            self.tally.fail(f"word: {e}")
            self.c = None

    def see_whether_cut(self):
        """A login that was in before the operator's stop is ended by it, and that is no race."""
        try:
            if self.c is not None:
                self.c.execute("select 1")
        except psycopg.Error as e:
            if "due to administrator command" not in str(e):
                self.tally.fail(f"after a stop: {e}")
            self.tally.cut += 1
            self.c = None

    def leave(self):
        if self.c is not None:
            self.c.close()
        self.c = None

    def stay(self):
        if self.c is None or self.c.closed:
            self.c = self.login()

    def round(self, kind):
        pause = self.chance.random
        if kind == "stop":
            self.leave()
            command = self.ask("server stop")
            time.sleep(pause() * 0.12)  # where in its work it is met is the point, here and below
            self.c = self.login(may_be_cut=True)
            command.join()
            self.see_whether_cut()
        elif kind == "asleep":
            self.leave()
            time.sleep(0.95 + pause() * 0.3)
            self.c = self.login()
        elif kind in ("nap", "nap login"):
            self.stay()
            time.sleep(0.055)  # it must have been quiet
            command = self.ask("server nap")
            time.sleep(pause() * 0.04)
            if kind == "nap":
                self.speak()
            else:
                c = self.login()
                if c is not None:
                    c.close()
            command.join()
        else:
            self.stay()
            time.sleep(0.95 + pause() * 0.15)
            self.speak()

    def run(self):
        try:
            while True:
                with self.tally.lock:
                    if self.tally.rounds >= ROUNDS:
                        return
                    self.tally.rounds += 1
                self.round(self.chance.choice(self.KINDS))
        except Exception as e:  # noqa: BLE001 - whatever it was belongs into the report
            self.tally.fail(f"{type(e).__name__}: {e}")
        finally:
            self.leave()


@pytest.mark.trial("G4-05/random")
def test_whoever_comes_while_it_goes_is_let_in(new_hub, trial):
    print(f"DORM_TRIAL_SEED={SEED}")
    hub = new_hub(conf=CONF, pool="2Gi")
    hub.start()
    tally = Tally()
    racers = [Racer(hub, f"user{i}", tally, SEED * 100 + i) for i in range(USERS)]
    for r in racers:
        r.start()
    for r in racers:
        r.join()
    heard = [t for t in tally.refused if any(w in t for w in FORBIDDEN)]
    trial.figure(len(tally.refused), f"refused of {tally.rounds} rounds ({tally.cut} sessions ended by a stop)")
    trial.figure(percentile(tally.logins, 50), f"ms login p50, of {len(tally.logins)}")
    trial.figure(percentile(tally.logins, 99), "ms login p99")
    trial.figure(percentile(tally.words, 50), f"ms query in a server about to nap p50, of {len(tally.words)}")
    trial.figure(percentile(tally.words, 99), "ms query in a server about to nap p99")
    print(f"{hub.log.count('awake -> napping')} naps, {hub.log.count('-> asleep')} sleeps, {tally.rounds} rounds, "
          f"{len(tally.refused)} refused")
    assert tally.refused == [], f"seed {SEED}: {heard[:5] or tally.refused[:5]}"


# ---- at each instant ----

def stopped(pid):
    """pid, or a process below it, that has stopped itself."""
    with contextlib.suppress(OSError):
        if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return pid
        for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found = stopped(int(child))
            if found is not None:
                return found
    return None


class Barrier(threading.Thread):
    """Holds whoever stops at the place for some milliseconds after having told of it."""

    def __init__(self, hub):
        super().__init__()
        self.hub, self.met, self.over, self.n = hub, threading.Event(), False, 0

    def run(self):
        while not self.over:
            pid = stopped(self.hub.process.pid)
            if pid is None:
                time.sleep(0.0005)
                continue
            self.n += 1
            self.met.set()
            time.sleep(random.random() * 0.02)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)  # which may stop at once, at the next such place


NAP_PLACES = ["nap.asking", "nap.look", "nap.settling", "nap.freezing", "nap.frozen", "nap.thawing", "nap.thawed"]
SLEEP_PLACES = ["box.groups.killed", "box.groups.removed"]


def reach(racer, barrier, place):
    """Make it go there: a nap is refused while the last who left is still on the way out."""
    while True:
        command = racer.ask("server nap" if place in NAP_PLACES else "server stop")
        while command.is_alive() and not barrier.met.wait(0.001):
            pass
        if barrier.met.is_set() or place not in NAP_PLACES or racer.hub.state_of(racer.name_) == "napping":
            return command


@pytest.mark.trial("G4-05")
@pytest.mark.parametrize("place", NAP_PLACES + SLEEP_PLACES)
def test_at_each_instant(new_hub, trial, place):
    hub = new_hub(conf=CONF, inject=f"{place}=stop")
    starter = threading.Thread(target=hub.start)
    starter.start()
    wait_until(lambda: hub.process is not None, "it is started")
    barrier = Barrier(hub)
    barrier.start()
    tally = Tally()
    rounds = max(10, ROUNDS // 100)
    try:
        starter.join()
        racer = Racer(hub, "alice", tally, SEED)
        racer.stay()
        for n in range(rounds):
            racer.stay()
            barrier.met.clear()
            command = reach(racer, barrier, place)
            if place in SLEEP_PLACES:
                racer.leave()
                racer.c = racer.login(may_be_cut=True)
                command.join()
                racer.see_whether_cut()
            elif n % 2 == 0:
                racer.speak()
            else:
                other = racer.login()
                if other is not None:
                    other.close()
            command.join()
        racer.leave()
    finally:
        barrier.over = True
        barrier.join()
    hub.kill()
    hub.inject = None
    hub.start()
    trial.figure(len(tally.refused), f"refused of {rounds} rounds, stopped there {barrier.n} times")
    assert barrier.n >= rounds // 2
    assert tally.refused == [], tally.refused[:5]


# ---- how long a thaw takes ----

def naps(hub, name):
    with contextlib.suppress(Refused):  # on a busy machine it may not freeze at once
        hub.call("server nap", name=name)
        return True


@pytest.mark.trial("G4-05/thaw")
def test_a_napping_server_answers_at_once(new_hub, trial):
    hub = new_hub(conf=CONF)
    hub.start()
    password, times = hub.add("alice"), []
    with hub.connect("alice", password) as c:
        for _ in range(min(ROUNDS, 300)):
            wait_until(lambda: naps(hub, "alice"), "it naps")
            began = time.perf_counter()
            c.execute("select 1").fetchone()
            times.append((time.perf_counter() - began) * 1000)
    trial.figure(percentile(times, 50), f"ms thaw and query p50, of {len(times)}")
    trial.figure(percentile(times, 99), "ms thaw and query p99")
    print(f"thaw and query: p50 {percentile(times, 50):.2f} ms, p99 {percentile(times, 99):.2f} ms")
    if os.getloadavg()[0] < 2 * os.cpu_count():  # on a busy machine the figure is that machine's
        assert percentile(times, 50) <= 10
