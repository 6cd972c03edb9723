"""
G4-01. No server runs twice: dormd killed at random and at named places while servers wake, sleep and
nap; two dormds on one state directory; a dormd that does not know of a pod that runs.
DORM_TRIAL_ROUNDS rounds (300); the seed is printed and can be given as DORM_TRIAL_SEED.
"""

import contextlib
import os
import pathlib
import random
import select
import signal
import subprocess
import threading
import time

import psycopg
import pytest

from history import History
from hub import Refused, processes_of, wait_until
from test_crash import first_wake_places, postmasters

ROUNDS = int(os.environ.get("DORM_TRIAL_ROUNDS", "300"))
SEED = int(os.environ.get("DORM_TRIAL_SEED", str(os.getpid())))
USERS = ("alice", "bob", "carol")
TOP = pathlib.Path("/sys/fs/cgroup")


class Watch(threading.Thread):
    """Counts the postmasters of each server, again and again."""

    def __init__(self, uids):
        super().__init__(daemon=True)
        self.uids = set(uids)
        self.group = None
        self.looks, self.doubles, self.over = 0, [], threading.Event()

    def count(self, group):
        """postgres -D in this group, the dead left out; of one that forks, the child is no second one."""
        found = []
        with contextlib.suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                    if words[0].endswith(b"/postgres") and words[1] == b"-D":
                        found.append((int(pid), int(pathlib.Path(f"/proc/{pid}/stat").read_text()
                                                    .rpartition(")")[2].split()[1])))
        pids = {pid for pid, _ in found}
        return [pid for pid, parent in found if parent not in pids]

    def look(self):
        for group in self.group.glob("*/"):
            pids = self.count(group)
            if len(pids) > 1:
                self.doubles.append((group.name, pids))
        self.looks += 1

    def run(self):
        while not self.over.wait(0.01):
            self.look()


class Supervisors:
    """Any number of dormds on one hub, of which one may be ready."""

    def __init__(self, hub):
        self.hub, self.others, self.starts, self.beaten = hub, {}, 0, 0

    def launch(self, inject=None):
        read_end, write_end = os.pipe()
        with open(self.hub.dir / "dormd.log", "ab") as log:
            process = subprocess.Popen(
                [self.hub.lib / "dormd", "--ready-fd", str(write_end)], env=self.hub.env(DORM_INJECT=inject),
                stderr=log, stdout=log, stdin=subprocess.DEVNULL, pass_fds=[write_end])
        os.close(write_end)
        self.others[read_end] = process
        self.starts += 1

    def one_is_ready(self):
        """Whoever is first; when all have died, one more is started that nothing happens to."""
        while True:
            if not self.others:
                self.launch()
            for fd in select.select(list(self.others), [], [], 60)[0]:
                said, process = os.read(fd, 4096), self.others[fd]
                if said == b"ready\n":
                    self.hub.process = process
                if said != b"ready\n":
                    self.beaten += b"another dormd" in said
                    process.kill()
                    process.wait()
                os.close(fd)
                del self.others[fd]
                if said == b"ready\n":
                    return

    def kill_ready(self):
        if self.hub.process.poll() is None:
            self.hub.process.kill()
        self.hub.process.wait()

    def kill_others(self):
        for fd, process in self.others.items():
            process.kill()
            process.wait()
            os.close(fd)
        self.others = {}


def quietly(function, *words, **more):
    def run():
        with contextlib.suppress(Refused, OSError, psycopg.Error, IndexError):
            function(*words, **more)
    thread = threading.Thread(target=run)
    thread.start()
    return thread


class Race:
    def __init__(self, hub, chance):
        self.hub, self.chance = hub, chance
        self.passwords = {who: hub.add(who) for who in USERS}
        self.supervisors = Supervisors(hub)
        self.places = [p for p in first_wake_places() if not p.startswith(("begin.", "upgrade."))]
        self.killed_at = {}

    def connect(self, who):
        self.hub.connect(who, self.passwords[who], connect_timeout=20).close()

    def verb(self):
        who = self.chance.choice(USERS)
        kind = self.chance.choice(["server stop", "server stop", "server nap", "wake", "wake", "wake"])
        if kind == "wake":
            return [quietly(self.connect, who) for _ in range(3)]
        return [quietly(self.hub.call, kind, name=who)]

    def round(self):
        threads = [t for _ in range(self.chance.randrange(1, 4)) for t in self.verb()]
        if self.chance.random() < 0.5:
            self.end_a_server()
        time.sleep(self.chance.random() ** 2 * 0.6)  # where in its work it dies is the point
        with contextlib.suppress(OSError):
            if self.chance.random() < 0.2:
                os.kill(self.chance.choice(self.gates()), signal.SIGKILL)
        if self.chance.random() < 0.3:  # a second one while the first is alive
            self.supervisors.launch()
            time.sleep(self.chance.random() * 0.05)
        self.supervisors.kill_ready()
        for _ in range(self.chance.randrange(1, 3)):
            place = self.chance.choice(self.places) if self.chance.random() < 0.5 else None
            self.supervisors.launch(f"{place}=kill" if place else None)
        self.supervisors.one_is_ready()
        if self.chance.random() < 0.7:
            self.supervisors.kill_others()
        return threads

    def end_a_server(self):
        """Its clients come back at once, and want it to wake."""
        for pid in self.watch.count(self.chance.choice(list(self.watch.group.glob("*/")) or [self.watch.group])):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def gates(self):
        return [p for p, name, _ in processes_of((self.hub.uids[0],) * 2) if "dorm-gate" in name] or [0]


@pytest.mark.trial("G4-01")
def test_no_server_runs_twice(new_hub, trial):
    hub = new_hub(conf="server: {sleep: {after: never, nap: never}}", pool="1Gi")
    hub.start()
    print(f"DORM_TRIAL_SEED={SEED}")
    race = Race(hub, random.Random(SEED))
    watch = Watch(int(hub.show(who)["host uid"]) for who in USERS)
    race.watch = watch
    watch.group = next(g for g in [TOP / "unified" / f"dormouse-{hub.id}", TOP / "pids" / f"dormouse-{hub.id}",
                                   TOP / f"dormouse-{hub.id}"] if g.exists())
    histories = {who: History(lambda who=who: hub.connect(who, race.passwords[who]), pace=0.02).prepare()
                 for who in USERS}
    watch.start()
    began, threads = time.monotonic(), []
    try:
        for n in range(ROUNDS):
            threads = [t for t in threads if t.is_alive()] + race.round()
            assert not watch.doubles, f"seed {SEED}, round {n}: {watch.doubles}"
    finally:
        race.supervisors.kill_others()
        if hub.process.poll() is not None:
            hub.start()
    took = time.monotonic() - began
    lost = acked = 0
    wrong = []
    for who, history in histories.items():
        promised = len(history.acked)
        wait_until(lambda: len(history.acked) > promised, f"{who} goes on")
        with hub.connect(who, race.passwords[who]) as c:
            found = history.stop().check(c)
        acked += len(history.acked)
        lost += len(found.lost)
        wrong += [] if found.good else [f"{who}: {found}"]
    watch.over.set()
    for thread in threads:
        thread.join(60)
    trial.figure(ROUNDS, f"rounds in {took:.0f} s, {race.supervisors.starts} dormds started, "
                         f"{race.supervisors.beaten} refused because another runs")
    trial.figure(hub.log.count("injected at"), "deaths at named places")
    trial.figure(hub.log.count("-> waking (WANT"), "wakes")
    trial.figure(watch.looks, "looks at who runs")
    trial.figure(len(watch.doubles), "double starts")
    trial.figure(lost, f"acknowledged commits lost, of {acked}")
    assert not watch.doubles and not wrong, f"seed {SEED}: {watch.doubles} {wrong}"


class Hidden:
    """The pod of a server, taken out of the control groups by which a dormd finds it."""

    def __init__(self, hub, server):
        self.groups = [g / server for g in hub.groups() if (g / server).exists()]
        self.pids = [g.joinpath("cgroup.procs").read_text().split() for g in self.groups]

    def move(self, pids, to):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                (to / "cgroup.procs").write_text(pid)

    def __enter__(self):
        for group, pids in zip(self.groups, self.pids):
            self.move(pids, group.parent.parent)
            wait_until(lambda group=group: not group.joinpath("cgroup.procs").read_text(), "it is empty")
            group.rmdir()
        return self

    def __exit__(self, *_):
        for group, pids in zip(self.groups, self.pids):
            group.mkdir(exist_ok=True)
            self.move(pids, group)


def came_in(hub, password):
    with contextlib.suppress(psycopg.OperationalError):
        hub.connect("alice", password).close()
        return True
    return False


@pytest.mark.trial("G4-01/hidden")
def test_a_dormd_that_does_not_know_of_a_pod_cannot_start_another(new_hub, trial):
    """The whole way of a launch, on a volume that a pod has: only the lock is left to stop it."""
    hub = new_hub(conf="server: {sleep: {after: never}}")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("create table t as select 1 as n")
        before, refused = postmasters(hub, "alice"), []
        server = hub.server_id("alice")
        hub.kill()
        with Hidden(hub, server):
            hub.start()
            assert hub.state_of("alice") == "asleep"
            for _ in range(3):
                with pytest.raises(Refused) as caught:
                    hub.call("server start", name="alice")
                refused.append(str(caught.value))
                assert postmasters(hub, "alice") == before
                c.execute("insert into t values (2)")
            hub.kill()
        next_one = Supervisors(hub)
        next_one.launch()
        next_one.one_is_ready()
        c.execute("insert into t values (3)")
        assert postmasters(hub, "alice") == before
        # the attempts have taken away the way to it: it runs, and cannot be asked whether it does
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: not postmasters(hub, "alice"), "it has ended")
    wait_until(lambda: came_in(hub, password), "it starts again")
    with hub.connect("alice", password) as c:
        kept = c.execute("select count(*) from t").fetchone()[0]
    print(refused)
    trial.figure(len(refused), f"attempts, all refused: {refused[0]}")
    trial.figure(5 - kept, "acknowledged rows lost, of 5")
    assert len(before) == 1 and kept == 5


SERVERS = int(os.environ.get("DORM_TRIAL_SERVERS", "20"))


@pytest.mark.trial("G4-02")
def test_the_next_dormd_takes_all_servers_back(new_hub, trial):
    hub = new_hub(conf="server: {sleep: {after: never}, requests: {memory: 16Mi}}", pool="2Gi")
    hub.start()
    people = {f"u{n}": hub.call("user add", login=f"u{n}")[0]["password"] for n in range(SERVERS)}
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(hub.connect(who, password)) for who, password in people.items()]
        backends = [c.execute("select pg_backend_pid()").fetchone() for c in sessions]
        for how in (hub.kill, lambda: (hub.process.terminate(), hub.wait_end())):
            how()
            began = time.monotonic()
            hub.start()
            ready = time.monotonic() - began
            wait_until(lambda: sum(row["state"] == "awake" for row in hub.call("server list")) == SERVERS,
                       "all are awake")
            trial.figure(time.monotonic() - began, f"s until {SERVERS} servers are taken back ({ready:.2f} until it answers)")
            assert [c.execute("select pg_backend_pid()").fetchone() for c in sessions] == backends
