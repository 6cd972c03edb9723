"""
G3-04. A user fills their volume in each of six ways, twice without taking anything away; every time
the server comes back at once, says how full it is and with what, and can be made empty again.
"""

import contextlib
import os
import re
import signal
import subprocess
import time

import psycopg
import pytest

from history import History
from hub import processes_of

CAPACITY_MI = 192
FIRST_SELECT_S = 2
A_SEGMENT = 20 << 20  # not even one more file of WAL
HOME = "/var/lib/postgresql"
MANY = 10_000  # statements after which a way is taken to be closed


def shell(c, script):
    quoted = f"({script}) 2>/dev/null; true".replace("'", "''")
    c.execute(f"copy (select where false) to program '{quoted}'")


def until_refused(c, *statements):
    """Each statement again and again until the server does not want it any more. The last words."""
    said = None
    for statement in statements:
        for _ in range(MANY):
            try:
                c.execute(statement)
            except psycopg.Error as problem:
                said = problem
                break
        if c.broken:
            break
    return said


def rows_of(table, kilobytes):
    return (f"insert into {table} select string_agg(md5(g::text), '') "
            f"from generate_series(1, {kilobytes * 32}) g")


class Way:
    """One way to fill a volume, and to make it empty again."""

    stays = True     # what fills it is still there after a restart
    largest = None   # what the words must name
    room = 1 << 20   # bytes or files that may be free when it is full

    def fill(self, c, round_):
        raise NotImplementedError

    def free(self, c):
        pass


class Table(Way):
    largest = r"\bbig\b"
    room = A_SEGMENT  # PostgreSQL may die of a WAL file that it cannot make, and gives back half of one

    def fill(self, c, round_):
        c.execute("create table if not exists big (x text); alter table big alter x set storage external")
        c.execute("create table if not exists small (x text)")
        until_refused(c, rows_of("big", 2048), rows_of("big", 32), "insert into small values ('x')")

    def free(self, c):
        c.execute("drop table big, small")


class Temporary(Way):
    stays = False

    def fill(self, c, round_):
        c.execute("create temp table big (x text); alter table big alter x set storage external")
        until_refused(c, rows_of("big", 2048), rows_of("big", 32))


class AbandonedSlot(Way):
    room = A_SEGMENT

    def fill(self, c, round_):
        if round_ == 0:
            c.execute("alter system set max_slot_wal_keep_size = -1")
            c.execute("select pg_reload_conf(), pg_create_physical_replication_slot('abandoned', true)")
        with contextlib.suppress(psycopg.Error):  # in the end PostgreSQL panics
            for _ in range(4 * CAPACITY_MI):
                c.execute("select pg_logical_emit_message(false, 'x', repeat('x', 1000000))")

    def free(self, c):
        c.execute("select pg_drop_replication_slot('abandoned'); checkpoint")


class Files(Way):
    def fill(self, c, round_):
        shell(c, f"dd if=/dev/zero of={HOME}/junk{round_}a bs=1M; dd if=/dev/zero of={HOME}/junk{round_}b bs=4k;"
                 f"dd if=/dev/zero of={HOME}/junk{round_}c bs=1 count=8192")

    def free(self, c):
        shell(c, f"rm -f {HOME}/junk*")


class Inodes(Way):
    def fill(self, c, round_):
        shell(c, f"mkdir {HOME}/many{round_}; cd {HOME}/many{round_} || cd {HOME}; i=0;"
                 f"while : > f{round_}_$i; do i=$((i+1)); done")

    def free(self, c):
        shell(c, f"rm -rf {HOME}/many* {HOME}/f[0-9]*")


class Logs(Way):
    stays = False
    room = None

    def fill(self, c, round_):
        c.execute("do $$ begin for i in 1..100000 loop raise log '%', repeat('x', 1000); end loop; end $$")


WAYS = {"table": Table, "temp": Temporary, "slot": AbandonedSlot, "files": Files, "inodes": Inodes, "logs": Logs}


def is_full(hub, way):
    fs = os.statvfs(f"{hub.run}/vol/{hub.show('alice')['volume id']}")
    print(f"{fs.f_bavail * fs.f_frsize >> 10} KiB and {fs.f_favail} files are free")
    return way.room is None or fs.f_bavail * fs.f_frsize < way.room or fs.f_favail < 10


def crash(hub, login):
    """kill -9 for everything in the pod at once."""
    uid = int(hub.show(login)["host uid"])
    for pid, _, _ in processes_of((uid, uid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def first_select(hub, password):
    """A new client: how long until its first answer, and what it is told on the way."""
    began = time.monotonic()
    done = subprocess.run(["psql", hub.conninfo("alice", password), "-XAtc", "select 42"],
                          capture_output=True, text=True, timeout=180)
    took = time.monotonic() - began
    assert (done.returncode, done.stdout) == (0, "42\n"), f"unreachable: {done.stderr}\n{hub.log[-3000:]}"
    return took, done.stderr


def told_in_words(words, way):
    if not re.search(r"(?i)\bfull\b", words) or not re.search(r"\d ?\w* of \d", words):
        return f"not told how full it is: {words!r}"
    if way.largest and not re.search(way.largest, words):
        return f"not told what is the largest: {words!r}"
    return None


def fill(hub, password, way, round_, end):
    """Full, in a session that is still there when the server ends."""
    with contextlib.suppress(psycopg.Error), hub.connect("alice", password) as c:
        way.fill(c, round_)
        assert is_full(hub, way), "the volume has not been filled"
        end()
        c.execute("select 1")
        pytest.fail("the server has not ended")
    end()


@pytest.mark.trial("G3-04")
@pytest.mark.parametrize("name", WAYS)
def test_volume_full(new_hub, trial, name):
    hub = new_hub(pool="1Gi", conf=f"server: {{claim: {{capacity: {CAPACITY_MI}Mi}}}}")
    hub.start()
    way, problems, times = WAYS[name](), [], []
    password, bob = hub.add("alice"), hub.add("bob")
    neighbour = History(lambda: hub.connect("bob", bob), pace=0.01).prepare()
    hub.connect("alice", password).close()
    ends = [lambda: hub.dorm("server", "stop", "alice", check=False), lambda: crash(hub, "alice")]
    for round_, end in enumerate(ends):
        fill(hub, password, way, round_, end)
        took, words = first_select(hub, password)
        times.append(took)
        if took > FIRST_SELECT_S:
            problems.append(f"round {round_}: {took:.1f} s to the first SELECT")
        if way.stays and told_in_words(words, way):
            problems.append(f"round {round_}: {told_in_words(words, way)}")
    trial.figure(max(times), "s to the first SELECT, the longer of two")
    with hub.connect("alice", password) as c:
        way.free(c)
        c.execute("create table again (x text); alter table again alter x set storage external")
        for _ in range(20):
            c.execute(rows_of("again", 1024))
    hub.dorm("server", "stop", "alice")
    took, words = first_select(hub, password)
    neighbour.stop()
    trial.figure(len(neighbour.problems), "errors of the neighbour")
    trial.figure(neighbour.longest_gap() * 1000, "ms, the neighbour's longest pause between commits")
    with hub.connect("bob", bob) as c:
        finding = neighbour.check(c)
    assert finding.good and not neighbour.problems, f"{finding} {neighbour.problems[:3]}"
    logs = sum(f.stat().st_size for f in (hub.state / "logs").iterdir())
    assert logs <= 4 << 20, f"the logs of two servers take {logs} bytes"
    assert not problems, "\n".join(problems)
