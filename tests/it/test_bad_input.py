"""Each wrong input: a clear sentence with the next step, and nothing lost or half-made."""

import contextlib
import os
import pathlib
import socket
import subprocess
import time

import psycopg
import pytest

from hub import leftovers, loops, wait_until

BAD_LOGINS = [
    "..", ".", "a/b", "../../etc/passwd", "", "-rf", "a" * 300, "Alice", "ALICE", "al ice", "al\tice",
    "al\nice", "al\x1b[2Jice", "é", "alice;drop", "1000", "root", "postgres", "pg_x", "shared", "data",
    "template1", "a" * 32, "‮ecila", "alice\u200b",
]


@pytest.mark.parametrize("login", BAD_LOGINS)
def test_a_login_that_cannot_be_one_is_refused_in_words(shared_hub, login):
    done = shared_hub.dorm("user", "add", "--", login, check=False)
    assert done.returncode in (64, 65)
    assert done.stderr.startswith("dorm: ")
    printable = done.stderr.replace("\n", "")
    assert all(c.isprintable() for c in printable), repr(done.stderr)
    assert login == "" or login not in [u["login"] for u in shared_hub.rows("user", "list")]


def test_the_same_login_twice_is_said(shared_hub):
    shared_hub.add("twice")
    done = shared_hub.dorm("user", "add", "twice", check=False)
    assert done.returncode == 65 and "twice" in done.stderr


@pytest.mark.parametrize("conf,said", [
    ("server: {limits: {memory: 400m}}", "hub.yaml:4:27: memory: \"400m\" is not a size; did you mean 400Mi?"),
    ("server: {claim: {capacity: 1gi}}", "did you mean 1Gi?"),
    ("sevrer: {}", "did you mean server?"),
    ("server:\n\tlimits: {}", "hub.yaml:5:1"),
    ("server: {image: 'postgres:x'}", "hub.yaml:4:17"),
    ("a: &x 1\nb: *x", "hub.yaml:4"),
    ("hub: other", "hub.yaml:4:1: hub: is there twice"),
])
def test_a_broken_hub_file_is_refused_with_line_and_column(new_hub, conf, said):
    hub = new_hub(conf=conf)
    told = hub.start(expect_ready=False)
    assert hub.wait_end() == 78
    assert said in told + hub.log
    assert "hub.yaml:" in told
    done = hub.dorm("config", "check", str(hub.state / "hub.yaml"), check=False)
    assert done.returncode == 78 and said in done.stdout + done.stderr
    assert leftovers(hub, with_state=False) == []
    hub.write_conf(conf="")
    hub.start()


def test_an_image_whose_major_is_not_installed_names_those_that_are(new_hub):
    hub = new_hub(conf="server: {image: 'postgres:13'}")
    told = hub.start(expect_ready=False)
    assert "PostgreSQL 13 is not installed" in told and "15" in told and "apt-get install postgresql-13" in told
    assert hub.wait_end() != 0
    hub.write_conf(conf="")
    hub.start()


def test_a_port_that_is_taken_is_replaced_and_remembered(new_hub):
    hub = new_hub()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", hub.port))
        taken.listen()
        hub.start()
        first = hub.dorm("status").stdout
        assert f"port {hub.port} was taken" in first
        got = int(first.split(", port ")[1].split()[0])
        assert got != hub.port
        hub.dorm("down")
        hub.wait_end()
    hub.start()
    assert f", port {got}" in hub.dorm("status").stdout


def test_a_hub_listens_on_loopback_only_until_told(hub):
    lines = pathlib.Path("/proc/net/tcp").read_text() + pathlib.Path("/proc/net/tcp6").read_text()
    bound = {l.split()[1].split(":")[0] for l in lines.splitlines()
             if l.split()[1].endswith(f":{hub.port:04X}") and l.split()[3] == "0A"}
    assert bound == {"0100007F", "0" * 24 + "01000000"}
    assert "reachable from this machine only" in hub.dorm("status").stdout


def test_not_root_is_said(hub):
    for words in (["dormd"],):
        done = subprocess.run([hub.lib / words[0]], env=hub.env(DORM_STATE=str(hub.state)), user=65534,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "root" in done.stderr
    done = hub.dorm("user", "list", uid=65534, check=False)
    assert done.returncode == 77 and "root" in done.stderr
    done = hub.dorm("server", "stop", "demo", uid=65534, check=False)
    assert done.returncode == 77
    assert hub.state_of("demo") == "asleep"


def test_two_hubs_share_a_machine_and_nothing_else(new_hub):
    one, two = new_hub(), new_hub()
    two.write_conf()
    one.start()
    two.start()
    assert one.run_dir != two.run_dir and one.id != two.id
    first, second = one.add("alice"), two.add("alice")
    with one.connect("alice", first) as a, two.connect("alice", second) as b:
        a.execute("create table mine as select 1 as n")
        assert b.execute("select to_regclass('mine')").fetchone() == (None,)
    with pytest.raises(psycopg.OperationalError):
        two.connect("alice", first)
    two.dorm("down")
    two.wait_end()
    with one.connect("alice", first) as a:
        assert a.execute("select n from mine").fetchone() == (1,)


def test_a_second_hub_that_wants_the_same_uids_is_refused_with_the_reason(new_hub):
    one = new_hub()
    one.start()
    two = new_hub(first_uid=one.uids[0] + 500)
    told = two.start(expect_ready=False)
    assert two.wait_end() == 78
    assert str(one.state) in told and "machine.uids" in told
    two.uids = (one.uids[1] + 1, one.uids[1] + 1000)
    two.write_conf()
    two.start()


def test_a_volume_has_its_capacity_and_a_full_one_hurts_nobody_else(new_hub):
    hub = new_hub(conf="server: {claim: {capacity: 128Mi}}")
    hub.start()
    password, other = hub.add("alice"), hub.add("bob")
    with hub.connect("alice", password) as c:
        with pytest.raises((psycopg.errors.DiskFull, psycopg.OperationalError)):
            c.execute("create table big as select repeat(md5(n::text), 30) as t"
                      " from generate_series(1, 2000000) n")
    with hub.connect("bob", other) as c:
        assert c.execute("select 1").fetchone() == (1,)


def test_a_pool_without_room_is_refused_in_words(new_hub):
    hub = new_hub(pool="10Ti")
    told = hub.start(expect_ready=False)
    assert hub.wait_end() != 0
    assert "No space left" in told or "space" in told
    assert leftovers(hub) == [f"state {hub.state}"]
    hub.pool = "640Mi"
    hub.write_conf()
    hub.start()


def test_down_keeps_everything_and_says_so(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("create table kept as select 7 as n")
    done = hub.dorm("down")
    assert "kept" in done.stdout
    hub.wait_end()
    assert leftovers(hub, with_state=False) == []
    hub.start()
    with hub.connect("alice", password) as c:
        assert c.execute("select n from kept").fetchone() == (7,)


def test_purge_asks_for_the_name_and_takes_no_other(hub):
    done = hub.dorm("purge", check=False)
    assert done.returncode != 0 and hub.process.poll() is None
    done = hub.dorm("purge", "--yes", "other", check=False)
    assert done.returncode != 0 and "nothing was removed" in done.stderr
    assert hub.process.poll() is None


def test_a_removed_user_comes_back_with_their_data(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("create table kept as select 7 as n")
    done = hub.dorm("user", "remove", "alice", check=False)
    assert done.returncode != 0  # no terminal to ask on
    done = hub.dorm("user", "remove", "--yes", "alice")
    assert "dorm undo alice" in done.stdout + done.stderr
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        hub.connect("alice", password)
    hub.dorm("undo", "alice")
    with hub.connect("alice", password) as c:
        assert c.execute("select n from kept").fetchone() == (7,)


def test_a_disabled_user_is_told_so_only_with_the_right_password(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        hub.dorm("user", "disable", "alice")
        with pytest.raises(psycopg.OperationalError):
            while True:
                c.execute("select 1")
    with pytest.raises(psycopg.OperationalError, match="disabled"):
        hub.connect("alice", password)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        hub.connect("alice", "wrong")
    hub.dorm("user", "enable", "alice")
    hub.connect("alice", password).close()


def test_a_new_password_ends_the_old_one(hub):
    old = hub.add("alice")
    new = hub.rows("user", "passwd", "alice")[0]["password"]
    assert new != old
    with pytest.raises(psycopg.OperationalError):
        hub.connect("alice", old)
    hub.connect("alice", new).close()
    hub.dorm("user", "passwd", "alice", "--password", "-", stdin="correct horse battery\n")
    hub.connect("alice", "correct horse battery").close()
    with pytest.raises(psycopg.OperationalError):
        hub.connect("alice", new)


def test_many_at_once_wake_one_server_once(hub):
    password = hub.add("alice")
    clients = [subprocess.Popen(["psql", hub.conninfo("alice", password), "-Atc", "select 1"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
               for _ in range(40)]
    for client in clients:
        out, err = client.communicate(timeout=120)
        assert out == "1\n", err
    woken = [l for l in hub.log.splitlines() if "name=alice" in l and "asleep -> waking" in l]
    assert len(woken) == 1


def test_doctor_proves_this_machine(hub):
    done = hub.dorm("doctor", check=False)
    rows = {r["check"]: r["result"] for r in hub.rows("doctor")}
    assert done.returncode == 0, done.stdout
    assert rows["memory limits"] == "ok" and rows["user namespaces"] == "ok" and rows["PostgreSQL"] == "ok"


def test_no_secret_is_in_an_argument_an_environment_or_a_log(hub):
    password = hub.add("alice")
    key = (hub.state / "password.key").read_text().strip()
    with hub.connect("alice", password):
        seen = hub.log
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                for part in ("cmdline", "environ"):
                    try:
                        seen += (entry / part).read_bytes().decode(errors="replace")
                    except OSError:
                        continue
    assert password not in seen and key not in seen


def test_nothing_of_a_hub_is_left_after_purge(new_hub):
    hub = new_hub()
    hub.start()
    for login in ("alice", "bob"):
        hub.connect(login, hub.add(login)).close()
    hub.dorm("purge", "--yes", "it")
    hub.wait_end()
    assert leftovers(hub) == []
    assert [l for l in loops() if str(hub.dir) in l] == []


def test_a_removed_server_that_was_awake_is_forgotten_and_the_next_goes_on(hub):
    passwords = {login: hub.add(login) for login in ("alice", "bob")}
    for login, password in passwords.items():
        hub.connect(login, password).close()
    hub.dorm("user", "remove", "--yes", "alice")
    hub.dorm("server", "stop", "bob")
    with hub.connect("bob", passwords["bob"]) as c:
        assert c.execute("select 1").fetchone() == (1,)


def test_what_was_removed_is_gone_when_its_time_is_over(hub):
    hub.connect("alice", hub.add("alice")).close()
    volume = hub.show("alice")["volume id"]
    hub.dorm("user", "remove", "--yes", "alice")
    assert list((hub.state / "pool").rglob(f"{volume}.img"))
    removed = time.time()
    hub.dorm("down")
    hub.wait_end()
    hub.write_conf(conf="undo: 1s")
    wait_until(lambda: time.time() > removed + 2, "the time to undo is over")
    hub.start()
    wait_until(lambda: not list((hub.state / "pool").rglob(f"{volume}.img")), "the volume is destroyed")
    wait_until(lambda: hub.dorm("undo", "alice", check=False).returncode != 0, "nothing is left to undo")
    assert hub.dorm("status").returncode == 0


def test_a_changed_hub_file_is_taken_up_whole_or_not_at_all(hub):
    password = hub.add("alice")
    hub.write_conf(conf="server: {sleep: {after: 1s}}")
    told = hub.rows("reload", "--dry-run")
    assert told == [{"key": "server.sleep.after", "was": "15m", "is": "1s", "takes effect": "now"}]
    hub.rows("reload")
    hub.connect("alice", password).close()
    wait_until(lambda: hub.state_of("alice") == "asleep", "it sleeps after a second")
    hub.write_conf(conf="server: {sleep: {after: 1}}")
    done = hub.dorm("reload", check=False)
    assert done.returncode == 78 and "hub.yaml:4" in done.stderr
    hub.connect("alice", password).close()
    wait_until(lambda: hub.state_of("alice") == "asleep", "the good file still holds")


def test_a_directory_with_somebodys_files_is_not_made_into_a_hub(new_hub):
    hub = new_hub()
    precious = hub.state / "precious.txt"
    precious.write_text("mine")
    told = hub.start(expect_ready=False)
    assert hub.wait_end() == 78 and "not empty" in told
    precious.unlink()
    hub.start()
    precious.write_text("mine")
    kept = hub.dir / "kept"
    kept.mkdir()
    (kept / "file").write_text("mine")
    (hub.state / "logs" / "elsewhere").mkdir(parents=True)
    subprocess.run(["mount", "--bind", kept, hub.state / "logs" / "elsewhere"], check=True)
    done = hub.dorm("purge", "--yes", "it", check=False)
    assert done.returncode != 0 and "mounted" in done.stderr
    hub.wait_end()
    assert (kept / "file").read_text() == "mine" and precious.read_text() == "mine"
    subprocess.run(["umount", hub.state / "logs" / "elsewhere"], check=True)
    hub.write_conf()
    hub.start()
    hub.dorm("purge", "--yes", "it")
    hub.wait_end()
    assert precious.read_text() == "mine" and os.listdir(hub.state) == ["precious.txt"]
    precious.unlink()
    hub.state.rmdir()


def test_descriptors_sent_to_the_control_socket_are_not_kept(hub):
    def held():
        return len(os.listdir(f"/proc/{hub.process.pid}/fd"))

    before = held()
    with open("/dev/null", "rb") as null:
        for _ in range(30):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect(f"{hub.run_dir}/control")
            with contextlib.suppress(PermissionError):  # a kernel that can refuse them does
                socket.send_fds(s, [b"\0\0\0\1\0\0\0\6status\0"], [null.fileno()] * 2)
            s.close()
    hub.dorm("status")
    assert held() <= before + 1
