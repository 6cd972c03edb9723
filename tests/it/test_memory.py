"""Greed ends with the statement that is greedy: the session, the server and the neighbours live on."""

import collections
import contextlib
import pathlib
import re
import signal
import subprocess
import threading

import psycopg
import pytest

from hub import wait_until

SORT = "select count(*) from (select md5(g::text) m from generate_series(1, 3000000) g order by 1) x"
CONF = "server: {limits: {memory: %s, cpu: 2}}"


class Greedy:
    """A server, and what the kernel says of its memory."""

    def __init__(self, hub, login="greedy"):
        self.hub, self.login = hub, login
        self.password = hub.add(login)
        self.connect().close()
        self.group, = pathlib.Path("/sys/fs/cgroup").glob(f"memory/dormouse-{hub.id}/{hub.server_id(login)}")

    def connect(self, *statements):
        c = self.hub.connect(self.login, self.password)
        for statement in ("set work_mem = '1GB'", *statements):
            c.execute(statement)
        return c

    def kills(self):
        text = (self.group / "memory.oom_control").read_text()
        return int(text.split("oom_kill ")[1].split()[0])

    def postmaster(self):
        for pid in (self.group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                if status.split("NSpid:")[1].splitlines()[0].split()[-1] == "2":
                    return pid
        return None

    def all_at_once(self, n, statement=SORT):
        """n sessions with this statement: how often each ending came."""
        sessions = [self.connect() for _ in range(n)]
        endings = collections.Counter()

        def run(c):
            endings[ending(c, statement)] += 1
        threads = [threading.Thread(target=run, args=(c,)) for c in sessions]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for c in sessions:
            c.close()
        return endings


def ending(c, statement):
    try:
        c.execute(statement)
        return "done"
    except psycopg.Error as problem:
        return problem.sqlstate or "lost"


@pytest.fixture(scope="module")
def hub():
    from hub import Hub
    hub = Hub(conf=CONF % "384Mi", pool="2Gi")
    hub.start()
    yield hub
    hub.purge()


@pytest.fixture(scope="module")
def greedy(hub):
    return Greedy(hub)


def test_one_greedy_statement_fails_alone(greedy):
    with greedy.connect() as c, greedy.connect() as other:
        other.execute("begin; create temp table mine (n int); insert into mine values (7)")
        assert ending(c, "select length(repeat('x', 1000000000))") == "53200"
        assert ending(c, SORT) == "53200"
        assert c.execute("select 1").fetchone() == (1,)
        assert other.execute("select n from mine").fetchone() == (7,)
    assert greedy.kills() == 0


def test_of_many_the_largest_are_cancelled_before_the_kernel_kills(hub, greedy):
    with greedy.connect() as other:
        other.execute("begin; create temp table mine (n int); insert into mine values (7)")
        told = []
        other.add_notice_handler(lambda n: told.append(n.message_primary))
        endings = greedy.all_at_once(12)
        assert set(endings) <= {"57014", "53200", "done"} and endings["57014"] > 0, endings
        assert other.execute("select n from mine").fetchone() == (7,)
        wait_until(lambda: other.execute("select 1") and [t for t in told if "was cancelled: select count(*)" in t],
                   "who is in the server hears it at a prompt")
    assert greedy.kills() == 0
    said = wait_until(lambda: [l for l in hub.log.splitlines() if "and was cancelled: select count(*)" in l],
                      "the log says whose query it was")
    assert "of the 384Mi of memory of this server" in said[0] and "(greedy)" in said[0]


def test_programs_are_ended_and_the_session_lives(hub, greedy):
    eater = ('/usr/bin/python3 -c "x = bytearray(80 << 20); x[::4096] = b\\"y\\" * len(x[::4096]); input()"'
             ' < /proc/self/fd/9')
    script = f"mkfifo /tmp/f; exec 9<>/tmp/f; for i in 1 2 3 4 5 6 7; do {eater} & done; wait -n; kill $(jobs -p)"
    with greedy.connect() as c:
        assert ending(c, f"copy (select where false) to program $$bash -c '{script}'; exit 1$$") == "38000"
        assert c.execute("select 1").fetchone() == (1,)
    assert greedy.kills() == 0
    wait_until(lambda: "a program of yours" in hub.log, "the log says that it was a program")


def test_page_cache_is_no_reason_to_ask_anybody(hub, greedy):
    before = hub.log.count("cancelled")
    with greedy.connect() as c:
        c.execute("copy (select repeat(md5(g::text), 30) from generate_series(1, 500000) g) "
                  "to '/var/lib/postgresql/big'")
        c.execute("copy (select where false) to program 'cat /var/lib/postgresql/big > /dev/null; rm /var/lib/postgresql/big'")
    assert greedy.kills() == 0 and hub.log.count("cancelled") == before


def test_where_the_kernel_must_kill_the_postmaster_lives_and_it_is_told(hub, greedy):
    """dormd is held up: so nobody is asked, and the kernel has to kill."""
    postmaster, c = greedy.postmaster(), greedy.connect()
    sessions = [greedy.connect() for _ in range(10)]
    hub.process.send_signal(signal.SIGSTOP)
    try:
        threads = [threading.Thread(target=ending, args=(s, SORT)) for s in sessions]
        for t in threads:
            t.start()
        wait_until(lambda: greedy.kills() > 0, "the kernel kills")
        for t in threads:
            t.join()
    finally:
        hub.process.send_signal(signal.SIGCONT)
    assert greedy.postmaster() == postmaster
    assert ending(c, "select 1") != "done"
    wait_until(lambda: "the system killed" in hub.log, "the log says what happened")
    with greedy.connect() as again:
        assert again.execute("select 1").fetchone() == (1,)
    print([l for l in hub.log.splitlines() if "the system killed" in l][-1])


def test_a_dormd_that_dies_asking_is_followed_by_one_that_asks(new_hub):
    hub = new_hub(conf=CONF % "256Mi", inject="memory.ask=kill")
    hub.start()
    greedy = Greedy(hub)
    c = greedy.connect("begin", "create temp table mine (n int)")
    greedy.all_at_once(12)
    assert hub.wait_end() != 0
    kills = greedy.kills()
    hub.inject = None
    hub.start()
    if kills == 0:
        assert ending(c, "select n from mine") == "done"
    c.close()
    assert set(greedy.all_at_once(12)) <= {"57014", "53200", "done"}
    assert greedy.kills() == kills


def test_if_nobody_knows_what_it_was_that_is_not_said(new_hub):
    hub = new_hub(conf=CONF % "256Mi", inject="memory.asking=kill")
    hub.start()
    greedy = Greedy(hub)
    greedy.all_at_once(12)
    said = wait_until(lambda: [l for l in hub.log.splitlines() if "and was cancelled" in l], "it is told")
    assert said[0].endswith("cancelled") and greedy.kills() == 0


def test_all_servers_together_stay_below_what_the_machine_has_for_them(new_hub):
    """Each is within its own limit; who has most beyond what it was counted with is asked first."""
    hub = new_hub(conf="server: {limits: {memory: 512Mi, cpu: 2}, requests: {memory: 48Mi}}")
    hub.write_conf(extra=", memory: 448Mi")
    hub.start()
    modest, greedy = Greedy(hub, "modest"), Greedy(hub, "greedy")
    with modest.connect() as c:
        c.execute("set work_mem = '24MB'; begin; create temp table mine as select 7 as n")
        endings = greedy.all_at_once(12)
        assert c.execute("select count(*) from (select md5(g::text) m from generate_series(1, 100000) g order by 1) x"
                         ).fetchone() == (100000,)
        assert c.execute("select n from mine").fetchone() == (7,)
    assert set(endings) <= {"57014", "53200", "done"} and endings["57014"] > 0, endings
    assert greedy.kills() == 0 and modest.kills() == 0
    wait_until(lambda: "of memory of all servers together and was cancelled" in hub.log, "it is told")
    assert "(modest): your query" not in hub.log


CROWDED = "server: {limits: {memory: 512Mi, cpu: 2}, requests: {memory: 48Mi}}"


@pytest.fixture
def crowded(new_hub):
    """All servers together have less than one may have; and somebody modest, at work."""
    hub = new_hub(conf=CROWDED)
    hub.write_conf(extra=", memory: 448Mi")
    hub.start()
    modest = Greedy(hub, "modest")
    with modest.connect() as c:
        c.execute("set work_mem = '60MB'; begin; create temp table mine as select 7 as n")

        def works():
            for _ in range(4):
                c.execute("select count(*) from (select md5(g::text) m from generate_series(1, 500000) g order by 1) x")
            assert c.execute("select n from mine").fetchone() == (7,)
            assert modest.kills() == 0
        yield hub, works


def test_programs_beside_a_server_go_before_somebody_elses_session(crowded):
    hub, works = crowded
    hub.add("greedy")
    words = [str(hub.lib / "dorm"), "server", "run", "greedy", "--", "perl", "-e", '$x = "x" x (150 << 20); sleep 60']
    programs = [subprocess.Popen(words, env=hub.env(), stderr=subprocess.PIPE) for _ in range(3)]
    works()
    for p in programs:
        p.terminate()
    said = "".join(p.communicate()[1].decode() for p in programs)
    assert "all servers together had used up their memory" in said


@pytest.mark.parametrize("then", ["awake", "napping"])
def test_memory_that_is_no_querys_goes_before_somebody_elses_session(crowded, then):
    hub, works = crowded
    hoarder = Greedy(hub, "hoarder")
    with hoarder.connect() as c:
        c.execute("copy (select 1) to program 'head -c 240M /dev/zero > /dev/shm/x; "
                  "head -c 110M /dev/zero > /tmp/x'")
        if then == "napping":
            wait_until(lambda: hub.dorm("server", "nap", "hoarder", check=False).returncode == 0, "it naps")
            assert hub.state_of("hoarder") == "napping"
        works()
        wait_until(lambda: hub.state_of("hoarder") == "asleep", "it was ended")
    assert re.search("hoarder.* was ended: it held .* of memory that no query would have given back", hub.log)



def test_memory_of_a_server_that_never_is_ready_goes_before_somebody_elses_session(crowded):
    hub, works = crowded
    hoarder = Greedy(hub, "hoarder")
    with hoarder.connect() as c:
        c.execute("alter system set restore_command = 'head -c 240M /dev/zero > /dev/shm/x; "
                  "head -c 110M /dev/zero > /tmp/x; while :; do :; done'")
        c.execute("copy (select 1) to program 'touch /var/lib/postgresql/data/recovery.signal'")
    hub.dorm("server", "stop", "hoarder")
    waits = threading.Thread(target=lambda: pytest.raises(psycopg.Error, hoarder.connect))
    waits.start()
    shmem = hoarder.group / "memory.stat"
    wait_until(lambda: shmem.exists() and int(shmem.read_text().split("total_shmem ")[1].split()[0]) > 340 << 20,
               "it has its hoard")
    works()
    hub.dorm("server", "stop", "hoarder", check=False)
    waits.join()


@pytest.mark.parametrize("memory", ["64Mi", "128Mi"])
def test_a_small_server_does_what_people_do(new_hub, memory):
    hub = new_hub(conf=CONF % memory)
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("create table t as select g, md5(g::text) m, g % 7 k from generate_series(1, 300000) g")
        c.execute("create index on t (m); create index on t (k, g); analyze t")
        c.execute("select count(*) from (select * from t order by m desc) x")
        c.execute("select k, count(*), max(m) from t group by k")
        c.execute("select count(*) from t a join t b using (m)")
        if memory != "64Mi":  # the compiler alone has a third of that, in each process of a query
            c.execute("set jit = on; set jit_above_cost = 0; set jit_inline_above_cost = 0; "
                      "set jit_optimize_above_cost = 0")
        assert c.execute("select sum(g * 2 + k) from t where m > '5'").fetchone()[0] > 0
        c.execute("vacuum full t")
    dump = subprocess.run(["pg_dump", hub.conninfo("alice", password)], capture_output=True, timeout=60)
    assert dump.returncode == 0 and dump.stdout.count(b"\n") > 300000, dump.stderr
    assert "cancelled" not in hub.log and "killed" not in hub.log
