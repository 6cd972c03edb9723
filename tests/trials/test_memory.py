"""
G4-07, G4-08. Greedy statements and programs, one and many, in one server: how often the kernel had to
kill, what the statements ended with, how soon the server was ready again, and what neighbours felt.
"""

import collections
import contextlib
import os
import pathlib
import threading
import time

import psycopg
import pytest

from hub import wait_until

ROUNDS = int(os.environ.get("DORM_TRIAL_ROUNDS", "2"))
MEMORY = "512Mi"
READY_S = 1
ENDINGS = ("53200", "53100", "57014", "38000")  # the last: the program that a statement ran has failed
GREEDY = "set work_mem = '1GB'; set jit = off"
SORT = "select count(*) from (select md5(g::text) m from generate_series(1, 3000000) g order by 1) x"
HASH = "select count(*) from (select md5(g::text) m, count(*) from generate_series(1, 3000000) g group by 1) x"
PARALLEL = ("set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;"
            "set min_parallel_table_scan_size = 0; set enable_mergejoin = off; set enable_nestloop = off;"
            "set enable_sort = off")
JOIN = "select count(*) from wide a join wide b on a.m = b.m and a.g + 0 = b.g"
EAT = "import time; x = bytearray({} << 20); x[::4096] = b\"y\" * len(x[::4096]); time.sleep(3)"


class Server:
    """One greedy server, seen from inside and from outside."""

    def __init__(self, hub, login):
        self.hub, self.login = hub, login
        self.password = hub.add(login)
        self.keeper = self.connect()
        self.id = hub.server_id(login)
        self.group = next(iter(pathlib.Path("/sys/fs/cgroup").glob(f"memory/dormouse-{hub.id}/{self.id}")), None)
        self.group = self.group or next(pathlib.Path("/sys/fs/cgroup").glob(f"**/dormouse-{hub.id}/{self.id}"))

    def connect(self, *statements):
        c = self.hub.connect(self.login, self.password)
        for statement in statements:
            c.execute(statement)
        return c

    def kills(self):
        path = self.group / "memory.oom_control"
        path = path if path.exists() else self.group / "memory.events"
        return next(int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith("oom_kill "))

    def postmaster(self):
        """Its host pid: the first process of the pod's process 1."""
        for pid in (self.group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError, StopIteration):
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                if next(l for l in status.splitlines() if l.startswith("NSpid:")).split()[-1] == "2":
                    return pid
        return None


def ending(run):
    try:
        run()
        return "done"
    except psycopg.Error as problem:
        return problem.sqlstate or "lost"


def all_at_once(runs):
    endings = [None] * len(runs)

    def one(i):
        endings[i] = ending(runs[i])
    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(runs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return endings


def sessions(server, n, setup, statement):
    """As many as are let in, each with the statement, all at once."""
    with contextlib.ExitStack() as stack:
        runs = []
        for _ in range(n):
            try:
                c = stack.enter_context(contextlib.closing(server.connect(*setup.split(";"))))
            except psycopg.Error:
                break
            runs.append(lambda c=c: c.execute(statement))
        return all_at_once(runs)


def program(script):
    return f"copy (select where false) to program '{script}'"


def python(mebibytes, processes):
    code = EAT.format(mebibytes).replace('"', '\\"').replace("'", "''")
    return program(f'for i in $(seq {processes}); do /usr/bin/python3 -c "{code}" & all="$all $!"; done; '
                   'for i in $all; do wait $i || bad=1; done; test -z "$bad"')


def wide(server):
    with server.connect() as c:
        c.execute("create table if not exists wide as select g, md5(g::text) || md5((g + 1)::text) as m "
                  "from generate_series(1, 1500000) g")
        c.execute("analyze wide")
        c.execute("checkpoint")  # a recovery reads all that was written since the last one


def shm(server):
    """/dev/shm is filled to its own limit, and then others want memory as well."""
    with server.connect() as c:
        try:
            return [ending(lambda: c.execute(program("cat /dev/zero > /dev/shm/x"))),
                    *sessions(server, 6, GREEDY, SORT)]
        finally:
            with contextlib.suppress(psycopg.Error), server.connect() as d:
                d.execute(program("rm -f /dev/shm/x"))


def cache(server):
    """A file larger than the memory is written and read: only page cache, nobody may be asked."""
    with server.connect() as c:
        return [ending(lambda: c.execute("copy (select repeat(md5(g::text), 30) from generate_series(1, 800000) g) "
                                         "to '/var/lib/postgresql/big'")),
                ending(lambda: c.execute(program("cat /var/lib/postgresql/big > /dev/null"))),
                ending(lambda: c.execute(program("rm -f /var/lib/postgresql/big")))]


CASES = {
    "sort": lambda s: sessions(s, 1, GREEDY, SORT),
    "hash": lambda s: sessions(s, 1, GREEDY + "; set hash_mem_multiplier = 100; set enable_sort = off", HASH),
    "parallel-hash-join": lambda s: (wide(s), sessions(s, 4, GREEDY + ";" + PARALLEL, JOIN))[1],
    "repeat": lambda s: sessions(s, 1, GREEDY, "select length(repeat('x', 1000000000))"),
    "40-sorts": lambda s: sessions(s, 40, GREEDY, SORT),
    "200-sorts": lambda s: sessions(s, 200, GREEDY, SORT),
    "program": lambda s: sessions(s, 1, GREEDY, python(900, 1)),
    "12-programs": lambda s: sessions(s, 1, GREEDY, python(110, 12)),
    "shm": shm,
    "page-cache": cache,
}


class Neighbour(threading.Thread):
    """Asks its own server all the time, and counts what went wrong and how long it took."""

    def __init__(self, hub):
        super().__init__()
        self.c = hub.connect("calm", hub.add("calm"))
        self.errors, self.slowest, self.stop = 0, 0, threading.Event()

    def run(self):
        while not self.stop.wait(0.01):
            at = time.monotonic()
            try:
                self.c.execute("select 1")
            except psycopg.Error:
                self.errors += 1
                return
            self.slowest = max(self.slowest, time.monotonic() - at)


class Watched(threading.Thread):
    """From the kernel's first kill to a server that lets in and keeps whom it let in."""

    def __init__(self, server, before):
        super().__init__()
        self.server, self.before = server, before
        self.took, self.stop = None, threading.Event()

    def run(self):
        while self.server.kills() == self.before:
            if self.stop.wait(0.002):
                return
        began = time.monotonic()
        while self.took is None and time.monotonic() < began + 30:
            with contextlib.suppress(psycopg.Error), self.server.connect() as c:
                at = time.monotonic()
                time.sleep(0.1)  # a server that has not yet heard of it lets go again
                c.execute("select 1")
                self.took = at - began


@pytest.fixture(scope="module")
def yard():
    from hub import Hub
    # DORM_TRIAL_UNWATCHED=1: what it is like when nobody is asked
    hub = Hub(inject="memory.ask=fail" if os.environ.get("DORM_TRIAL_UNWATCHED") else None, conf=f"server: {{limits: {{memory: {MEMORY}, cpu: 2}}, claim: {{capacity: 2Gi}}}}", pool="5Gi")
    try:
        hub.start()
        server, neighbour = Server(hub, "greedy"), Neighbour(hub)
        neighbour.start()
        yield hub, server, neighbour
        neighbour.stop.set()
        neighbour.join()
    finally:
        hub.purge()


def run_case(case, server):
    """Rounds of one case: endings, rounds without a kill, seconds until ready, deaths of the postmaster."""
    endings, calm, ready, deaths = collections.Counter(), 0, 0, 0
    for _ in range(ROUNDS):
        kills, postmaster = server.kills(), server.postmaster()
        watched = Watched(server, kills)
        watched.start()
        endings.update(CASES[case](server))
        killed = server.kills() > kills
        watched.stop.set()
        watched.join()
        calm += not killed
        ready = max(ready, watched.took or 0)
        deaths += server.postmaster() != postmaster
        wait_until(lambda: ending(lambda: server.connect("select 1").close()) == "done", "it is ready")
    return endings, calm, ready, deaths


@pytest.mark.trial("G4-07")
@pytest.mark.parametrize("case", CASES)
def test_greed(yard, trial, case):
    hub, server, neighbour = yard
    neighbour.slowest = 0
    endings, calm, ready, deaths = run_case(case, server)
    ended = sum(n for e, n in endings.items() if e != "done")
    well = sum(endings[e] for e in ENDINGS)
    trial.figure(ROUNDS, "rounds")
    trial.figure(100 * calm // ROUNDS, "% without a kill")
    trial.figure(100 * well // ended if ended else 100, f"% of {ended} ends with the words of one statement alone")
    trial.figure(ready, "s until ready after a kill")
    trial.figure(neighbour.slowest, "s at most for a neighbour's statement")
    trial.figure(deaths, "deaths of the postmaster")
    print(case, dict(endings))
    assert deaths == 0 and neighbour.errors == 0
    assert ready <= READY_S


@pytest.mark.trial("G4-08")
def test_all_servers_at_once(new_hub, trial):
    """Each is within its own limit, together they want four times what there is for them."""
    hub = new_hub(conf="server: {limits: {memory: 256Mi, cpu: 2}, requests: {memory: 32Mi}}", pool="4Gi")
    hub.write_conf(extra=", memory: 640Mi")
    hub.start()
    servers = [Server(hub, f"u{i}") for i in range(10)]
    before, endings = [s.postmaster() for s in servers], collections.Counter()
    calm = 0
    for _ in range(ROUNDS):
        kills = sum(s.kills() for s in servers)
        with contextlib.ExitStack() as stack:
            cs = [stack.enter_context(contextlib.closing(s.connect(*GREEDY.split(";")))) for s in servers * 4]
            endings.update(all_at_once([lambda c=c: c.execute(SORT) for c in cs]))
        calm += sum(s.kills() for s in servers) == kills
    ended = sum(n for e, n in endings.items() if e != "done")
    trial.figure(ROUNDS, "rounds of 10 servers with 4 sorts each")
    trial.figure(100 * calm // ROUNDS, "% without a kill")
    trial.figure(100 * sum(endings[e] for e in ENDINGS) // ended if ended else 100,
                 f"% of {ended} ends with the words of one statement alone")
    print(dict(endings))
    assert [s.postmaster() for s in servers] == before
    assert hub.process.poll() is None
