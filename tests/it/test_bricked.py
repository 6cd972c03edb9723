"""A server its owner has bricked: it is reached again, or it is explained. It never runs in circles."""

import contextlib
import pathlib
import re
import socket
import struct
import subprocess
import threading
import time

import psycopg
import pytest

from hub import Hub, processes_of, wait_until

PGDATA = "/var/lib/postgresql/data"
MOST_STARTS = 3


@pytest.fixture(scope="module")
def bricks():
    hub = Hub(pool="3Gi", conf="server: {claim: {capacity: 256Mi}}")
    hub.start()
    yield hub
    hub.purge()


def psql(hub, name, password, sql="select 'in ' || current_user", dbname=None, seconds=60):
    """One connection attempt as a person makes it: everything that was said."""
    info = hub.conninfo(name, password, dbname, connect_timeout=0)
    began = time.monotonic()
    done = subprocess.run(["psql", "-X", "-At", "-v", "VERBOSITY=verbose", "-d", info, "-c", sql],
                          capture_output=True, text=True, timeout=seconds)
    done.took = time.monotonic() - began
    done.said = done.stdout + done.stderr
    return done


def alter(*settings):
    return [f"alter system set {s}" for s in settings]


def sh(script):
    """As any program of the server's owner; whatever becomes of the server under it."""
    return [f"copy (select where false) to program '{script.replace(chr(39), chr(39) * 2)}'"]


def auto(text):
    return sh(f"cat >/dev/null; printf '%s\\n' \"{text}\" >> postgresql.auto.conf")


# what its owner does -> what comes of it: "in", "in, told", or "explained"
CASES = {
    "shared_buffers": (alter("shared_buffers = '1TB'"), "in"),
    "port": (alter("port = 1"), "in"),
    "listen_addresses": (alter("listen_addresses = 'no.such.host'"), "in"),
    "unix_socket_directories": (alter("unix_socket_directories = '/nowhere'"), "in"),
    "shared_preload_libraries": (alter("shared_preload_libraries = 'nope'"), "in, told"),
    "ssl": (auto("ssl = on"), "in"),
    "hba_file": (auto("hba_file = '/nowhere'"), "in"),
    "log_directory": (alter("log_directory = '/nowhere'", "logging_collector = on"), "in"),
    "max_connections": (alter("max_connections = 1"), "in"),
    "reserved_connections": (alter("superuser_reserved_connections = 100", "max_connections = 10"), "in"),
    "restore_command": (alter("restore_command = 'false'"), "in"),
    "archive_command": (alter("archive_mode = on", "archive_command = 'false'"), "in"),
    "data_directory": (auto("data_directory = '/nowhere'"), "in"),
    "max_wal_senders": (alter("max_wal_senders = 200000", "wal_level = replica"), "any"),
    "wal_level": (alter("wal_level = minimal"), "in, told"),
    "huge_pages": (alter("huge_pages = on"), "in"),
    "work_mem": (alter("work_mem = '2147483647kB'", "temp_buffers = 1073741823"), "in"),
    "locks": (alter("max_locks_per_transaction = 2000000000"), "in, told"),
    "nologin": (["alter role {name} nologin"], "in, told"),
    "valid_until": (["alter role {name} valid until '2001-01-01'"], "in"),
    "password": (["alter role {name} password 'x'"], "in"),
    "nosuperuser": (["alter role {name} nosuperuser"], "in, told"),
    "rename_role": (["create role other superuser login", "set session authorization other",
                     "alter role {name} rename to somebody"], "in, told"),
    "drop_role": (["delete from pg_authid where rolname = '{name}'"], "in, told"),
    "drop_all_roles": (["delete from pg_authid"], "in, told"),
    "drop_postgres": (["drop database postgres"], "in"),
    "drop_own": (["\\c postgres", "drop database {name}"], "in, told"),
    "allow_connections": (["\\c postgres", "alter database {name} allow_connections false"], "in, told"),
    "allow_none": (["update pg_database set datallowconn = false"], "in, told"),
    "connection_limit": (["alter database {name} connection limit 0",
                          "alter role {name} connection limit 0"], "in"),
    "pg_class": (["delete from pg_class where relname in ('pg_class', 'pg_proc', 'pg_type')"], "explained"),
    "pg_database": (["delete from pg_database where datname = '{name}'"], "any"),
    "empty_data": (sh(f"rm -rf {PGDATA}/*; cat > /dev/null"), "in, told"),
    "no_data": (sh(f"rm -rf {PGDATA}; cat > /dev/null"), "in, told"),
    "no_wal": (sh("rm -rf pg_wal; cat > /dev/null"), "explained"),
    "empty_wal": (sh("rm -rf pg_wal/*; cat > /dev/null; kill -9 2"), "explained"),
    "no_control": (sh("rm -f global/pg_control; cat > /dev/null"), "explained"),
    "no_version": (sh("rm -f PG_VERSION; cat > /dev/null"), "in, told"),
    "no_empty_dirs": (sh("rm -rf pg_notify pg_tblspc pg_twophase pg_replslot pg_serial pg_snapshots"
                         " pg_dynshmem pg_stat pg_stat_tmp pg_commit_ts pg_logical; cat > /dev/null"), "in, told"),
    "mode_777": (sh(f"chmod 777 {PGDATA}; cat > /dev/null"), "in"),
    "mode_000": (sh(f"cat > /dev/null; chmod 000 {PGDATA}"), "in"),
    "mode_000_all": (sh(f"cat > /dev/null; find {PGDATA} -depth -exec chmod 000 {{}} +"), "in, told"),
    "mode_000_home": (sh("cat > /dev/null; chmod 000 /var/lib/postgresql"), "in"),
    "link_auto_conf": (sh("cat >/dev/null; rm -f postgresql.auto.conf; ln -s /dev/zero postgresql.auto.conf"), "in, told"),
    "fifo_auto_conf": (sh("cat >/dev/null; rm -f postgresql.auto.conf; mkfifo postgresql.auto.conf"), "in, told"),
    "fifo_conf": (sh("cat >/dev/null; rm -f postgresql.conf; mkfifo postgresql.conf"), "in, told"),
    "fifo_hba": (sh("cat >/dev/null; rm -f pg_hba.conf; mkfifo pg_hba.conf"), "in"),
    "fifo_pid": (sh("cat >/dev/null; rm -f postmaster.pid; mkfifo postmaster.pid"), "in"),
    "directory_pid": (sh("cat >/dev/null; rm -f postmaster.pid; mkdir -p postmaster.pid/x"), "in, told"),
    "fifo_version": (sh("cat >/dev/null; rm -f PG_VERSION; mkfifo PG_VERSION"), "in, told"),
    "fifo_opts": (sh("cat >/dev/null; rm -f postmaster.opts; mkfifo postmaster.opts"), "in, told"),
    "fifo_signal": (sh("cat >/dev/null; mkfifo backup_label"), "in, told"),
    "link_data": (sh(f"cat >/dev/null; mv {PGDATA} /var/lib/postgresql/mine; ln -s mine {PGDATA}"), "in, told"),
    "link_elsewhere": (sh(f"cat >/dev/null; mv {PGDATA} /tmp/mine; ln -s /tmp/mine {PGDATA}"), "explained"),
    "moved_data": (sh(f"cat >/dev/null; mv {PGDATA} /var/lib/postgresql/mine"), "explained"),
    "garbage_auto_conf": (sh("head -c 20000 /dev/urandom > postgresql.auto.conf; cat >/dev/null"), "in, told"),
    "garbage_conf": (sh("cat > /dev/null; echo 'this is no setting at all' > postgresql.conf"), "in, told"),
    "statement_timeout": (alter("statement_timeout = 1"), "in"),
    "read_only": (alter("default_transaction_read_only = on"), "in"),
    "session_preload": (alter("session_preload_libraries = 'nope'"), "in, told"),
    "role_preload": (["alter role {name} set session_preload_libraries = 'nope'"], "in, told"),
    "local_preload": (alter("local_preload_libraries = 'nope'"), "in, told"),
}


def brick(hub, name, password, deeds):
    """Each deed in turn; the last may take the server down with it."""
    with contextlib.suppress(psycopg.OperationalError):
        c = hub.connect(name, password)
        for deed in deeds:
            if deed.startswith("\\c "):
                c.close()
                c = hub.connect(name, password, deed[3:])
            else:
                with contextlib.suppress(psycopg.errors.ExternalRoutineException):
                    c.execute(deed.replace("{name}", name))
        c.close()


def starts(hub, name):
    return len(re.findall(rf"server={hub.server_id(name)}.* starting", hub.log))


HINTS = re.compile(r"dorm (snapshot|server)|psql ")


def refusal(hub, name):
    """What a driver is told instead of being let in: SQLSTATE, message, hint."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(f"{hub.run_dir}/.s.PGSQL.5432")
        words = b"user\0" + name.encode() + b"\0database\0" + name.encode() + b"\0\0"
        s.sendall(struct.pack("!II", len(words) + 8, 196608) + words)
        data = b""
        while chunk := s.recv(4096):
            data += chunk
    while data:
        n = struct.unpack("!I", data[1:5])[0]
        if data[:1] == b"E":
            fields = {f[:1]: f[1:].decode() for f in data[5:n].split(b"\0") if f}
            return fields[b"C"], fields[b"M"], fields.get(b"H", "")
        data = data[1 + n:]
    return None


def judge(hub, name, done, expected):
    told = re.search("NOTICE|WARNING", done.stderr) is not None
    if done.returncode == 0:
        came = "in, told" if told else "in"
    else:
        sqlstate, message, hint = refusal(hub, name)
        print(f"   {sqlstate} {message} ({hint})")
        assert re.fullmatch(r"[0-9A-Z]{5}", sqlstate) and message in done.stderr
        assert HINTS.search(hint) and hint in done.stderr, done.said
        came = "explained"
    assert came == expected or expected == "any", f"{came}: {done.said}"
    return came


@pytest.mark.parametrize("case", CASES)
def test_a_bricked_server_is_reached_again_or_explained(bricks, case):
    name = "b" + case.replace("_", "")[:20]
    deeds, expected = CASES[case]
    password = bricks.add(name)
    with bricks.connect(name, password) as c:
        c.execute("create table precious as select 7 as n")
    brick(bricks, name, password, deeds)
    began = time.monotonic()
    bricks.dorm("server", "stop", name)
    stopped = time.monotonic() - began
    before = starts(bricks, name)
    done = psql(bricks, name, password, "set statement_timeout = 0; select 1")
    used = starts(bricks, name) - before
    came = judge(bricks, name, done, expected)
    print(f"BRICKED {case}: {came}; stop {stopped:.1f} s, answer {done.took:.2f} s, {used} starts\n"
          + "\n".join(line for line in done.stderr.splitlines() if line))
    assert used <= MOST_STARTS and done.took < 30 and stopped < 30
    if came.startswith("in"):  # and so it stays
        bricks.dorm("server", "stop", name)
        again = psql(bricks, name, password, "set statement_timeout = 0; "
                     "select rolsuper from pg_roles where rolname = current_user")
        assert again.returncode == 0 and again.stdout.split()[-1] == "t", again.said
    bricks.dorm("server", "stop", name)


# ---- a stop is bounded, whatever is in the way ----

def stuck_archiver(hub, name, password):
    with hub.connect(name, password) as c:
        c.execute("alter system set archive_mode = on")
        c.execute("alter system set archive_command = 'sleep 1000'")
    hub.dorm("server", "stop", name)
    c = hub.connect(name, password)
    c.execute("create table x as select 1; select pg_switch_wal()")
    uid = int(hub.show(name)["host uid"])
    wait_until(lambda: any(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0")
                           for pid, *_ in processes_of((uid, uid))), "it archives")
    return c


def stopped_backend(hub, name, password):
    c, other = hub.connect(name, password), hub.connect(name, password)
    pid, = other.execute("select pg_backend_pid()").fetchone()  # the gate has a number of its own for it
    c.execute(f"copy (select where false) to program 'cat >/dev/null; kill -STOP {pid}'")
    return c, other


def stopped_postmaster(hub, name, password):
    c = hub.connect(name, password)
    c.execute("copy (select where false) to program 'cat >/dev/null; kill -STOP 2'")
    return c


def busy_backend(hub, name, password):
    c = hub.connect(name, password)
    c.pgconn.send_query(b"do $$ begin loop begin perform pg_sleep(1000); exception when others then null; "
                        b"end; end loop; end $$")
    return c


HINDRANCES = {"archiver": (stuck_archiver, 30, True), "backend": (stopped_backend, 6, False),
              "postmaster": (stopped_postmaster, 6, False), "busy": (busy_backend, 6, False)}


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_a_stop_has_an_end(bricks, hindrance):
    name = f"stop{hindrance}"
    put, most, forced = HINDRANCES[hindrance]
    password = bricks.add(name)
    with bricks.connect(name, password) as c:
        c.execute("create table kept as select 7 as n")
    held = put(bricks, name, password)
    began = time.monotonic()
    done = bricks.dorm("server", "stop", name)
    took = time.monotonic() - began
    with bricks.connect(name, password) as c:
        assert c.execute("select n from kept").fetchone() == (7,)
        c.execute("alter system reset archive_command")
    log = (bricks.state / "logs" / f"{bricks.server_id(name)}.log").read_text()
    redo = "was not properly shut down" in log
    print(f"STOPPED {hindrance}: {took:.1f} s, next wake recovers: {'yes' if redo else 'no'}")
    assert took < most
    assert ("may have to recover" in done.stdout + done.stderr) == forced
    assert not redo or forced
    bricks.dorm("server", "stop", name)
    del held


# ---- never in circles ----

def hammer(hub, name, password, seconds, threads=4):
    """Connect again and again; every answer."""
    said, until = [], time.monotonic() + seconds

    def run():
        while time.monotonic() < until:
            try:
                hub.connect(name, password).close()
                said.append("in")
            except psycopg.OperationalError as e:
                said.append(str(e))
                time.sleep(0.01)  # not the test of the gate's own limits

    all_of_them = [threading.Thread(target=run) for _ in range(threads)]
    for t in all_of_them:
        t.start()
    for t in all_of_them:
        t.join()
    return said


def postmasters(hub, name):
    """How many have come as far as to say so."""
    log = (hub.state / "logs" / f"{hub.server_id(name)}.log").read_text(errors="replace")
    return log.count("starting PostgreSQL")


def test_a_server_that_never_starts_is_tried_less_and_less(bricks):
    password = bricks.add("never")
    brick(bricks, "never", password, sh("rm -rf pg_wal/*; cat > /dev/null; kill -9 2"))
    bricks.dorm("server", "stop", "never")
    before = postmasters(bricks, "never")
    said = hammer(bricks, "never", password, 8)
    used = postmasters(bricks, "never") - before
    print(f"HAMMERED: {len(said)} connections in 8 s, {used} starts")
    assert "in" not in said and all("checkpoint record" in s and "dorm server reset" in s for s in said)
    assert 3 <= used <= 5  # after 0, 1, 3, 7 s: in the first minute 7, then one a minute


@pytest.mark.parametrize("delay", [0, 1])
def test_a_server_that_dies_when_it_is_ready_is_mended_and_not_restarted_for_ever(bricks, delay):
    name = f"dies{delay}"
    password = bricks.add(name)
    with bricks.connect(name, password) as c:
        c.execute("alter system set archive_mode = on")
        c.execute(f"alter system set archive_command = 'sleep {delay}; kill -9 2; sleep 5; false'")
    bricks.dorm("server", "stop", name)
    before = starts(bricks, name)
    with contextlib.suppress(psycopg.OperationalError), bricks.connect(name, password) as c:
        c.execute("create table x as select 1; select pg_switch_wal()")
        c.execute("select pg_sleep(60)")
    said = []

    def lasts():
        done = psql(bricks, name, password, "select pg_sleep(3)")
        said.append(done.stderr)
        return done.returncode == 0

    wait_until(lasts, "it stays", seconds=30)
    used = starts(bricks, name) - before
    print(f"DIES {delay}: {used} starts, {len(said)} connections\n{said[-1]}")
    assert used <= 6
    assert "postgresql.auto.conf.aside" in "".join(said)
    bricks.dorm("server", "stop", name)


def test_an_emptied_server_comes_back_with_undo(bricks):
    password = bricks.add("emptied")
    with bricks.connect("emptied", password) as c:
        c.execute("copy (select 1) to program 'cat > /var/lib/postgresql/mine'")
    brick(bricks, "emptied", password, sh(f"rm -rf {PGDATA}/*; cat > /dev/null"))
    bricks.dorm("server", "stop", "emptied")
    done = psql(bricks, "emptied", password)
    number = re.search(r"data directory was empty: this is a fresh server; .* dorm undo (\d+)", done.stderr).group(1)
    assert "in emptied" in done.stdout
    bricks.dorm("undo", number)
    done = psql(bricks, "emptied", password)  # it is as empty as it was: and made anew once more
    assert "in emptied" in done.stdout and "dorm undo" in done.stderr
    bricks.dorm("server", "stop", "emptied")


def test_emptying_it_again_and_again_does_not_fill_the_disk(bricks):
    """Each time a volume is kept, and it may be full of files that lie beside the data."""
    password = bricks.add("again")
    brick(bricks, "again", password, sh(f"rm -rf {PGDATA}/*; cat > /dev/null"))
    bricks.dorm("server", "stop", "again")
    for _ in range(3):
        assert "this is a fresh server" in psql(bricks, "again", password).stderr
        brick(bricks, "again", password, sh(f"rm -rf {PGDATA}/*; cat > /dev/null"))
        bricks.dorm("server", "stop", "again")
    done = psql(bricks, "again", password)
    assert done.returncode != 0 and "3 of its volumes" in done.stderr and "dorm snapshot list again" in done.stderr
    kept = [s for s in bricks.rows("snapshot", "list", "again") if "before reset" in str(s)]
    assert len(kept) == 3


PLACES = {"repair.aside": "shared_preload_libraries", "pg.mend.version": "no_version",
          "pg.mend.link": "link_data", "fresh.recorded": "empty_data"}


@pytest.mark.parametrize("place", PLACES)
def test_what_was_killed_while_it_mended_is_mended_by_the_next(new_hub, place):
    hub = new_hub()
    hub.start()
    password = hub.add("alice")
    hub.connect("alice", password).close()
    brick(hub, "alice", password, CASES[PLACES[place]][0])
    hub.dorm("server", "stop", "alice")
    hub.kill()
    hub.start(inject=f"{place}=kill", expect_ready=False)
    with contextlib.suppress(psycopg.OperationalError):
        hub.connect("alice", password, connect_timeout=3).close()
    hub.kill()
    hub.start()
    wait_until(lambda: psql(hub, "alice", password).returncode == 0, "it is let in", seconds=20)
