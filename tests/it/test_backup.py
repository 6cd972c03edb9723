"""Backups: of one server, of the whole hub, by the clock; and what is in their way."""

import contextlib
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time

import pytest

from hub import Hub, wait_until

LONG_AGO = str(int(time.time()) - 3 * 86400)
CONF = "server: {claim: {capacity: 128Mi}}"


@pytest.fixture
def target():
    top = pathlib.Path(tempfile.mkdtemp(prefix="dorm-backups-"))
    yield top
    shutil.rmtree(top)


@pytest.fixture
def small_target():
    """A target that is full soon."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="dorm-backups-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", top], check=True)
    yield top
    subprocess.run(["umount", top], check=True)
    top.rmdir()


def put(c, name, rows=100):
    c.execute(f"create table {name} as select generate_series(1, {rows}) as n")


def count(c, name):
    return c.execute(f"select count(*) from {name}").fetchone()[0]


def is_there(c, name):
    return c.execute("select to_regclass(%s)", (name,)).fetchone()[0] is not None


def backup(hub, target, *words):
    """Its name."""
    said = hub.dorm("backup", "create", *words, "--to", str(target)).stdout
    return re.search(r"backup (\S+):", said).group(1)


def names(target):
    return sorted(p.name for p in target.iterdir())


def snapshots(hub):
    return [r["id"] for r in hub.rows("snapshot", "list") if r["why"] == "by hand"]


def settings(state, **values):
    """In the record of a hub that does not run."""
    with contextlib.closing(sqlite3.connect(state / "record.db")) as db, db:
        for key, value in values.items():
            db.execute("insert or replace into settings (key, value) values (?, ?)", (key.replace("__", "."), value))


@pytest.fixture(scope="module")
def module_hub():
    hub = Hub(pool="1Gi", conf=CONF)
    hub.start()
    yield hub
    hub.purge()


@pytest.fixture
def user(module_hub, request):
    login = "u" + re.sub(r"[^a-z0-9]", "", request.node.name.removeprefix("test_"))[:20]
    return login, module_hub.add(login)


# ---- one server


def test_a_server_comes_back_from_a_backup_and_that_is_undone(module_hub, user, target):
    name, password = user
    with module_hub.connect(name, password) as c:
        put(c, "kept")
        made = backup(module_hub, target, name)
        c.execute("drop table kept")
        put(c, "later")
    assert names(target) == [made]
    row, = module_hub.rows("backup", "list", "--from", str(target))
    assert row["name"] == made and row["hub"] == "it" and row["complete"] == "yes"
    wait_until(lambda: not snapshots(module_hub), "the snapshot of the backup is gone")
    asked = module_hub.call("backup restore", backup=made, name=name, target=target, dry=1)
    assert asked == []
    with module_hub.connect(name, password) as c:
        assert is_there(c, "later"), "nothing has happened yet"
    done = module_hub.dorm("backup", "restore", f"{target}/{made}", "--server", name, "--yes")
    with module_hub.connect(name, password) as c:
        assert count(c, "kept") == 100
        assert not is_there(c, "later")
    module_hub.dorm("undo", re.search(r"dorm undo (\d+)", done.stdout + done.stderr).group(1))
    with module_hub.connect(name, password) as c:
        assert count(c, "later") == 100
        assert not is_there(c, "kept")


def test_a_user_who_is_new_again_gets_their_server_back(module_hub, user, target):
    name, password = user
    with module_hub.connect(name, password) as c:
        put(c, "kept")
    made = backup(module_hub, target, name)
    module_hub.dorm("user", "remove", name, "--yes")
    password = module_hub.add(name)
    done = module_hub.dorm("backup", "restore", made, "--server", name, "--from", str(target), "--yes")
    with module_hub.connect(name, password) as c:
        assert count(c, "kept") == 100
        assert c.execute("select current_user").fetchone()[0] == name
        put(c, "later")
    undone = module_hub.dorm("undo", re.search(r"dorm undo (\d+)", done.stdout + done.stderr).group(1), check=False)
    print(undone.stdout, undone.stderr)
    with module_hub.connect(name, password) as c:
        assert is_there(c, "later") == (undone.returncode != 0)


def test_what_would_happen_is_said_before(module_hub, user, target):
    name, password = user
    with module_hub.connect(name, password) as c:
        put(c, "t")
        made = backup(module_hub, target, name)
        asked = module_hub.dorm("backup", "restore", made, "--server", name, "--from", str(target), check=False)
        assert asked.returncode != 0 and "--yes" in asked.stderr
        for words in (made, "1 sessions open now", "hub it", "128Mi"):
            assert words in asked.stdout
        assert count(c, "t") == 100


def test_what_is_not_in_a_backup_is_said(module_hub, user, target):
    name, password = user
    other = module_hub.add(f"{name}2")
    with module_hub.connect(name, password) as c:
        put(c, "t")
    never = module_hub.dorm("backup", "create", f"{name}2", "--to", str(target), check=False)
    assert never.returncode != 0 and "nothing to back up" in never.stderr
    with module_hub.connect(f"{name}2", other) as c:
        put(c, "t")
    made = backup(module_hub, target, name)
    wrong = module_hub.dorm("backup", "restore", made, "--server", f"{name}2", "--from", str(target), "--yes", check=False)
    assert wrong.returncode == 66 and f"it has: {name}" in wrong.stderr
    unknown = module_hub.dorm("backup", "create", "nobody-at-all", "--to", str(target), check=False)
    assert unknown.returncode == 66
    nowhere = module_hub.dorm("backup", "create", name, check=False)
    assert nowhere.returncode != 0 and "--to" in nowhere.stderr
    away = module_hub.dorm("backup", "create", name, "--to", "/nonexistent/target", check=False)
    assert away.returncode != 0 and "/nonexistent/target" in away.stderr
    part = module_hub.dorm("--state", str(module_hub.dir / "new"), "backup", "restore", f"{target}/{made}", "--hub", check=False)
    assert part.returncode != 0 and "not of a whole hub" in part.stderr
    shutil.rmtree(module_hub.dir / "new", ignore_errors=True)


def test_a_server_that_writes_recovers_from_its_backup(module_hub, user, target):
    name, password = user
    with module_hub.connect(name, password) as c:
        c.execute("create table ledger (n int primary key, filler text)")
    bench = subprocess.Popen(
        ["psql", module_hub.conninfo(name, password), "-qc",
         "do $$ begin for i in 1..1000000 loop insert into ledger values (i, repeat('x', 500)); commit; end loop; end $$"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with module_hub.connect(name, password) as c:
        wait_until(lambda: count(c, "ledger") > 100, "it writes")
        before = count(c, "ledger")
        made = backup(module_hub, target, name)
        after = count(c, "ledger")
    bench.terminate()
    bench.communicate()
    module_hub.dorm("backup", "restore", made, "--server", name, "--from", str(target), "--yes")
    with module_hub.connect(name, password) as c:
        there = count(c, "ledger")
        assert before <= there <= after
        assert c.execute("select max(n) from ledger").fetchone()[0] == there, "no hole in it"


def test_a_full_target_leaves_nothing_and_the_hub_is_fine(module_hub, user, small_target):
    name, password = user
    with module_hub.connect(name, password) as c:
        put(c, "t", 1000)
        done = module_hub.dorm("backup", "create", "--all", "--to", str(small_target), check=False)
        assert done.returncode == 73, done.stderr
        assert "No space left" in done.stderr
        assert names(small_target) == []
        assert count(c, "t") == 1000
    assert "FAILED" in module_hub.dorm("status").stdout
    wait_until(lambda: not snapshots(module_hub), "no snapshot of it is left")
    assert not (module_hub.state / "record.db.backup").exists()


def test_a_damaged_backup_is_refused_before_anything_is_touched(module_hub, user, target):
    name, password = user
    with module_hub.connect(name, password) as c:
        put(c, "t")
        backend = c.execute("select pg_backend_pid()").fetchone()[0]
        made = backup(module_hub, target, name)
        image, = (target / made).glob("volume-*")
        with open(image, "r+b") as f:
            f.seek(image.stat().st_size // 2)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 1]))
        done = module_hub.dorm("backup", "restore", made, "--server", name, "--from", str(target), "--yes", check=False)
        assert done.returncode != 0 and "damaged" in done.stderr
        assert c.execute("select pg_backend_pid()").fetchone()[0] == backend, "its session was not touched"
    wait_until(lambda: not [r for r in module_hub.rows("snapshot", "list", name) if r["why"] == "from backup"],
               "nothing of it is left")


def test_only_root_makes_and_restores_backups(module_hub, target):
    for words in (["create", "--all", "--to", str(target)], ["list", "--from", str(target)]):
        assert module_hub.dorm("backup", *words, check=False, uid=65534).returncode == 77


# ---- the whole hub


def restore_hub(hub, path, check=True, inject=None):
    done = hub.dorm("backup", "restore", str(path), "--hub", check=False, DORM_INJECT=inject)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def start_restored(hub):
    hub.start()
    with contextlib.closing(sqlite3.connect(f"file:{hub.state}/record.db?mode=ro", uri=True)) as db:
        first, last = db.execute("select value from settings where key = 'uids'").fetchone()[0].split("-")
    hub.uids = (int(first), int(last))


def hub_with_data(new_hub, target, conf=CONF):
    """A hub that is gone, its backup, and what was in it."""
    old = new_hub(conf=conf, pool="640Mi")
    old.start()
    passwords = {name: old.add(name) for name in ("alice", "bob", "carol")}
    for name in ("alice", "bob"):
        with old.connect(name, passwords[name]) as c:
            put(c, f"of_{name}")
    old.dorm("snapshot", "create", "alice", "--label", "friday")
    made = backup(old, target, "--all")
    authority = (old.state / "tls" / "ca.crt").read_bytes()
    assert "last good" in old.dorm("status").stdout
    old.dorm("purge", "--yes", "it")
    old.wait_end()
    return old, made, passwords, authority


def check_revived(new, old, passwords, authority):
    new.port = old.port
    start_restored(new)
    assert (new.state / "tls" / "ca.crt").read_bytes() == authority
    for name in ("alice", "bob"):
        with new.connect(name, passwords[name]) as c:
            assert count(c, f"of_{name}") == 100
            assert c.execute("select current_user").fetchone()[0] == name
    with new.connect("carol", passwords["carol"]) as c:
        put(c, "first")
    assert not snapshots(new)
    assert {r["login"] for r in new.rows("user", "list")} >= {"alice", "bob", "carol"}


def test_a_whole_hub_is_made_anew(new_hub, target):
    old, made, passwords, authority = hub_with_data(new_hub, target)
    new = new_hub()
    before = (new.state / "hub.yaml").read_text()
    said = restore_hub(new, target / made)
    assert "restoring 2 volumes" in said.stdout
    assert (new.state / "hub.yaml.before-restore").read_text() == before
    again = restore_hub(new, target / made, check=False)
    assert again.returncode == 65
    check_revived(new, old, passwords, authority)


@pytest.mark.parametrize("place", ["restore.record", "restore.files", "restore.pools", "vol.imported", "restore.imported",
                                   "restore.named"])
def test_a_restore_of_a_hub_that_was_killed_is_finished(new_hub, target, place):
    old, made, passwords, authority = hub_with_data(new_hub, target)
    new = new_hub()
    killed = restore_hub(new, target / made, check=False, inject=f"{place}=kill")
    assert killed.returncode != 0
    if place != "restore.named":
        said = new.start(expect_ready=False)
        assert "not finished" in said, "a half restored hub does not start"
        new.wait_end()
        restore_hub(new, target / made)
    check_revived(new, old, passwords, authority)
    assert not (new.state / "restore.begun").exists()


def test_a_damaged_backup_of_a_hub_makes_nothing(new_hub, target):
    _, made, _, _ = hub_with_data(new_hub, target)
    image = next((target / made).glob("volume-*"))
    with open(image, "r+b") as f:
        f.truncate(image.stat().st_size - 1)
    new = new_hub()
    done = restore_hub(new, target / made, check=False)
    assert done.returncode != 0 and "damaged" in done.stderr
    assert names(new.state) == ["hub.yaml"]


def test_a_hub_is_not_restored_beside_itself(new_hub, target):
    hub = new_hub(conf=CONF)
    hub.start()
    hub.add("alice")
    made = backup(hub, target, "--all")
    twin = new_hub()
    done = restore_hub(twin, target / made, check=False)
    assert done.returncode == 65 and "on this machine already" in done.stderr
    assert hub.dorm("status").returncode == 0
    shutil.rmtree(twin.state)


# ---- what is in the way


def test_dormd_killed_while_it_makes_a_backup(new_hub, target):
    hub = new_hub(conf=CONF, inject="backup.manifest=stop")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        put(c, "t")
    making = subprocess.Popen([hub.lib / "dorm", "backup", "create", "--all", "--to", str(target)], env=hub.env(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: list(target.glob(".*.part/volume-*")), "the child has written all but the manifest")
    second = hub.dorm("backup", "create", "--all", "--to", str(target), check=False)
    assert second.returncode == 75 and "being made" in second.stderr
    assert len(snapshots(hub)) == 1
    hub.kill()
    making.communicate(timeout=60)
    hub.inject = None
    hub.start()
    wait_until(lambda: not snapshots(hub), "the snapshot of the backup is gone")
    assert hub.rows("backup", "list", "--from", str(target)) == []
    assert not (hub.state / "record.db.backup").exists()
    made = backup(hub, target, "--all")
    assert names(target) == [made], "what was half is gone"


def test_the_hub_goes_down_while_it_makes_a_backup(new_hub, target):
    hub = new_hub(conf=CONF, inject="backup.manifest=stop")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        put(c, "t")
    making = subprocess.Popen([hub.lib / "dorm", "backup", "create", "--all", "--to", str(target)], env=hub.env(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: list(target.glob(".*.part/volume-*")), "it is being made")
    hub.dorm("down")
    hub.wait_end()
    making.communicate(timeout=60)
    assert making.returncode != 0
    hub.inject = None
    hub.start()
    with hub.connect("alice", password) as c:
        assert count(c, "t") == 100
    wait_until(lambda: not snapshots(hub), "the snapshot of the backup is gone")


def test_the_one_who_asked_may_leave(new_hub, target):
    hub = new_hub(conf=CONF)
    hub.start()
    hub.add("alice")
    from hub import Call
    Call(f"{hub.run_dir}/control", ["backup create", "all", "1", "target", str(target)]).socket.close()
    wait_until(lambda: [n for n in names(target) if not n.startswith(".")], "the backup is made all the same")
    wait_until(lambda: "last good" in hub.dorm("status").stdout, "it is known")


# ---- by the clock


def test_a_missed_backup_is_caught_up_and_old_ones_go(new_hub, target):
    hub = new_hub()
    now = time.localtime()
    minute = (now.tm_hour * 60 + now.tm_min - 1) % 1440
    hub.write_conf(f"{CONF}\nbackup: {{schedule: \"{minute // 60:02}:{minute % 60:02}\", target: {target}, keep: 2}}")
    hub.start()
    hub.add("alice")
    assert "none yet" in hub.dorm("status").stdout
    wait_until(lambda: dict(sqlite_settings(hub)).get("backup.last_try"), "it begins with the next time")
    assert names(target) == [], "nothing was missed yet"
    seen = []
    for _ in range(3):
        hub.dorm("down")
        hub.wait_end()
        settings(hub.state, backup__last_try=LONG_AGO)
        hub.start()
        wait_until(lambda: set(names(target)) - set(seen) and not list(target.glob(".*")), "it is caught up")
        wait_until(lambda: "last good" in hub.dorm("status").stdout, "it is known")
        seen = sorted(set(seen) | {n for n in names(target) if n[0] != "."})
        wait_until(lambda: time.strftime("%H%M%S", time.gmtime()) != seen[-1][-6:], "another second")
    wait_until(lambda: len(names(target)) == 2, "two are kept")
    assert names(target) == seen[-2:]


def sqlite_settings(hub):
    with contextlib.closing(sqlite3.connect(f"file:{hub.state}/record.db?mode=ro", uri=True)) as db:
        return db.execute("select key, value from settings").fetchall()


def test_backups_that_are_too_old_are_said(new_hub, target):
    hub = new_hub()
    hub.write_conf(f"{CONF}\nbackup: {{schedule: \"03:00\", target: {target}/away}}")
    hub.start()
    hub.dorm("down")
    hub.wait_end()
    settings(hub.state, backup__last_try=str(int(time.time())), backup__last_good=LONG_AGO)
    hub.start()
    assert "LATE" in hub.dorm("status").stdout
    assert {r["check"]: r["result"] for r in hub.rows("doctor")}["backup"] == "warning"
    hub.dorm("down")
    hub.wait_end()
    settings(hub.state, backup__last_try=LONG_AGO)
    hub.start()
    wait_until(lambda: "FAILED" in hub.dorm("status").stdout, "the target is away, and that is said")
