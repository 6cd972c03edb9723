"""G3-08. A clone is the template, whole, for ever; and nobody's writing reaches anybody else's blocks."""

import contextlib
import hashlib
import os
import threading
import time

import psycopg
import pytest

from hub import wait_until

CLONES = int(os.environ.get("DORM_TRIAL_CLONES", "24"))


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def images(hub):
    return {f.name: f for f in (hub.state / "pool" / "images").glob("*.img")}


def template(hub):
    name, = [n for n in images(hub) if n.startswith("pg")]
    return images(hub)[name]


class Newcomer(threading.Thread):
    def __init__(self, hub, login, password):
        super().__init__(daemon=True)
        self.hub, self.login, self.password = hub, login, password
        self.problem, self.took = None, 0.0

    def run(self):
        began = time.monotonic()
        try:
            with self.hub.connect(self.login, self.password) as c:
                c.execute("select count(*) from pg_class")
        except psycopg.Error as problem:
            self.problem = problem
        self.took = time.monotonic() - began


def at_once(hub, n):
    newcomers = [Newcomer(hub, f"user{i}", hub.add(f"user{i}")) for i in range(n)]
    for one in newcomers:
        one.start()
    for one in newcomers:
        one.join()
    return newcomers


@pytest.mark.trial("G3-08")
def test_clones_share_nothing_that_is_written(new_hub, trial):
    hub = new_hub(pool="3Gi", conf="server: {claim: {capacity: 128Mi}}")
    hub.start()
    golden = template(hub)
    before = digest(golden)
    reading, ended = [], threading.Event()

    def read_on():
        while not ended.is_set():
            reading.append(digest(golden))

    reader = threading.Thread(target=read_on, daemon=True)
    reader.start()
    newcomers = at_once(hub, CLONES)
    ended.set()
    reader.join()
    times = sorted(one.took for one in newcomers)
    trial.figure(times[len(times) // 2] * 1000, f"ms to the first answer, p50 of {CLONES} at once")
    trial.figure(times[-1] * 1000, "ms, the slowest")
    problems = [one.problem for one in newcomers if one.problem]
    for one in newcomers:
        hub.dorm("server", "stop", one.login)
    os.sync()
    siblings = {name: digest(path) for name, path in images(hub).items()}
    with hub.connect("user0", newcomers[0].password) as c:
        c.execute("create table t as select g, md5(g::text) from generate_series(1, 100000) g")
        c.execute("update t set g = g + 1; checkpoint")
    hub.dorm("server", "stop", "user0")
    mine = hub.show("user0")["volume id"] + ".img"
    changed = {name for name, path in images(hub).items() if digest(path) != siblings.get(name)}
    trial.figure(len(changed - {mine}) + sum(d != before for d in reading + [digest(golden)]), "hash mismatches")
    assert not problems, problems[:3]
    assert set(reading) == {before} and digest(golden) == before, "the template has changed"
    assert changed == {mine}, f"one user wrote, and these changed: {changed}"


def who(hub, login, password):
    """The user that one is, or None while nobody gets in."""
    with contextlib.suppress(psycopg.OperationalError), hub.connect(login, password) as c:
        return c.execute("select current_user").fetchone()[0]


@pytest.mark.trial("G3-08")
def test_no_room_for_a_clone(new_hub, trial):
    """Whole or absent, where the pool ends in the middle of it; and it is made later, when there is room."""
    hub = new_hub(pool="400Mi", conf="server: {claim: {capacity: 128Mi}}")
    hub.start()
    hub.connect("first", hub.add("first")).close()
    filler = hub.state / "pool" / "images" / "filler"
    with open(filler, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(1 << 16))
        except OSError:
            pass
    password = hub.add("second")
    refused = None
    try:
        hub.connect("second", password).close()
    except psycopg.OperationalError as problem:
        refused = str(problem)
    filler.unlink()
    wait_until(lambda: who(hub, "second", password) == "second", "the second one gets in")
    trial.figure("refused" if refused else "made", "a first wake in a pool that is full; made when it was not")
    assert refused is None or any(word in refused.lower() for word in ("full", "space", "room")), refused
