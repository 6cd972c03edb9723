"""Naps, sleep under connected clients, and what idleness is, row by row."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import psycopg
import pytest

from gate_alone import until
from hub import processes_of, wait_until
from test_crash import named_places

QUICK = "server: {sleep: {nap: 1s, after: 1s, connected: 8h}}"


@pytest.fixture(scope="module")
def quick():
    """One hub for the tests that do not mind each other."""
    from hub import Hub
    hub = Hub(conf=QUICK, pool="1Gi")
    hub.start()
    yield hub
    hub.purge()


def naps(hub, name):
    wait_until(lambda: hub.state_of(name) == "napping", f"{name} naps", 20)


def sleeps(hub, name):
    wait_until(lambda: hub.state_of(name) == "asleep", f"{name} sleeps", 20)


def stays(hub, name, why):
    wait_until(lambda: hub.show(name).get("stays awake") == why, f"{name} stays awake: {why}", 20)


def count_naps(hub, name):
    return hub.log.count(f"name={name} server={hub.server_id(name)} awake -> napping")


def frozen(hub, name, server=None):
    """What the kernel's groups say. Without a dormd to ask, server is its id."""
    group = f"dormouse-{hub.id}/{server or hub.server_id(name)}"
    for path in pathlib.Path("/sys/fs/cgroup").glob(f"*/{group}/cgroup.events"):
        return "frozen 1" in path.read_text()
    for path in pathlib.Path("/sys/fs/cgroup").glob(f"*/{group}/freezer.state"):
        return path.read_text() == "FROZEN\n"
    return "frozen 1" in pathlib.Path(f"/sys/fs/cgroup/{group}/cgroup.events").read_text()


@contextlib.contextmanager
def in_background(c, sql):
    """The statement runs while the body does; it is cancelled at its end."""
    def run():
        with contextlib.suppress(psycopg.Error):
            c.execute(sql)

    t = threading.Thread(target=run)
    t.start()
    try:
        yield
    finally:
        while t.is_alive():
            c.cancel()
            t.join(0.05)


# ---- naps ----

def test_a_quiet_server_naps_and_its_sessions_live_on(quick):
    password = quick.add("ann")
    with quick.connect("ann", password) as c:
        c.execute("create temp table mine as select 42 as n")
        c.execute("prepare p as select n from mine")
        c.execute("listen news")
        c.execute("declare held cursor with hold for select n from mine")
        c.execute("select pg_advisory_lock(7)")
        pid = c.info.backend_pid
        naps(quick, "ann")
        assert frozen(quick, "ann")
        assert ["napping"] == [r["state"] for r in quick.rows("server", "list") if r["name"] == "ann"]
        assert c.execute("execute p").fetchone() == (42,)
        assert not frozen(quick, "ann") and c.info.backend_pid == pid
        assert c.execute("fetch held").fetchone() == (42,)
        assert c.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone() == (1,)
        naps(quick, "ann")
    sleeps(quick, "ann")


def test_who_comes_to_a_napping_server_is_let_in(quick):
    password = quick.add("ben")
    with quick.connect("ben", password) as c:
        naps(quick, "ben")
        with quick.connect("ben", password) as other:
            assert other.execute("select 1").fetchone() == (1,)
        assert c.execute("select 1").fetchone() == (1,)
        naps(quick, "ben")
        quick.dorm("server", "stop", "ben")
        assert quick.state_of("ben") == "asleep"
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            c.execute("select 1")


def test_an_operator_lets_it_nap(quick):
    password = quick.add("cid")
    refused = quick.dorm("server", "nap", "cid", check=False)
    assert refused.returncode != 0 and "only a server that is awake" in refused.stderr
    with quick.connect("cid", password) as c:
        with c.transaction():
            c.execute("select 1")
            wait_until(lambda: "a transaction is open" in quick.dorm("server", "nap", "cid", check=False).stderr,
                       "it is refused for that")  # once it has been quiet
        wait_until(lambda: "napping" in quick.dorm("server", "nap", "cid", check=False).stdout, "it does")
        assert quick.state_of("cid") == "napping"
        assert c.execute("select 1").fetchone() == (1,)
    assert "dorm server nap SERVER" in quick.dorm("server", "nap", "--help").stdout


# ---- what keeps awake ----

LEFT_BEHIND = "copy (select where false) to program 'setsid sleep 60 >/dev/null 2>&1 </dev/null & exit 0'"


REASONS = ["a client waits for its answer", "a transaction is open", "a transaction is open",
           "a client waits for its answer",
           "a program is running in it", "idle_session_timeout goes on during a nap"]


def test_work_keeps_it_awake(quick):
    """Each row in a server of its own, all at the same time."""
    names = ["dan", "eve", "fay", "gus", "hal", "ida"]
    passwords = {n: quick.add(n) for n in names}
    with contextlib.ExitStack() as stack:
        c = {n: stack.enter_context(quick.connect(n, passwords[n])) for n in names}
        stack.enter_context(in_background(c["dan"], "select pg_sleep(600)"))
        c["eve"].execute("begin")
        c["fay"].execute("set track_activities to off")
        c["fay"].execute("begin")
        c["fay"].execute("select 1")
        stack.enter_context(in_background(c["gus"], "copy (select where false) to program 'sleep 600'"))
        c["hal"].execute(LEFT_BEHIND)
        c["ida"].execute("alter role ida set idle_session_timeout to '10min'")
        before = {n: count_naps(quick, n) for n in names}  # the first may nap before the last has come
        for n, why in zip(names, REASONS):
            stays(quick, n, why)
        assert {n: count_naps(quick, n) for n in names} == before
        assert {quick.state_of(n) for n in names} == {"awake"}
        c["eve"].execute("commit")
        c["hal"].execute("copy (select where false) to program 'pkill sleep'")
        c["ida"].execute("alter role ida reset idle_session_timeout")
        for n in ("eve", "hal", "ida"):
            naps(quick, n)
    for n in names:
        sleeps(quick, n)


def test_a_replica_keeps_it_awake(quick):
    password = quick.add("jon")
    info = quick.conninfo("jon", password, replication="database")
    with quick.connect("jon", password) as c:
        pid, = c.execute("select pg_backend_pid()").fetchone()
    p = subprocess.Popen(["psql", info], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdin.write("IDENTIFY_SYSTEM;\n")
    p.stdin.flush()
    assert "systemid" in p.stdout.readline()
    stays(quick, "jon", "a replica or a backup reads from it")
    p.stdin.close()
    p.wait()
    sleeps(quick, "jon")


def test_a_statement_whose_client_has_left_is_finished_first(quick):
    password = quick.add("kay")
    with quick.connect("kay", password) as c:
        c.execute("create table done (n int)")
    p = subprocess.Popen(["psql", quick.conninfo("kay", password), "-c",
                          "do $$ begin perform pg_sleep(5); end $$", "-c", "insert into done values (1)"])
    wait_until(lambda: quick.show("kay")["sessions"].startswith("1,"), "it is in")
    with quick.connect("kay", password) as c:
        wait_until(lambda: c.execute("select count(*) from pg_stat_activity where query like 'do%' and "
                                     "state = 'active' and pid <> pg_backend_pid()").fetchone() == (1,),
                   "its statement runs")
    p.kill()
    p.wait()
    wait_until(lambda: quick.show("kay")["sessions"].startswith("0,"), "it has left")
    stays(quick, "kay", "a statement is running")
    sleeps(quick, "kay")


# ---- what does not ----

def test_strangers_and_cancels_do_not_stir_it(quick):
    password = quick.add("leo")
    with quick.connect("leo", password) as c:
        naps(quick, "leo")
        before = count_naps(quick, "leo")
        for _ in range(20):
            with pytest.raises(psycopg.OperationalError):
                quick.connect("leo", "wrong").close()
            with socket.create_connection(("127.0.0.1", quick.port)) as s:
                s.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
                assert s.recv(1) == b"S"
            c.cancel()
            assert quick.state_of("leo") == "napping" and frozen(quick, "leo")
        assert count_naps(quick, "leo") == before
        assert c.execute("select 1").fetchone() == (1,)


def test_a_prepared_transaction_lets_it_sleep(quick):
    password = quick.add("mia")
    with quick.connect("mia", password) as c:
        c.execute("alter system set max_prepared_transactions to 2")
    sleeps(quick, "mia")
    with quick.connect("mia", password) as c:
        c.execute("create table t (n int)")
        c.execute("begin")
        c.execute("insert into t values (1)")
        c.execute("prepare transaction 'later'")
    sleeps(quick, "mia")
    with quick.connect("mia", password) as c:
        c.execute("commit prepared 'later'")
        assert c.execute("select count(*) from t").fetchone() == (1,)


# ---- sleep under connected clients ----

@pytest.mark.parametrize("nap", ["1s", "never"])
def test_it_sleeps_under_clients_that_say_nothing(new_hub, nap):
    hub = new_hub(conf=f"server: {{sleep: {{nap: {nap}, connected: 3s}}}}")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c, hub.connect("alice", password) as busy:
        c.execute("create table t as select 1 as n")
        with in_background(busy, "select pg_sleep(600)"):
            stays(hub, "alice", "a client waits for its answer")
        psql = subprocess.Popen(["psql", "-X", "-v", "VERBOSITY=verbose", hub.conninfo("alice", password)],
                                stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        wait_until(lambda: hub.show("alice")["sessions"].startswith("3,"), "psql is in")
        sleeps(hub, "alice")
        assert ("napping -> falling asleep" in hub.log) == (nap == "1s")
        assert "57P01: terminating connection: your server fell asleep" in psql.communicate("select 1;\n")[1]
        with pytest.raises(psycopg.Error) as told:
            c.execute("select n from t")
        assert "fell asleep because nobody spoke for 3s; connect again and it wakes" in str(told.value)
    with hub.connect("alice", password) as c:
        assert c.execute("select n from t").fetchone() == (1,)


def test_a_broken_catalog_does_not_keep_it_awake_for_ever(new_hub):
    hub = new_hub(conf="server: {sleep: {nap: 1s, after: 1s, connected: 4s}}")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("set allow_system_table_mods to on")
        c.execute("drop view pg_stat_activity cascade")
    stays(hub, "alice", "it could not be asked what it does")
    sleeps(hub, "alice")
    with hub.connect("alice", password) as c:
        stays(hub, "alice", "it could not be asked what it does")
        sleeps(hub, "alice")
        with pytest.raises(psycopg.Error, match="fell asleep"):
            c.execute("select 1")


# ---- when something is killed ----

def test_a_nap_ends_with_the_dormd_that_began_it(new_hub):
    hub = new_hub(conf=QUICK)
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        server = hub.server_id("alice")
        naps(hub, "alice")
        hub.kill()
        assert frozen(hub, "alice", server)
        answers = []
        t = threading.Thread(target=lambda: answers.append(c.execute("select 42").fetchone()))
        t.start()
        hub.start()
        t.join()
        assert answers == [(42,)]
        naps(hub, "alice")
        hub.process.send_signal(signal.SIGTERM)
        hub.wait_end()
        assert not frozen(hub, "alice", server)
        assert c.execute("select 43").fetchone() == (43,)  # nobody is there to thaw it
        hub.start()


def test_a_gate_that_dies_leaves_nothing_frozen(new_hub):
    hub = new_hub(conf=QUICK)
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password):
        naps(hub, "alice")
        gate, = [p for p, name, _ in processes_of((hub.uids[0],) * 2) if "dorm-gate" in name]
        os.kill(gate, signal.SIGKILL)
        sleeps(hub, "alice")
    with hub.connect("alice", password) as c:
        assert c.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("place", sorted(p for p in named_places() if p.startswith("nap.")))
def test_killed_at(new_hub, place):
    """dormd, or the child that looks, dies there; the session is answered by way of the next."""
    hub = new_hub(conf=QUICK, inject=f"{place}=kill")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        wait_until(lambda: f"injected at {place}" in hub.log or hub.state_of("alice") == "napping", "it gets there")
        answers = []
        t = threading.Thread(target=lambda: answers.append(c.execute("select 42").fetchone()))
        t.start()
        wait_until(lambda: f"injected at {place}" in hub.log, "it is killed")
        hub.inject = None
        if place != "nap.look":
            hub.wait_end()
            hub.start()
        t.join()
        assert answers == [(42,)]
        if place != "nap.look":
            naps(hub, "alice")


# ---- the gate's part ----

def session_server(gate):
    return gate.dormd.sent("GATE_WAKE")[-1][1].decode()


def quiet(gate, number):
    gate.dormd.send("GATE_NAP", session_server(gate), number)
    until(lambda: [v for v in gate.dormd.sent("GATE_QUIET") if v[1] == number], "the gate answers")
    return [v for v in gate.dormd.sent("GATE_QUIET") if v[1] == number][0][2]


def test_the_gate_tells_of_the_first_word_after_the_question_once(gate):
    with psycopg.connect(gate.dsn(), autocommit=True) as c:
        c.execute("select 1")
        assert quiet(gate, 1) < 5000
        began = time.monotonic()
        until(lambda: quiet(gate, int((time.monotonic() - began) * 1000000) + 2) >= 300, "it gets quiet")
        assert gate.dormd.count("GATE_STIR") == 0
        c.execute("select 2")
        until(lambda: gate.dormd.count("GATE_STIR") == 1, "it is told")
        c.execute("select 3")
        assert quiet(gate, 10**9) < 300
        assert gate.dormd.count("GATE_STIR") == 1
    until(lambda: gate.dormd.count("GATE_STIR") == 2, "leaving is a word")


def test_of_a_server_nobody_is_in_the_gate_says_that_it_is_quiet(gate):
    with psycopg.connect(gate.dsn()):
        pass
    until(lambda: gate.dormd.count("GATE_CLOSED") == 1, "it has left")
    assert quiet(gate, 1) == 2**64 - 1


def test_a_server_that_speaks_by_itself_is_not_quiet(gate, postgres):
    with psycopg.connect(gate.dsn(), autocommit=True) as c:
        c.execute("listen news")
        quiet(gate, 1)
        postgres.sql("notify news")  # to database "postgres": not for this session
        subprocess.run(["psql", "-XqAt", "-h", postgres.base, "-p", str(postgres.port), "-U", "alice",
                        "-d", "alice", "-c", "notify news"], check=True)
        until(lambda: gate.dormd.count("GATE_STIR") == 1, "it is told")


def fatal(sqlstate, text):
    body = b"SFATAL\0VFATAL\0C" + sqlstate + b"\0M" + text + b"\0\0"
    return b"E" + (len(body) + 4).to_bytes(4, "big") + body


@pytest.mark.parametrize("last_words", [fatal(b"57P03", b"the database system is shutting down"),
                                        fatal(b"57P03", b"the database system is starting up"), b""])
def test_a_login_does_not_hear_that_its_server_is_just_ending(new_gate, postgres, last_words):
    met = []

    def connect(server):
        met.append(server)
        if len(met) > 3:
            return postgres.connect(server)
        ours, theirs = socket.socketpair()
        theirs.sendall(last_words)
        theirs.close()
        return ours

    gate = new_gate(connect)
    with psycopg.connect(gate.dsn()) as c:
        assert c.execute("select 1").fetchone() == (1,)
    assert len(met) == 4
    assert gate.dormd.count("GATE_WAKE") == 4
    until(lambda: gate.dormd.count("GATE_CLOSED") == 4, "each wish has been taken back")


def test_a_server_that_never_says_a_word_is_given_up(new_gate):
    def connect(server):
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours

    gate = new_gate(connect)
    with pytest.raises(psycopg.OperationalError, match="did not begin a session"):
        psycopg.connect(gate.dsn())
