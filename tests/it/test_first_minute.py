"""From nothing to a psql prompt, as it is printed."""

import os
import re
import socket
import stat
import subprocess

import psycopg
import pytest

from hub import wait_until


def printed_line(hub):
    out = hub.dorm("status").stdout + "".join(
        f.decode() + "\n" for kind, fields in welcome(hub) for f in fields[1:])
    return re.search(r'psql ".*?"', out).group(0)


def welcome(hub):
    from hub import Call
    return list(Call(f"{hub.run_dir}/control", ["status", "welcome", "1", "for", "0"]).messages())


def test_the_printed_line_works_as_printed(hub):
    line = printed_line(hub)
    done = subprocess.run(
        line + " -Atc \"select current_user, current_setting('is_superuser'), current_database(),"
               " (select ssl from pg_stat_ssl where pid = pg_backend_pid()),"
               " current_setting('data_checksums')\"",
        shell=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "demo|on|demo|f|on", done.stderr
    assert printed_line(hub) == line


def test_the_passfile_is_for_one_reader_only(hub):
    printed_line(hub)
    mode = os.stat(hub.state / "demo.pgpass").st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_server_sleeps_after_its_last_session_and_wakes_with_its_data(new_hub):
    hub = new_hub(conf="server: {sleep: {after: 1s}}")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("create table kept as select generate_series(1, 1000) as n")
    wait_until(lambda: hub.state_of("alice") == "asleep", "the server sleeps")
    assert hub.show("alice")["sessions"] == "0, and 0 waiting"
    with hub.connect("alice", password) as c:
        assert c.execute("select sum(n) from kept").fetchone() == (500500,)


def test_a_session_keeps_its_server_awake(new_hub):
    hub = new_hub(conf="server: {sleep: {after: 1s}}")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        with hub.connect("alice", password):
            pass
        c.execute("select pg_sleep(2)")  # longer than `after`, and the session is in it
        assert hub.state_of("alice") == "awake"
        assert c.execute("select 1").fetchone() == (1,)


def test_an_asleep_server_has_no_process(hub):
    password = hub.add("alice")
    hub.connect("alice", password).close()
    uid = int(hub.show("alice")["host uid"])
    from hub import processes_of
    assert processes_of((uid, uid))
    hub.dorm("server", "stop", "alice")
    assert processes_of((uid, uid)) == []


def test_a_wrong_password_wakes_nothing(hub):
    hub.add("alice")
    for _ in range(20):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            hub.connect("alice", "wrong")
    assert hub.state_of("alice") == "asleep"
    assert "asleep -> waking" not in hub.log


def test_unknown_users_are_told_what_wrong_passwords_are_told(hub):
    hub.add("alice")
    said = []
    for user in ("alice", "nobody-here", "../../etc", "ALICE", "a" * 63):
        with pytest.raises(psycopg.OperationalError) as refused:
            hub.connect(user, "wrong", dbname="x")
        said.append(str(refused.value).replace(user, "USER"))
    assert len({s.split("FATAL:")[1].strip() for s in said}) == 1, said


def test_psql_on_the_host_needs_no_password_for_root_and_for_oneself(hub):
    hub.add("alice")
    hub.add("nobody2")
    command = ["psql", "-h", hub.run_dir, "-p", str(hub.port), "-Atc", "select current_user"]
    done = subprocess.run([*command, "-U", "alice", "alice"], capture_output=True, text=True)
    assert done.stdout == "alice\n", done.stderr
    done = subprocess.run(
        [*command, "-w", "-U", "alice", "alice"], capture_output=True, text=True, user=65534, group=65534)
    assert done.returncode != 0 and "password" in done.stderr


def test_another_role_of_the_same_server_by_its_name_after_a_dot(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("create role reader login")
    with hub.connect("alice.reader", password, dbname="alice") as c:
        assert c.execute("select current_user, current_database()").fetchone() == ("reader", "alice")
    with hub.connect("alice.reader", password, dbname="alice.reader") as c:
        assert c.execute("select current_database()").fetchone() == ("alice",)


def test_an_e_mail_address_is_as_good_as_the_login(hub):
    row = hub.rows("user", "add", "Bob.Miller@School.edu")[0]
    assert row["login"] == "bob-miller"
    with hub.connect("bob.miller@school.edu", row["password"], dbname="bob-miller") as c:
        assert c.execute("select current_user").fetchone() == ("bob-miller",)


def test_cancel_reaches_the_query_it_is_meant_for(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c, hub.connect("alice", password) as other:
        import threading
        failed = []

        def run():
            try:
                c.execute("select pg_sleep(60)")
            except psycopg.errors.QueryCanceled as e:
                failed.append(e)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: other.execute(
            "select count(*) from pg_stat_activity where query like '%pg_sleep(60)%'"
            " and state = 'active' and pid <> pg_backend_pid()").fetchone()[0] == 1, "it runs")
        c.cancel()
        thread.join(20)
        assert failed
        assert other.execute("select 1").fetchone() == (1,)
        assert c.execute("select 2").fetchone() == (2,)


def test_a_service_manager_is_told_when_the_hub_is_up(new_hub):
    hub = new_hub()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = str(hub.dir / "manager")
        manager.bind(path)
        manager.settimeout(60)
        os.environ["NOTIFY_SOCKET"] = path
        try:
            hub.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert manager.recv(100) == b"READY=1"


def test_the_logs_of_a_server_are_its_last_lines_made_fit_to_print(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        for n in range(5):
            c.execute(f"do $$ begin raise warning 'line {n} \x1b[2J end'; end $$")
    said = wait_until(
        lambda: (out := hub.dorm("server", "logs", "alice", "--lines", "200").stdout).count("end") >= 5
        and out, "all lines are there")
    assert "\x1b" not in said and "line 4" in said
    last = hub.dorm("server", "logs", "alice", "--lines", "1").stdout.splitlines()
    assert len(last) == 1
