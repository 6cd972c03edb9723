"""Requests and limits in the hub's words; what PostgreSQL's settings are, and who says so."""

import contextlib
import json
import os
import pty
import pwd
import select
import signal
import subprocess
import time

import pytest

from hub import leftovers, wait_until

FINE = """server:
  limits: {memory: 256Mi, cpu: 500m}
  requests: {memory: 32Mi, cpu: 20m}
  parameters:
    work_mem: 8MB
    log_statement: ddl
"""
WRONG = """server:
  parameters:
    worc_mem: 8MB
    work_mem: 1
    huge_pages: on
    wal_level: full
    my.own: fine
"""


def check(hub, text, **more):
    path = hub.dir / "other.yaml"
    path.write_text(text)
    path.chmod(0o644)
    return hub.dorm("config", "check", str(path), check=False, **more)


def test_a_setting_that_postgresql_refuses_is_refused_at_its_line(new_hub):
    hub = new_hub(conf="")
    wanted = [
        "other.yaml:3:5: worc_mem: PostgreSQL ", "no such setting; did you mean work_mem?",
        'other.yaml:4:15: work_mem: "1" means 1 kB, which is outside the valid range (64',
        "other.yaml:5:5: huge_pages: cannot be set here: ",
        'other.yaml:6:16: wal_level: "full" is not valid; available values: minimal, replica, logical',
    ]
    for uid in None, 65534:  # the hub does not run, and nobody need be root
        done = check(hub, WRONG, uid=uid)
        assert done.returncode == 78 and not done.stdout
        assert all(w in done.stderr for w in wanted), done.stderr
        assert "my.own" not in done.stderr
        done = check(hub, FINE, uid=uid)
        assert done.returncode == 0 and "valid hub file" in done.stdout and not done.stderr
    done = check(hub, WRONG.replace("server:", "server:\n  image: postgres:13"))
    if done.returncode == 0:  # 13 is not installed
        assert "were not checked: PostgreSQL 13 is not installed" in done.stderr
    hub.write_conf(conf=WRONG)
    told = hub.start(expect_ready=False)
    assert hub.wait_end() == 78 and "worc_mem" in told and "hub.yaml:9:16: wal_level" in hub.log
    assert leftovers(hub, with_state=False) == []
    hub.write_conf(conf=FINE)
    hub.start()


def test_a_reload_says_when_each_change_takes_effect(new_hub):
    hub = new_hub(conf=FINE)
    hub.start()
    password = hub.add("rona")
    with hub.connect("rona", password) as c:
        assert c.execute("show work_mem").fetchone()[0] == "8MB"
        hub.write_conf(conf=WRONG)
        done = hub.dorm("reload", check=False)
        assert done.returncode == 78
        assert "hub.yaml:6:5: worc_mem" in done.stderr and "hub.yaml:9:16: wal_level" in done.stderr
        assert hub.rows("config", "show") and "8MB" in hub.dorm("config", "show").stdout
        hub.write_conf(conf=FINE.replace("8MB", "12MB").replace("256Mi", "300Mi"))
        done = hub.dorm("reload", "-o", "json")
        when = {row["key"]: row["takes effect"] for row in json.loads(done.stdout)}
        assert when == {"server.parameters.work_mem": "next wake", "server.limits.memory": "now; who holds more: next wake"}
        assert "1 server is awake and keeps the old PostgreSQL settings" in done.stderr
        assert "rona" in done.stderr and "dorm server stop" in done.stderr
        assert c.execute("show work_mem").fetchone()[0] == "8MB"
        row, = hub.rows("top", "-1")
        assert int(row["memory_limit"]) == 300 << 20, "a limit changes at once"
    hub.dorm("server", "stop", "rona")
    assert "awake" not in hub.dorm("reload").stderr
    with hub.connect("rona", password) as c:
        assert c.execute("show work_mem").fetchone()[0] == "12MB"


def test_top_shows_use_against_limit(new_hub):
    hub = new_hub(conf=FINE)
    hub.start()
    assert hub.rows("top") == []
    said = hub.dorm("top").stdout
    assert said.startswith("0 servers, 0 sessions; memory ") and "NAME" in said
    with contextlib.ExitStack() as stack:
        sessions = {}
        for name in "lazy", "busy":
            sessions[name] = stack.enter_context(hub.connect(name, hub.add(name)))
        burner = subprocess.Popen(
            ["psql", "-q", hub.conninfo("busy", hub.rows("user", "passwd", "busy")[0]["password"]),
             "-c", "select pg_sleep(0), count(*) from generate_series(1, 1000000000) g"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            def first():
                return hub.call("top", sort="cpu", between=200, raw=1)[0]
            wait_until(lambda: first()["name"] == "busy" and int(first()["cpu_milli"]) > 250,
                       "it is seen to work")
            rows = hub.rows("top", "-s", "cpu")
        finally:
            burner.kill()
            burner.wait()
        assert [r["name"] for r in rows] == ["busy", "lazy"]
        assert rows[0]["sessions"] == "2" and rows[1]["sessions"] == "1"
        for row in rows:
            assert row["state"] == "awake" and row["owner"] == row["name"]
            assert int(row["memory_limit"]) == 256 << 20 and int(row["memory_request"]) == 32 << 20
            assert 1 << 20 < int(row["memory"]) < 256 << 20
            assert row["cpu_milli_limit"] == "500" and row["processes_limit"] == "200"
            assert 2 < int(row["processes"]) < 30 and row["held"] == "no"
            assert 0 < int(row["disk"]) < int(row["disk_capacity"])
        assert int(rows[0]["cpu_milli"]) <= 650 and int(rows[1]["cpu_milli"]) < 100
        assert sorted(hub.dorm("top", "-o", "name").stdout.split()) == ["busy", "lazy"]
        table = hub.dorm("top", "--once").stdout.splitlines()
        assert table[0].startswith("2 servers, ") and " of " in table[0] and "64Mi requested" in table[0]
        assert table[1].split() == "NAME STATE SESSIONS MEMORY REQUEST CPU PROCESSES DISK HELD".split()
        assert "/256Mi" in table[2] and "/200" in table[2] and "%" in table[2]
    assert hub.dorm("top", "-s", "size", check=False).returncode == 64


def test_an_os_user_sees_their_own_alone(new_hub):
    hub = new_hub(conf=FINE)
    hub.start()
    uid = pwd.getpwnam("games").pw_uid
    with hub.connect("games", hub.add("games")), hub.connect("other", hub.add("other")):
        assert [r["name"] for r in hub.rows("top")] == ["games", "other"] or \
            [r["name"] for r in hub.rows("top")] == ["other", "games"]
        said = hub.dorm("top", uid=uid).stdout.splitlines()
        assert len(said) == 2 and said[0].startswith("NAME") and said[1].startswith("games ")
        assert "parameters.work_mem" in hub.dorm("server", "show", "games", uid=uid).stdout
        assert hub.dorm("server", "show", "other", uid=uid, check=False).returncode == 77
    assert hub.dorm("top", uid=65534, check=False).returncode == 77, "no user of this hub"


def live(hub, columns=60, rows=6):
    """dorm top on a terminal of that size."""
    import fcntl
    import struct
    import termios
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(hub.lib / "dorm", ["dorm", "top"], hub.env(TERM="xterm"))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    return pid, fd


def read_some(fd, seen):
    with contextlib.suppress(OSError):
        if select.select([fd], [], [], 0)[0]:
            seen += os.read(fd, 65536)
    return bytes(seen)


@pytest.mark.parametrize("end", ["q", "\x03", signal.SIGTERM])
def test_top_is_drawn_until_it_is_enough(shared_hub, end):
    import termios
    pid, fd = live(shared_hub)
    was = termios.tcgetattr(fd)
    seen = bytearray()
    wait_until(lambda: b"NAME" in read_some(fd, seen), "it is drawn", 10)
    assert seen.startswith(b"\x1b[?1049h\x1b[?25l\x1b[H")
    page = seen.split(b"\x1b[H", 1)[1].split(b"\x1b[J", 1)[0]
    lines = page.replace(b"\x1b[K", b"").split(b"\r\n")
    assert len(lines) <= 6 and all(len(line.rstrip(b"\r")) < 60 for line in lines)
    began = time.monotonic()
    if isinstance(end, str):
        os.write(fd, end.encode())
    else:
        os.kill(pid, end)
    status = wait_until(lambda: os.waitpid(pid, os.WNOHANG), "it has ended", 5)[1]
    assert status == 0 and time.monotonic() - began < 1, "at once, not after the next look"
    wait_until(lambda: read_some(fd, seen).endswith(b"\x1b[?25h\x1b[?1049l"), "it is given back", 5)
    assert termios.tcgetattr(fd) == was
    os.close(fd)


def settings(hub, name, *words):
    done = hub.dorm("server", "show", name, "--settings", "-o", "json", *words)
    rows = {r["field"].removeprefix("parameters."): r for r in json.loads(done.stdout)
            if r["field"].startswith("parameters.")}
    return {k: (r["value"], r["from"], r["note"]) for k, r in rows.items()}, done.stderr


def test_show_tells_the_hubs_value_from_the_users(new_hub):
    hub = new_hub(conf=FINE)
    hub.start()
    password = hub.add("sara")
    with hub.connect("sara", password) as c:
        c.execute("set my.own = 1")  # or it would not be known
        for line in ("work_mem = '64MB'", "max_connections = 500", "port = 5433", "wal_level = 'logical'",
                     "checkpoint_timeout = '7min'", "my.own = 'it''s \\ mine'"):
            c.execute(f"alter system set {line}")
        conf = "/var/lib/postgresql/data/postgresql.conf"
        c.execute("copy (select unnest(array['random_page_cost = -5', E'my.other = ''\\u001b[2J''', "
                  f"'geqo = off'])) to '{conf}'")
        said, remarks = settings(hub, "sara")
        assert not remarks
        assert said["work_mem"] == ("64MB", "ALTER SYSTEM", "no effect: hub.yaml:8 says 8MB") or \
            said["work_mem"] == ("8MB", "hub.yaml:8", "")
        both = [(r["value"], r["from"], r["note"]) for r in hub.rows("server", "show", "sara", "--settings")
                if r["field"] == "parameters.work_mem"]
        assert both == [("8MB", "hub.yaml:8", ""), ("64MB", "ALTER SYSTEM", "no effect: hub.yaml:8 says 8MB")]
        assert said["log_statement"] == ("ddl", "hub.yaml:9", "")
        assert said["shared_buffers"][1:] == ("Dormouse", "sized by limits and capacity")
        assert said["max_connections"] == (
            "500", "ALTER SYSTEM", "no effect: sized by Dormouse; the hub file can change it")
        assert said["port"][1] == "ALTER SYSTEM" and said["port"][2].startswith("no effect: Dormouse sets it")
        assert said["wal_level"][2].startswith("needs a restart: holds from the next wake")
        assert said["checkpoint_timeout"] == (
            "7min", "ALTER SYSTEM", "not read yet: holds after SELECT pg_reload_conf(), or the next wake")
        assert said["geqo"][:2] == ("off", "postgresql.conf:3")
        assert said["random_page_cost"][2].startswith("not valid: ")
        assert "\x1b" not in hub.dorm("server", "show", "sara").stdout
        assert "ssl" not in said and "ssl" in settings(hub, "sara", "--all")[0]
        c.execute(f"copy (select 'geqo = off what') to '{conf}'")
        bad, = [r for r in hub.rows("server", "show", "sara", "--settings") if r["field"] == "parameters"]
        assert bad["from"] == "postgresql.conf:1" and bad["note"].startswith("not valid: syntax error")
        c.execute(f"copy (select 'geqo = off') to '{conf}'")
        c.execute("select pg_reload_conf()")
        wait_until(lambda: c.execute("show checkpoint_timeout").fetchone()[0] == "7min", "it is read")
        said, _ = settings(hub, "sara")
        assert said["checkpoint_timeout"] == ("7min", "ALTER SYSTEM", "")
        assert said["wal_level"][2].startswith("needs a restart")
        hub.write_conf(conf=FINE.replace("8MB", "12MB").replace("log_statement: ddl", "jit: off"))
        hub.dorm("reload")
        said, _ = settings(hub, "sara")
        rows = hub.rows("server", "show", "sara", "--settings")
        row, = [r for r in rows if r["field"] == "parameters.work_mem" and r["value"] == "8MB"]
        assert row["note"].startswith("needs a restart: 12MB from the next wake")
        assert said["jit"] == ("", "hub.yaml:9",
                               "needs a restart: off from the next wake; sooner with dorm server stop")
        assert said["log_statement"][1] == "the hub file, before"
    assert not any(r["field"].startswith("parameters.") for r in hub.rows("server", "show", "sara"))
    hub.dorm("server", "stop", "sara")
    said, remarks = settings(hub, "sara")
    assert not remarks and said["jit"] == ("off", "hub.yaml:9", "")
    assert said["wal_level"] == ("logical", "ALTER SYSTEM", "")
    assert said["my.own"] == ("it's \\\\ mine", "ALTER SYSTEM", "")
    assert said["port"][2].startswith("no effect: Dormouse sets it")


@pytest.mark.parametrize("trick", ["ln -sf /etc/shadow", "mkfifo", "mkdir", "head -c 9000000 /dev/urandom >"])
def test_a_file_that_is_no_file_is_not_read(shared_hub, trick):
    hub = shared_hub
    name = "trick" + str(abs(hash(trick)))[:6]
    with hub.connect(name, hub.add(name)) as c:
        file = "/var/lib/postgresql/data/postgresql.auto.conf"
        c.execute(f"copy (select where false) to program 'rm -f {file}; {trick} {file}'")
        state = hub.show(name)
        volume = state["volume id"]
    hub.dorm("server", "stop", name)
    began = time.monotonic()
    done = hub.dorm("server", "show", name)
    assert time.monotonic() - began < 3 and "root:" not in done.stdout + done.stderr
    if trick.startswith("head"):
        assert not any(ch < " " and ch != "\n" or "\x7f" <= ch < "\xa0" for ch in done.stdout)
    else:
        assert "was not looked at" in done.stderr
    assert volume in done.stdout
