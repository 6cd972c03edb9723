"""
What one user takes from another. B works; A does nothing, then the worst that A can, in turn, so that
both see the same machine. DORM_TRIAL_SECONDS seconds each (6), DORM_TRIAL_TURNS turns (2).

The machine has to have more processors than the quotas of both: limits.cpu is 0.5 each. What is left
between them then is what no quota divides: caches, locks of the kernel, the disk. With quotas out of
the way (limits.cpu as large as the machine) shares alone keep B going: that is the second set-up.
"""

import asyncio
import contextlib
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading

import psycopg
import pytest

from hub import wait_until

SECONDS = int(os.environ.get("DORM_TRIAL_SECONDS", "6"))
TURNS = int(os.environ.get("DORM_TRIAL_TURNS", "2"))
WISHED, BROKEN = 0.9, 0.3  # other work on the machine of the test counts as well
CONNECTIONS = int(os.environ.get("DORM_TRIAL_CONNECTIONS", "450"))
RATE = 100  # transactions a second of somebody who works calmly

CONF = """server:
  sleep: {after: never, nap: never}
  limits: {memory: 1Gi, cpu: CPU, pids: 600}
  parameters: {max_connections: 480}
"""


def pgbench(way, *more):
    """Transactions per second, and the latencies in ms."""
    with tempfile.TemporaryDirectory() as there:
        out = subprocess.run(["pgbench", "-n", "-c", "4", "-T", str(SECONDS), "-l", *more, *way], check=True,
                             capture_output=True, text=True, cwd=there).stdout
        lines = "".join(p.read_text() for p in pathlib.Path(there).glob("pgbench_log*")).splitlines()
    return float(out.split("tps = ")[1].split()[0]), sorted(int(l.split()[2]) / 1000 for l in lines)


LOADS = {"reads": ["-S"], "writes": ["-N"], "calm": ["-S", "-R", str(RATE)]}


class Pair:
    """Two servers of one hub, and how to reach each without the gate."""

    def __init__(self, hub):
        self.hub = hub
        for who in ("a", "b"):
            password = hub.add(who)
            with hub.connect(who, password):
                pass
        subprocess.run(["pgbench", "-i", "-q", "-s", "5", *self.way("b")], check=True, capture_output=True)

    def way(self, who):
        return ["-h", f"{self.hub.run_dir}/pods/{self.hub.server_id(who)}", "-U", who, who]

    def info(self, who):
        return f"host={self.hub.run_dir}/pods/{self.hub.server_id(who)} user={who} dbname={who}"

    @contextlib.contextmanager
    def program(self, line):
        """A runs this in her server until the end of the block, when it is stopped and started."""
        with psycopg.connect(self.info("a"), autocommit=True) as c:
            with contextlib.suppress(psycopg.Error):
                c.execute(f"copy (select where false) to program $x$({line}) </dev/null >/dev/null 2>&1 & $x$")
        yield
        self.hub.call("server stop", name="a")
        self.hub.call("server start", name="a")

    def nothing(self):
        return contextlib.nullcontext()

    def bomb(self):
        return self.program("exec perl -e 'fork while 1'")

    def write(self):
        return self.program("while :; do dd if=/dev/zero of=/var/lib/postgresql/junk bs=1M count=150 conv=fsync; done")

    @contextlib.contextmanager
    def connections(self):
        crowd = Crowd(self.info("a"))
        try:
            yield crowd.begin()
        finally:
            self.hub.call("server stop", name="a")
            crowd.thread.join()
        self.hub.call("server start", name="a")


class Crowd:
    """Connections that each run a loop that does not end, in a thread with a loop of its own."""

    def __init__(self, info):
        self.info, self.busy = info, 0
        self.thread = threading.Thread(target=lambda: asyncio.run(self.all()))

    async def one(self):
        with contextlib.suppress(psycopg.Error):
            async with await psycopg.AsyncConnection.connect(self.info, autocommit=True) as c:
                self.busy += 1
                await c.execute("do $$ begin loop end loop; end $$")

    async def all(self):
        await asyncio.gather(*(self.one() for _ in range(CONNECTIONS)))

    def begin(self):
        self.thread.start()
        wait_until(lambda: self.busy == CONNECTIONS, f"{CONNECTIONS} connections are busy", seconds=240)
        return self


def compare(pair, worst, load):
    """The same load of B's beside nothing and beside the worst: ratios of tps, p99s in ms."""
    seen = {"nothing": [], worst: []}
    for _ in range(TURNS):
        for what in seen:
            with getattr(pair, what)():
                seen[what].append(pgbench(pair.way("b"), *LOADS[load]))
    middle = {what: (statistics.median(t for t, _ in runs),
                     statistics.median(l[len(l) * 99 // 100] for _, l in runs)) for what, runs in seen.items()}
    return middle["nothing"], middle[worst]


def report(trial, what, alone, beside):
    print(f"{what}: {alone[0]:.0f} tps alone, {beside[0]:.0f} beside; p99 {alone[1]:.2f} ms, {beside[1]:.2f} ms")
    trial.figure(beside[0] / alone[0], f"of B's tps is left, {what} (wished {WISHED})")
    trial.figure(beside[1] / alone[1], f"times B's p99, {what}")


@pytest.mark.needs("pgbench", "postgresql-contrib")
@pytest.mark.parametrize("worst, load", [("connections", "reads"), ("bomb", "reads"), ("write", "reads"),
                                         ("write", "writes")])
@pytest.mark.trial("G4-fair")
def test_half_a_processor_each(new_hub, trial, worst, load):
    hub = new_hub(pool="4Gi", conf=CONF.replace("CPU", "0.5"))
    hub.start()
    alone, beside = compare(Pair(hub), worst, load)
    report(trial, f"{load} beside {worst}", alone, beside)
    assert beside[0] > BROKEN * alone[0]


@pytest.mark.needs("pgbench", "postgresql-contrib")
@pytest.mark.parametrize("worst", ["connections", "bomb"])
@pytest.mark.trial("G4-fair/shares")
def test_shares_alone_keep_somebody_going_who_works_calmly(new_hub, trial, worst):
    hub = new_hub(pool="4Gi", conf=CONF.replace("CPU", str(os.cpu_count())))
    hub.start()
    alone, beside = compare(Pair(hub), worst, "calm")
    report(trial, f"{RATE} reads/s beside {worst}", alone, beside)
    assert beside[0] > 0.9 * alone[0]
