"""What happened, what a server said, and figures for a collector."""

import contextlib
import re
import socket
import subprocess
import time

import pytest

from hub import wait_until


class Follower:
    """A dorm command that goes on, and what it has printed so far."""

    def __init__(self, hub, *words):
        self.path = hub.dir / "followed"
        self.out = open(self.path, "w")
        self.process = subprocess.Popen([str(hub.lib / "dorm"), *words], env=hub.env(), stdout=self.out,
                                        stderr=self.out, stdin=subprocess.DEVNULL)

    def saw(self, text):
        return wait_until(lambda: text in self.path.read_text(), f"the command has printed {text!r}")

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.out.close()
        return self.path.read_text()


@pytest.fixture
def follow(hub):
    begun = []

    def begin(*words):
        begun.append(Follower(hub, *words))
        return begun[-1]

    yield begin
    for one in begun:
        if one.process.poll() is None:
            one.end()


def events(hub, *words):
    return [(e["kind"], e["name"], e["event"]) for e in hub.rows("events", *words)]


def test_what_happens_is_known_afterwards_and_outlives_dormd(hub):
    password = hub.add("alice")
    hub.connect("alice", password).close()
    hub.dorm("server", "stop", "alice")
    hub.dorm("user", "disable", "alice")
    hub.dorm("user", "enable", "alice")
    hub.dorm("server", "reset", "alice", "--yes")
    seen = events(hub)
    kinds = [kind for kind, name, _ in seen if name == "alice"]
    assert [k for k in kinds if k in ("user", "wake", "sleep")][:5] == ["user", "wake", "sleep", "user", "user"]
    assert re.search(r"woke within \d+ ms", str(seen))
    deed = next(text for kind, _, text in seen if kind == "deed")
    assert re.search(r"by root: dorm undo \d+$", deed)
    hub.dorm(*re.search(r"dorm (undo \d+)", deed).group(1).split())
    hub.kill()
    with open(hub.state / "events", "a") as torn:
        torn.write("1763740000\twake\thalf")
    hub.start()
    again = events(hub)
    assert again[:len(seen)] == seen
    assert again[-1][0] == "hub" and "is up" in again[-1][2]
    assert any(kind == "deed" and text.startswith("undone: ") for kind, _, text in again)
    assert not any("half" in str(e) for e in again)


def test_events_are_asked_for_by_kind_name_age_and_number(hub):
    hub.add("alice")
    hub.add("bob")
    assert events(hub, "--server", "bob") == [("user", "bob", "added")]
    assert {kind for kind, _, _ in events(hub, "--kind", "hub")} == {"hub"}
    assert len(events(hub, "-n", "1")) == 1
    assert events(hub, "--since", "1h") == events(hub)
    done = hub.dorm("events", "--kind", "weather", check=False)
    assert done.returncode != 0 and "weather" in done.stderr and "wake" in done.stderr
    done = hub.dorm("events", "--since", "yesterday", check=False)
    assert done.returncode != 0 and "yesterday" in done.stderr
    assert "EVENT" in hub.dorm("events").stdout


def test_who_follows_sees_them_as_they_come_and_outlives_dormd(hub, follow):
    password = hub.add("alice")
    on = follow("events", "--follow", "--server", "alice")
    on.saw("added")
    hub.connect("alice", password).close()
    on.saw("woke within")
    hub.kill()
    on.saw("dormd has gone")
    hub.start()
    hub.add("bob")
    hub.dorm("server", "stop", "alice")
    on.saw("fell asleep")
    assert "bob" not in on.end()


def test_a_server_that_makes_a_storm_of_events_is_cut_short(hub):
    password = hub.add("alice")
    for _ in range(12):
        hub.connect("alice", password).close()
        hub.dorm("server", "stop", "alice")
    assert len(events(hub, "--server", "alice", "-n", "1000")) <= 21 + 3


def test_the_file_of_events_does_not_grow_without_end(hub):
    hub.dorm("down")
    hub.wait_end()
    line = "1763740000\tuser\t\talice\t" + "x" * 900 + "\n"
    (hub.state / "events").write_text(line * 1200)
    hub.start()
    hub.add("alice")
    assert (hub.state / "events.1").stat().st_size > 1 << 20
    assert (hub.state / "events").stat().st_size < 10000
    assert len(events(hub, "-n", "5000")) <= 2000


def test_an_os_user_sees_only_their_own(hub):
    hub.add("games")
    hub.add("alice")
    mine = hub.dorm("events", uid=5).stdout
    assert "games" in mine and "alice" not in mine and "hub" not in mine.lower().replace("hub/", "")
    assert hub.dorm("events", "--server", "alice", uid=5, check=False).returncode != 0


def test_a_log_is_followed_through_its_change_of_files(hub, follow):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("do $$ begin raise warning 'first \x1b[31mred'; end $$")
        on = follow("server", "logs", "alice", "--follow")
        on.saw("first")
        c.execute("do $$ begin raise warning 'second'; end $$")
        on.saw("second")
        log = hub.state / "logs" / f"{hub.server_id('alice')}.log"
        c.execute("set client_min_messages = error")
        # more than a file holds: the follower goes on in the next
        began = time.monotonic()
        while not log.with_name(log.name + ".1").exists():
            c.execute("do $$ begin for i in 1..200 loop raise warning '%', repeat('z', 1000); end loop; end $$")
            assert time.monotonic() - began < 30
        c.execute("do $$ begin raise warning 'the last'; end $$")
        wait_until(lambda: "the last" in log.read_text(errors="replace"), "the log has the last line")
        on.saw("the last")
    said = on.end()
    assert "\x1b" not in said and said.count("second") >= 1
    assert log.stat().st_size <= (512 << 10) + (16 << 10)


def test_no_byte_of_a_log_hides_what_follows(hub, follow):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute(r"""copy (select 1) to program 'cat > /dev/null; printf "before\000after\nthe next\n" >&2'""")
        wait_until(lambda: "the next" in hub.dorm("server", "logs", "alice").stdout, "the log is shown", 5)
        assert r"before\x00after" in hub.dorm("server", "logs", "alice").stdout
        on = follow("server", "logs", "alice", "--follow", "-n", "1000")
        on.saw("the next")
        c.execute(r"""copy (select 1) to program 'cat > /dev/null; printf "one\000two\nthree\n" >&2'""")
        on.saw("three")
    assert r"one\x00two" in on.end()


def test_a_flood_of_empty_lines_is_left_out(hub, follow):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        on = follow("server", "logs", "alice", "--follow")
        c.execute("copy (select 1) to program 'cat > /dev/null; yes \"\" | head -c 60000 >&2; echo the end >&2'")
        on.saw("the end")
    said = on.end()
    assert "lines are left out)" in said and said.count("\n") < 10000
    assert "with --follow" in hub.dorm("server", "logs", "alice", "--follow", "-n", "1001", check=False).stderr


# ---- figures ----


def scrape(hub, request="GET /metrics HTTP/1.0\r\n\r\n"):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(f"{hub.run_dir}/metrics")
        s.sendall(request.encode())
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body


SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"\})? (\S+)$')


def figures(hub):
    """Every sample, read as strictly as the format is written."""
    status, body = scrape(hub)
    assert status == 200 and body.endswith("\n")
    types, found = {}, {}
    for line in body.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"{name} is described twice"
            types[name] = kind
            continue
        if line.startswith("# HELP "):
            continue
        match = SAMPLE.match(line)
        assert match, f"not a sample: {line!r}"
        name, key, value, number = match.groups()
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name in types or types.get(family) == "histogram", f"{name} has no type"
        assert (name, value) not in found, f"twice: {line}"
        found[name, value] = float(number)
        if types.get(name) == "counter":
            assert name.endswith("_total")
    return found


def test_a_collector_is_told_what_is_going_on(hub):
    password = hub.add("alice")
    before = figures(hub)
    assert before["dormouse_wake_seconds_count", None] == 0
    assert before["dormouse_servers", "awake"] == 0
    with hub.connect("alice", password):
        now = figures(hub)
        assert now["dormouse_wake_seconds_count", None] == now["dormouse_wake_seconds_bucket", "+Inf"] == 1
        assert 0 < now["dormouse_wake_seconds_sum", None] < 60
        assert now["dormouse_servers", "awake"] == now["dormouse_sessions", None] == 1
        assert now["dormouse_server_sessions", "alice"] == 1
        assert 1 << 20 < now["dormouse_server_memory_bytes", "alice"] < now["dormouse_server_memory_limit_bytes", "alice"]
        assert now["dormouse_storage_free_bytes", "standard"] <= now["dormouse_storage_bytes", "standard"]
        assert now["dormouse_events_total", "wake"] == 1
    hub.dorm("server", "stop", "alice")
    after = figures(hub)
    assert ("dormouse_server_sessions", "alice") not in after
    assert after["dormouse_events_total", "sleep"] == 1


def test_whoever_asks_the_figures_badly_harms_nobody(hub):
    assert scrape(hub, "GET / HTTP/1.0\r\n\r\n")[0] == 404
    assert scrape(hub, "POST /metrics HTTP/1.0\r\n\r\n")[0] == 405
    assert scrape(hub, "GET /metrics\r\n\r\n")[0] == 400
    assert scrape(hub, "x" * 4096)[0] == 400
    silent = []
    for _ in range(20):
        s = socket.socket(socket.AF_UNIX)
        s.connect(f"{hub.run_dir}/metrics")
        silent.append(s)
    for s in silent:
        with contextlib.suppress(BrokenPipeError):  # only a few may ask at a time
            s.send(b"GET /met")
    hub.add("alice")
    # those who do not go on asking are hung up on, and it answers again
    began = time.monotonic()
    def answers():
        try:
            return scrape(hub)[0] == 200
        except (ConnectionError, IndexError):
            return False
    wait_until(answers, "the figures are there again", 20)
    assert time.monotonic() - began < 15
    for s in silent:
        s.close()
