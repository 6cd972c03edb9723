"""G4-11: a wake that takes longer than any deadline, because there is so much to recover; and one that waits for
what never comes."""

import os
import pathlib
import signal
import subprocess
import threading
import time

import psycopg
import pytest

from hub import Hub, processes_of, wait_until
from test_bricked import brick, psql, sh, starts

RECOVERY_S = int(os.environ.get("RECOVERY_S", "130"))


@pytest.fixture(scope="module")
def hub():
    hub = Hub(pool="4Gi", conf="server: {claim: {capacity: 3Gi}}")
    hub.start()
    yield hub
    hub.purge()


def startup_process(uid):
    for pid, *_ in processes_of((uid, uid)):
        try:
            if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"postgres: startup"):
                return pid
        except OSError:
            pass
    return None


def bricked_by_work(hub, name):
    """Much WAL, and then an end without a checkpoint."""
    password = hub.add(name)
    with hub.connect(name, password) as c:
        c.execute("create table big (n int, t text)")
        c.execute("checkpoint")
        for _ in range(8):
            c.execute("insert into big select n, repeat(md5(n::text), 3) from generate_series(1, 250000) n")
    with hub.connect(name, password) as c, pytest.raises(psycopg.OperationalError):
        c.execute("copy (select 1) to program 'cat > /dev/null; kill -9 2'")
        c.execute("select pg_sleep(30)")
    wait_until(lambda: hub.state_of(name) == "asleep", "it is over")
    return password


def slowed(uid, pid, seconds):
    """Let it work for a few thousandths of the time: it goes on, and does not come to an end so soon."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and startup_process(uid) == pid:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(10)
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.005)


def test_a_recovery_that_works_is_waited_for(hub):
    password = bricked_by_work(hub, "slow")
    uid = int(hub.show("slow")["host uid"])
    before = starts(hub, "slow")
    first = subprocess.Popen(["psql", "-XAtc", "select count(*) from big", hub.conninfo("slow", password, connect_timeout=0)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    began = time.monotonic()
    while (pid := startup_process(uid)) is None:  # there is no time to lose
        assert time.monotonic() < began + 30
    slow = threading.Thread(target=slowed, args=(uid, pid, RECOVERY_S))
    slow.start()
    out, err = first.communicate(timeout=RECOVERY_S + 60)
    waited = time.monotonic() - began
    print(f"FIRST: answered after {waited:.1f} s\n{out}{err}")
    assert "NOTICE:  your server recovers what was written before it ended last" in err
    late = psql(hub, "slow", password, "select count(*) from big", seconds=RECOVERY_S + 60)
    took = time.monotonic() - began
    slow.join()
    print(f"SLOW: let in after {took:.1f} s of recovery, {starts(hub, 'slow') - before} start")
    if RECOVERY_S > 110:
        assert 95 < waited < 115 and first.returncode != 0 and "try again in a minute" in err
    else:
        assert "2000000" in out
    assert late.stdout.strip() == "2000000", late.said
    assert starts(hub, "slow") - before == 1


def test_a_start_that_waits_for_nothing_is_ended_and_explained(hub):
    password = hub.add("stuck")
    brick(hub, "stuck", password, sh(
        "cat >/dev/null; rm -f pg_logical/replorigin_checkpoint; mkfifo pg_logical/replorigin_checkpoint; kill -9 2"))
    hub.dorm("server", "stop", "stuck")
    before = starts(hub, "stuck")
    done = psql(hub, "stuck", password, seconds=130)
    print(f"STUCK: {done.took:.1f} s, {starts(hub, 'stuck') - before} starts\n{done.stderr}")
    assert done.returncode != 0 and "it did nothing for 20 s" in done.stderr and "dorm server reset" in done.stderr
    assert done.took < 70
