"""Changes to a volume while its users go on as if nothing was: nothing acknowledged is lost."""

import contextlib
import threading

import psycopg
import pytest

from hub import wait_until


class Writer(threading.Thread):
    """Connects, inserts a number, leaves; over and over. Remembers what was acknowledged."""

    def __init__(self, hub, login, password):
        super().__init__(daemon=True)
        self.hub, self.login, self.password = hub, login, password
        self.acked, self.refused, self.over = [], [], False
        self.start()

    def run(self):
        n = 0
        while not self.over:
            n += 1
            try:
                with self.hub.connect(self.login, self.password) as c:
                    c.execute("insert into log values (%s)", [n])
                self.acked.append(n)
            except psycopg.Error as problem:
                self.refused.append(str(problem))

    def stop(self):
        self.over = True
        self.join(60)
        return set(self.acked)


@pytest.fixture
def classes(new_hub):
    hub = new_hub()
    hub.write_conf(f"storage: {{standard: {{}}, b: {{pool: {hub.dir}/b}}, files: {{driver: directory, path: {hub.dir}/files}}}}\n"
                   "server: {claim: {capacity: 128Mi}, snapshots: {every: never}}")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("create table log (n int)")
    return hub, password


def rows(hub, password):
    with hub.connect("alice", password) as c:
        return {r[0] for r in c.execute("select n from log").fetchall()}


@pytest.mark.parametrize("to", ["b", "files"])
def test_who_connects_while_a_volume_moves_loses_nothing(classes, to):
    hub, password = classes
    writer = Writer(hub, "alice", password)
    wait_until(lambda: len(writer.acked) > 5, "somebody writes")
    hub.dorm("volume", "move", "postgres-alice", "--to", to)
    before = len(writer.acked)
    wait_until(lambda: len(writer.acked) > before + 5, "they go on")
    hub.kill()
    hub.start()
    wait_until(lambda: len(writer.acked) > before + 10, "and on")
    acked = writer.stop()
    assert acked <= rows(hub, password)
    assert not [r for r in writer.refused if "is not in" in r or "mounted" in r], writer.refused


def test_two_moves_at_once_are_one(classes):
    hub, password = classes
    writer = Writer(hub, "alice", password)
    wait_until(lambda: len(writer.acked) > 5, "somebody writes")
    outcomes = []
    movers = [threading.Thread(target=lambda to=to: outcomes.append(
        hub.dorm("volume", "move", "postgres-alice", "--to", to, check=False).returncode)) for to in ("b", "files")]
    for m in movers:
        m.start()
    for m in movers:
        m.join()
    before = len(writer.acked)
    wait_until(lambda: len(writer.acked) > before + 5, "they go on")
    for to in ("standard", "b", "files", "standard"):
        hub.dorm("volume", "move", "postgres-alice", "--to", to, check=False)
    acked = writer.stop()
    assert acked <= rows(hub, password)
    assert 0 in outcomes


def test_clients_that_reconnect_do_not_disturb_a_reset(classes):
    hub, password = classes
    over = threading.Event()

    def knock():
        while not over.is_set():
            with contextlib.suppress(psycopg.Error):
                hub.connect("alice", password).close()

    knockers = [threading.Thread(target=knock) for _ in range(3)]
    for k in knockers:
        k.start()
    try:
        for _ in range(3):
            hub.dorm("server", "reset", "alice", "--yes")
            hub.connect("alice", password).close()
    finally:
        over.set()
        for k in knockers:
            k.join()
    assert "is not in" not in hub.log
