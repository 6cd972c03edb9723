"""kill -9, at every named place: nothing is lost, left behind, or started twice."""

import contextlib
import os
import re
import signal
import subprocess

import psycopg
import pytest

from hub import leftovers, processes_of, wait_until

SOURCES = os.path.join(os.path.dirname(__file__), "..", "..", "src")


def named_places():
    """Every place in the source at which dormd or a child of it can be made to die."""
    found = set()
    for folder in ("dormd", "engine", "vol", "box", "pg", "backup"):
        for name in os.listdir(os.path.join(SOURCES, folder)):
            text = open(os.path.join(SOURCES, folder, name)).read()
            found |= set(re.findall(r'INJECT\("([a-z0-9.]+)"', text))
    return found


# What a change to a volume passes: test_a_change_to_a_volume_is_killed.
CHANGES = {
    "chore.detached", "chore.moving", "deed.recorded", "vol.copied", "vol.destroying", "vol.destroyed",
    "vol.grow.complete", "vol.grow.named", "vol.replace.exchanged", "vol.replace.kept",
    "vol.replace.made", "vol.replace.put.away", "vol.snapshot.taken", "vol.unmounted", "vol.unmounting",
    "copy.filled", "copy.named", "tree.complete", "tree.drafted", "tree.mapped", "tree.named", "tree.placed",
    "tree.unmounted", "tree.unmounting", "tree.exchanged", "tree.next", "tree.put.away", "tree.condemned",
}
# Where other tests die: the backups' own, and unit tests that do nothing else.
ELSEWHERE = {
    "test_backup.py": r"backup\..*|restore\..*|vol\.imported",
    "test_vol_host.c": r"host\..*",
    "test_vol_place.c": r"nfs\..*|tree\.(place|published|sealing)",
    "test_vol_snapshot.c": r"vol\.(enlarged|grow\.attached|grow\.longer|grown)",
    "test_vol_reserve.c": r"vol\.(mending|reserve\..*)",
    "test_vol_real.c": r"vol\.pool\.(enlarged|grown)",
    "test_pg_adopt.c": r"pg\.adopt\.role",
    "test_nap.py": r"nap\..*",
    "test_bricked.py": r"(repair|fresh|pg\.mend)\..*",
    "test_memory.py": r"memory\..*",
    "test_volumes.py": r"static\.copied|vol\.shared",
    "test_localhost.py": r"tool\..*",
    "test_upgrade.py": r"upgrade\..*",
}


def first_wake_places():
    elsewhere = re.compile("|".join(ELSEWHERE.values()))
    return sorted(p for p in named_places() - CHANGES if not elsewhere.fullmatch(p))


def postmasters(hub, login):
    uid = int(hub.show(login)["host uid"])
    out = []
    for pid, _, _ in processes_of((uid, uid)):
        with contextlib.suppress(OSError):
            words = open(f"/proc/{pid}/cmdline").read().split("\0")
            if words[0].endswith("/postgres") and words[1] == "-D":
                out.append(pid)
    return out


def test_servers_and_sessions_outlive_dormd(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        backend = c.execute("select pg_backend_pid()").fetchone()[0]
        before = postmasters(hub, "alice")
        hub.kill()
        assert c.execute("select pg_backend_pid()").fetchone()[0] == backend
        hub.start()
        assert c.execute("select pg_backend_pid()").fetchone()[0] == backend
        assert postmasters(hub, "alice") == before
        wait_until(lambda: hub.show("alice")["sessions"].startswith("1,"), "the session is counted")
        with hub.connect("alice", password) as other:
            assert other.execute("select count(*) from pg_stat_activity where usename = 'alice'"
                                 " and backend_type = 'client backend'").fetchone() == (2,)
    wait_until(lambda: hub.show("alice")["sessions"].startswith("0,"), "both have gone")
    hub.dorm("server", "stop", "alice")


def test_a_login_while_there_is_no_dormd_waits_for_the_next(hub):
    password = hub.add("alice")
    hub.connect("alice", password).close()
    hub.kill()
    client = subprocess.Popen(
        ["psql", hub.conninfo("alice", password), "-Atc", "select 42"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    hub.start()
    out, err = client.communicate(timeout=60)
    assert out == "42\n", err


def test_a_gate_that_dies_is_replaced_and_servers_stay(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        before = postmasters(hub, "alice")
        gate, = [p for p, name, _ in processes_of((hub.uids[0],) * 2) if "dorm-gate" in name]
        os.kill(gate, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            c.execute("select 1")
    with hub.connect("alice", password) as c:
        assert c.execute("select 1").fetchone() == (1,)
    assert postmasters(hub, "alice") == before
    wait_until(lambda: hub.show("alice")["sessions"].startswith("0,"), "the lost session is forgotten")


def test_a_killed_postmaster_is_started_for_the_next_connection(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("create table acked as select 1 as n")
        for pid in postmasters(hub, "alice"):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            while True:
                c.execute("select 1")
    with hub.connect("alice", password) as c:
        assert c.execute("select n from acked").fetchone() == (1,)


def test_a_second_dormd_on_the_same_state_is_refused(hub):
    done = subprocess.run([hub.lib / "dormd"], env=hub.env(), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "another dormd" in done.stderr
    assert hub.dorm("status").returncode == 0


@pytest.mark.parametrize("place", first_wake_places())
def test_killed_at(new_hub, place):
    """
    dormd, or the child that does the work, dies at this place during a first start and the first
    wake of a new user. The next dormd must come up, and the user must get in, once.
    """
    hub = new_hub(inject=f"{place}=kill")
    said = hub.start(expect_ready=False)
    password = None
    if said == "ready\n":
        with contextlib.suppress(Exception):
            password = hub.add("alice")
            hub.connect("alice", password, connect_timeout=10).close()
        with contextlib.suppress(Exception):
            hub.dorm("server", "stop", "alice", check=False)
    if hub.process.poll() is None:
        hub.kill()
    assert f"injected at {place}" in hub.log, "nobody came by here"
    hub.inject = None
    hub.start()
    if not [u for u in hub.rows("user", "list") if u["login"] == "alice"]:
        hub.add("alice")
    password = hub.rows("user", "passwd", "alice")[0]["password"]
    with hub.connect("alice", password) as c:
        assert c.execute("select current_user").fetchone() == ("alice",)
    assert len(postmasters(hub, "alice")) == 1
    hub.dorm("server", "stop", "alice")
    assert postmasters(hub, "alice") == []


def test_killed_again_and_again_while_people_connect(hub):
    """Twenty rounds of kill -9 under a client that counts what it was told is committed."""
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("create table ledger (n int primary key)")
    acknowledged = 0
    for round_ in range(20):
        with hub.connect("alice", password) as c:
            for _ in range(5):
                c.execute("insert into ledger values (%s)", (acknowledged,))
                acknowledged += 1
            if round_ % 3 == 0:
                hub.dorm("server", "stop", "alice", check=False)
        hub.kill()
        hub.start()
        assert len(postmasters(hub, "alice")) <= 1
    with hub.connect("alice", password) as c:
        assert c.execute("select count(*) from ledger").fetchone() == (acknowledged,)
    print(f"G3-03 committed {acknowledged}, lost 0")


def test_a_purge_after_a_crash_leaves_nothing(new_hub):
    hub = new_hub()
    hub.start()
    password = hub.add("alice")
    hub.connect("alice", password).close()
    hub.kill()
    hub.start()
    hub.dorm("purge", "--yes", "it")
    hub.wait_end()
    assert leftovers(hub) == []


def restart_if_hit(hub, place, seen):
    """The place has been reached once: from now on without it."""
    if not seen and f"injected at {place}" in hub.log:
        seen.append(place)
    if seen == [place]:
        seen.append("over")
        if hub.process.poll() is None:
            hub.kill()
        hub.inject = None
        hub.start()


STEPS = [
    ["volume", "resize", "postgres-alice", "192Mi"],
    ["server", "reset", "alice", "--yes"],
    ["snapshot", "restore", "alice", "friday", "--yes"],
    ["volume", "move", "postgres-alice", "--to", "other"],
    ["volume", "move", "postgres-alice", "--to", "files"],
    ["server", "reset", "alice", "--yes"],
    ["snapshot", "restore", "alice", "friday", "--yes"],
    ["snapshot", "create", "alice", "--label", "monday"],
    ["volume", "move", "postgres-alice", "--to", "standard"],
    ["snapshot", "delete", "alice", "monday", "--yes"],
]


@pytest.mark.parametrize("place", sorted(CHANGES))
def test_a_change_to_a_volume_is_killed(new_hub, place):
    """
    dormd, or its child, dies once at this place while a volume is resized, reset, restored and moved
    between classes. What was saved on Friday can be had back, whatever came of the rest.
    """
    hub = new_hub(pool="1Gi")
    hub.write_conf(f"storage: {{standard: {{}}, other: {{pool: {hub.dir}/other}}, files: {{driver: directory, "
                   f"path: {hub.dir}/files}}}}\nserver: {{claim: {{capacity: 128Mi}}, snapshots: {{every: never}}}}")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("create table t as select generate_series(1, 100) as n")
    hub.dorm("snapshot", "create", "alice", "--label", "friday")
    hub.kill()
    hub.inject = f"{place}=kill"
    hub.start()
    seen = []
    for step in STEPS:
        hub.dorm(*step, check=False)
        restart_if_hit(hub, place, seen)
        if step[1] in ("reset", "restore", "move"):
            with contextlib.suppress(psycopg.OperationalError):
                hub.connect("alice", password).close()
        restart_if_hit(hub, place, seen)
    assert seen, "nobody came by here"
    assert "friday" in hub.dorm("snapshot", "list", "alice").stdout
    hub.dorm("snapshot", "restore", "alice", "friday", "--yes")
    with hub.connect("alice", password) as c:
        assert c.execute("select count(*) from t").fetchone() == (100,)
    assert len(postmasters(hub, "alice")) == 1
