"""Another dormd, another gate, while people are in: nobody notices."""

import contextlib
import os
import pathlib
import shutil
import signal
import threading
import time

import psycopg
import pytest

from hub import BUILD, PROGRAMS, processes_of, wait_until
from test_crash import postmasters

PLACES = ["upgrade.asked", "upgrade.retired", "upgrade.started", "upgrade.handed"]


def gates(hub):
    return {p for p, name, _ in processes_of((hub.uids[0],) * 2) if "dorm-gate" in name}


def pid_of(c):
    return c.execute("select pg_backend_pid()").fetchone()[0]


class Knocker:
    """Somebody who logs in again and again, and how long the longest login took."""

    def __init__(self, info):
        self.info, self.times, self.problems, self.over = info, [], [], threading.Event()
        self.thread = threading.Thread(target=self.knock)

    def knock(self):
        while not self.over.is_set():
            began = time.monotonic()
            try:
                psycopg.connect(self.info, autocommit=True).close()
            except psycopg.Error as e:
                self.problems.append(str(e))
            self.times.append(time.monotonic() - began)

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: len(self.times) > 3, "somebody has come in")
        self.before = sorted(self.times)[len(self.times) // 2]
        return self

    def __exit__(self, *_):
        wanted = len(self.times) + 3
        try:
            wait_until(lambda: len(self.times) > wanted, "somebody comes in afterwards")
        finally:
            self.over.set()
            self.thread.join()


def test_another_gate_takes_over_and_nobody_notices(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        backend, old = pid_of(c), gates(hub)
        with Knocker(hub.conninfo("alice", password)) as knocker:
            said = hub.dorm("restart", "--gate").stdout
            assert pid_of(c) == backend
        assert knocker.problems == []
        print(f"gap: {max(knocker.times) * 1000:.0f} ms the longest of {len(knocker.times)} logins, "
              f"{knocker.before * 1000:.0f} ms the usual one")
        assert "another gate has taken over" in said
        assert len(gates(hub)) == 2 and old < gates(hub)
        assert ", 1 of them in a gate that has been replaced" in hub.dorm("status").stdout
        with hub.connect("alice", password) as other:
            assert pid_of(other) != backend and pid_of(c) == backend
    wait_until(lambda: not old & gates(hub), "the old gate ends with its last session")
    assert len(gates(hub)) == 1
    wait_until(lambda: hub.show("alice")["sessions"].startswith("0,"), "nobody is in")


def sleeper(c, heard):
    try:
        c.execute("select pg_sleep(60)")
    except psycopg.Error as e:
        heard.append(e.sqlstate)


def test_a_cancel_finds_a_session_of_the_gate_before(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c, hub.connect("alice", password) as other:
        hub.dorm("restart", "--gate")
        heard = []
        thread = threading.Thread(target=sleeper, args=(c, heard))
        thread.start()
        wait_until(lambda: other.execute("select count(*) from pg_stat_activity where query like '%pg_sleep(60)%'"
                                         " and state = 'active' and pid <> pg_backend_pid()").fetchone() == (1,),
                   "it sleeps")
        began = time.monotonic()
        c.cancel()
        thread.join(30)
        print(f"cancelled within {(time.monotonic() - began) * 1000:.0f} ms")
        assert heard == ["57014"]
        assert pid_of(c)


def test_a_nap_asks_both_gates(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as before:
        pid_of(before)
        hub.dorm("restart", "--gate")
        with hub.connect("alice", password) as after:
            pid_of(after)
            for c in (before, after):
                nap(hub)
                assert pid_of(c)
                wait_until(lambda: hub.state_of("alice") == "awake", "a word wakes it, in whichever gate")


def nap(hub):
    wait_until(lambda: hub.dorm("server", "nap", "alice", check=False).returncode == 0, "it naps")
    assert hub.state_of("alice") == "napping"


def test_a_gate_that_dies_young_leaves_the_one_before_alone(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        old, backend = gates(hub), pid_of(c)
        hub.dorm("restart", "--gate")
        young, = gates(hub) - old
        os.kill(young, signal.SIGKILL)
        hub.connect("alice", password).close()
        assert pid_of(c) == backend


def test_down_ends_the_sessions_of_all_gates(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as before:
        hub.dorm("restart", "--gate")
        with hub.connect("alice", password) as after:
            hub.dorm("down")
            hub.wait_end()
            for c in (before, after):
                with pytest.raises(psycopg.OperationalError):
                    pid_of(c)
    assert gates(hub) == set()


@pytest.mark.parametrize("place", PLACES)
def test_killed_on_the_way(new_hub, place):
    hub = new_hub()
    hub.start()
    password = hub.add("alice")
    hub.kill()
    hub.start(inject=f"{place}=kill")
    with hub.connect("alice", password) as c:
        backend = pid_of(c)
        hub.dorm("restart", "--gate", check=False)
        hub.wait_end()
        began = time.monotonic()
        hub.start()
        assert pid_of(c) == backend
        hub.connect("alice", password, hostaddr="127.0.0.1").close()
        print(f"{place}: in again {time.monotonic() - began:.1f} s after the next dormd was started")
        with hub.connect("alice", password, host=hub.run, sslmode="disable", sslrootcert=None) as local:
            assert pid_of(local) != backend
        wait_until(lambda: hub.show("alice")["sessions"].startswith("1,"), "both gates have told")
        hub.dorm("restart", "--gate")
        hub.connect("alice", password).close()
        assert pid_of(c) == backend
    wait_until(lambda: len(gates(hub)) == 1, "the gates before have ended")


def install(hub):
    """As a package does it: other files by the same names."""
    for name, path in PROGRAMS.items():
        new = hub.lib / f"{name}.new"
        shutil.copy((BUILD / path).resolve(), new)
        new.rename(hub.lib / name)


def running(hub):
    """The dormd of this hub, whoever started it."""
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.readlink(entry / "exe").startswith(f"{hub.lib}/dormd"):
                if str(hub.state) in (entry / "cmdline").read_text() or int(entry.name) == hub.process.pid:
                    return int(entry.name)
    return None


def test_up_after_an_upgrade(new_hub):
    hub = new_hub()
    install(hub)
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        backend, servers, old = pid_of(c), postmasters(hub, "alice"), gates(hub)
        assert "another" not in hub.dorm("up").stderr
        assert running(hub) == hub.process.pid and gates(hub) == old
        install(hub)
        with Knocker(hub.conninfo("alice", password)) as knocker:
            said = hub.dorm("up")
        assert knocker.problems == []
        print(f"gap: {max(knocker.times) * 1000:.0f} ms the longest login while both were replaced")
        hub.wait_end()
        assert running(hub) not in (None, hub.process.pid), said
        assert len(gates(hub)) == 2
        assert pid_of(c) == backend and postmasters(hub, "alice") == servers
        assert "another" not in hub.dorm("up").stderr
    hub.dorm("down")
    wait_until(lambda: running(hub) is None, "it has gone down")
