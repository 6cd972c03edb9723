"""Many at once: everybody is let in, in turn; what a server may have of the machine, live."""

import contextlib
import os
import pathlib
import subprocess
import threading

import psycopg
import pytest

from crowd import moves, most_waking, starts, storm
from hub import wait_until

PEOPLE = 30


def add_all(hub, n):
    logins = [f"u{i}" for i in range(n)]
    return {login: hub.call("user add", login=login)[0]["password"] for login in logins}


def test_a_crowd_of_new_users_is_let_in_each_started_once(new_hub):
    hub = new_hub(pool="2Gi")
    hub.start()
    people = add_all(hub, PEOPLE)
    times, refused = storm([hub.conninfo(who, password) for who, password in people.items()])
    assert refused == []
    assert len(times) == PEOPLE
    count = starts(hub.log)
    assert len(count) == PEOPLE and set(count.values()) == {1}
    assert most_waking(hub.log) <= 2 * os.cpu_count()


def test_a_crowd_at_one_door_starts_one_server(hub):
    password = hub.add("alice")
    times, refused = storm([hub.conninfo("alice", password)] * 60, stay=True)
    assert refused == [] and len(times) == 60
    assert list(starts(hub.log).values()) == [1]


@pytest.fixture
def narrow(new_hub):
    """Memory for one server at a time."""
    hub = new_hub(conf="server: {sleep: {after: never}, limits: {memory: 128Mi}}")
    hub.write_conf(extra=", memory: 128Mi")
    hub.start()
    return hub


def psql(hub, who, password, seconds=30):
    """A person at a terminal, who sees what they wait for."""
    return subprocess.Popen(
        ["psql", "-X", "-A", "-t", "-c", "select 42", hub.conninfo(who, password, connect_timeout=seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_who_there_is_no_memory_for_waits_with_a_place_and_words(narrow):
    alice, bob = narrow.add("alice"), narrow.add("bob")
    with narrow.connect("alice", alice) as c:
        waiting = psql(narrow, "bob", bob)
        wait_until(lambda: narrow.state_of("bob") == "queued (1)", "bob has a place")
        states = {r["name"]: r["state"] for r in narrow.rows("server", "list")}
        assert states == {"alice": "awake", "bob": "queued (1)", "demo": "asleep"}
        line = ""
        while "queue" not in line:  # it comes after two seconds, or psql ends
            line = waiting.stderr.readline()
            assert line
        assert "your server is number 1 in the queue: the memory for servers is in use" in line
        assert c.execute("select 1").fetchone() == (1,)
    out, _ = waiting.communicate(timeout=30)
    assert out == "42\n"
    assert narrow.state_of("alice") == "asleep"
    assert "put to sleep: others wait for memory" in narrow.log


def test_who_gives_up_leaves_the_queue(narrow):
    alice, bob, carol = narrow.add("alice"), narrow.add("bob"), narrow.add("carol")
    with narrow.connect("alice", alice):
        first = psql(narrow, "bob", bob)
        wait_until(lambda: narrow.state_of("bob") == "queued (1)", "bob has a place")
        second = psql(narrow, "carol", carol)
        wait_until(lambda: narrow.state_of("carol") == "queued (2)", "carol has the next")
        first.terminate()
        first.communicate()
        wait_until(lambda: narrow.state_of("carol") == "queued (1)", "she is the first now")
    assert second.communicate(timeout=30)[0] == "42\n"
    bob_id = narrow.server_id("bob")
    assert (bob_id, "asleep", "waking") not in moves(narrow.log)


def limit_files(hub, where):
    top = pathlib.Path("/sys/fs/cgroup")
    return {name: (group / name).read_text().strip()
            for group in top.glob(f"*/dormouse-{hub.id}/{where}")
            for name in ("cpu.cfs_quota_us", "cpu.shares", "cpu.max", "cpu.weight", "pids.max",
                         "memory.limit_in_bytes", "memory.max")
            if (group / name).exists()}


def test_other_limits_reach_a_server_that_is_awake(new_hub):
    hub = new_hub(conf="server: {limits: {memory: 256Mi, cpu: 0.5, pids: 150}}")
    hub.start()
    password, server = hub.add("alice"), hub.server_id("alice")
    with hub.connect("alice", password) as c:
        was = limit_files(hub, server)
        assert was["pids.max"] == "150"
        assert was.get("cpu.cfs_quota_us", "50000") == "50000" and was.get("cpu.shares", "10") == "10"
        hub.write_conf("server: {limits: {memory: 512Mi, cpu: 2, pids: 170}, requests: {cpu: 0.5}}",
                       extra=", memory: 1Gi")
        hub.dorm("reload")
        now, all_ = limit_files(hub, server), limit_files(hub, "")
        assert now["pids.max"] == "170"
        assert now.get("cpu.cfs_quota_us", "200000") == "200000" and now.get("cpu.shares", "512") == "512"
        assert (now.get("memory.limit_in_bytes") or now["memory.max"]) == str(512 << 20)
        assert (all_.get("memory.limit_in_bytes") or all_["memory.max"]) == str(1 << 30)
        assert c.execute("select 42").fetchone() == (42,)


HOLD = "copy (select 1) to program '(head -c 200000000 /dev/zero; sleep 120) | tail > /dev/null'"


def hold(c):
    with contextlib.suppress(psycopg.Error):
        c.execute(HOLD)


@pytest.mark.parametrize("how", ["reload", "another dormd"])
def test_less_memory_for_all_than_is_held_ends_nobody(new_hub, how):
    hub = new_hub(conf="server: {limits: {memory: 1Gi}}")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c, hub.connect("alice", password) as other:
        pid, = c.execute("select pg_backend_pid()").fetchone()
        holder = threading.Thread(target=hold, args=(c,), daemon=True)
        holder.start()
        wait_until(lambda: int(hub.rows("top")[0]["memory"]) > 190000000, "200 MB are held", 10)
        hub.write_conf("server: {limits: {memory: 128Mi}}", extra=", memory: 128Mi")
        if how == "reload":
            hub.dorm("reload")
        else:
            hub.kill()
            hub.start()
        assert other.execute("select 1").fetchone() == (1,)
        assert other.execute("select state from pg_stat_activity where pid = %s", (pid,)).fetchone() == ("active",)
        assert hub.show("alice")["state"] == "awake"
        hub.dorm("server", "stop", "alice")
        wait_until(lambda: str(128 << 20) in limit_files(hub, "").values(), "the limit for all is in force", 10)
