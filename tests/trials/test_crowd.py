"""
G4-06, G4-08 and G4-13. The start of a lesson: DORM_TRIAL_CROWD (300) servers wanted in the same second;
all of them greedy at once; all of them put to sleep again by `dorm down`.
"""

import asyncio
import collections
import concurrent.futures
import os
import pathlib
import threading
import time

import psycopg
import pytest

from crowd import most_waking, starts, storm
from hub import processes_of

CROWD = int(os.environ.get("DORM_TRIAL_CROWD", "300"))
DOWN = int(os.environ.get("DORM_TRIAL_DOWN", "200"))
DOWN_DEADLINE_S = 90


class Peak:
    """The most memory that all pods of a hub had, and the least that the machine had left."""

    def __init__(self, hub):
        files = [g / "memory.usage_in_bytes" for g in hub.groups()] + [g / "memory.current" for g in hub.groups()]
        self.file = next(f for f in files if f.exists())
        self.most, self.least, self.ended = 0, 1 << 60, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.ended.wait(0.1):
            self.most = max(self.most, int(self.file.read_text()))
            info = pathlib.Path("/proc/meminfo").read_text()
            self.least = min(self.least, int(info.split("MemAvailable:")[1].split()[0]) * 1024)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def figures(trial, what, times, peak):
    trial.figure(times[-1], f"s to the last of {len(times)} logins, {what}")
    trial.figure(times[len(times) // 2], "s p50")
    trial.figure(times[len(times) * 99 // 100], "s p99")
    trial.figure(peak.most >> 20, "MiB of all pods together, at most")
    trial.figure(peak.least >> 20, "MiB that the machine had left, at least")


def stop_all(hub, people):
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda who: hub.call("server stop", name=who), people))


@pytest.mark.trial("G4-06")
def test_a_lesson_starts(new_hub, trial):
    hub = new_hub(pool="10Gi", conf="server: {sleep: {after: never}}")
    hub.start()
    people = {f"u{i}": hub.call("user add", login=f"u{i}")[0]["password"] for i in range(CROWD)}
    infos = [hub.conninfo(who, password, connect_timeout=120) for who, password in people.items()]
    for what in ("their first ever", "asleep before"):
        at = len(hub.log)
        with Peak(hub) as peak:
            times, refused = storm(infos)
        log = hub.log[at:]
        figures(trial, what, times, peak)
        trial.figure(len(refused), "refused")
        count = starts(log)
        trial.figure(max(count.values()), "starts of one server, at most")
        trial.figure(most_waking(log), "started at a time, at most")
        assert refused == [] and len(times) == CROWD
        assert len(count) == CROWD and set(count.values()) == {1}
        stop_all(hub, people)


@pytest.mark.trial("G4-06/one")
def test_a_hundred_at_one_door(new_hub, trial):
    hub = new_hub(conf="server: {parameters: {max_connections: 120}, limits: {pids: 400}}")
    hub.start()
    password = hub.add("alice")
    times, refused = storm([hub.conninfo("alice", password)] * 100, stay=True)
    trial.figure(times[-1], "s to the last of 100 logins of one user, all staying")
    trial.figure(sum(starts(hub.log).values()), "starts")
    assert refused == [] and sum(starts(hub.log).values()) == 1


@pytest.mark.trial("G4-13")
def test_all_go_down_in_parallel(new_hub, trial):
    hub = new_hub(pool="6Gi", conf="server: {sleep: {after: never}}")
    hub.start()
    people = {f"u{i}": hub.call("user add", login=f"u{i}")[0]["password"] for i in range(DOWN)}
    times, refused = storm([hub.conninfo(who, password) for who, password in people.items()])
    awake = sum(r["state"] == "awake" for r in hub.call("server list"))
    assert refused == [] and awake == DOWN
    began = time.monotonic()
    hub.dorm("down")
    hub.wait_end()
    took = time.monotonic() - began
    trial.figure(took, f"s until {awake} awake servers and the hub are down")
    trial.figure(hub.log.count("-> being forced"), "had to be forced")
    assert took < DOWN_DEADLINE_S
    assert "-> being forced" not in hub.log


GREEDY, SESSIONS, GREEDY_S = 20, 4, 15
GREED = "select count(*) from (select n, repeat('x', 200) t from generate_series(1, 150000) n order by t, n desc) s"


async def greedy(info, until, heard):
    """Somebody who sorts what does not fit, again and again, and connects anew when thrown out."""
    while time.monotonic() < until:
        try:
            async with await psycopg.AsyncConnection.connect(info, autocommit=True) as c:
                await c.execute("set work_mem = '1GB'")
                while time.monotonic() < until:
                    try:
                        await c.execute(GREED)
                        heard["done"] += 1
                    except psycopg.Error as e:
                        heard[e.sqlstate or "lost"] += 1
                        if c.closed:
                            break
        except psycopg.Error as e:
            heard[e.sqlstate or "not let in"] += 1
            await asyncio.sleep(0.1)


async def all_greedy(infos, heard):
    until = time.monotonic() + GREEDY_S
    await asyncio.gather(*(greedy(i, until, heard) for i in infos for _ in range(SESSIONS)))


@pytest.mark.trial("G4-08")
def test_all_are_greedy_at_once(new_hub, trial):
    """Twenty servers that may have 256 MiB each, on a machine that gives them one GiB together."""
    hub = new_hub(pool="2Gi", conf="server: {sleep: {after: never}, limits: {memory: 256Mi}, requests: {memory: 16Mi}}")
    hub.write_conf(extra=", memory: 1Gi")
    hub.start()
    people = {f"u{i}": hub.call("user add", login=f"u{i}")[0]["password"] for i in range(GREEDY)}
    infos = [hub.conninfo(who, password) for who, password in people.items()]
    assert storm(infos)[1] == []
    ours = [hub.process.pid] + [p for p, _, _ in processes_of((hub.uids[0],) * 2)]
    heard = collections.Counter()
    with Peak(hub) as peak:
        asyncio.run(all_greedy(infos, heard))
    shown = [hub.show(who) for who in people]
    killed = sum(int(s.get("killed for memory", 0)) for s in shown)
    print(heard)
    trial.figure(peak.most >> 20, "MiB of all pods together, at most, of 1024 that they may have and 5120 that they want")
    trial.figure(sum(heard.values()), f"statements: {dict(heard)}")
    trial.figure(killed, "processes killed by the kernel, all of them in pods")
    trial.figure(hub.log.count("awake -> asleep"), "servers that ended")
    assert all(os.path.exists(f"/proc/{p}") for p in ours), "dormd or the gate is gone"
    times, refused = storm(infos)
    trial.figure(times[-1], f"s until all {GREEDY} answer afterwards")
    assert refused == [] and peak.most <= 1 << 30
