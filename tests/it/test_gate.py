"""dorm-gate with a stand-in for dormd: logins, waiting, relaying, cancelling, and dormd's death."""
import contextlib
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import time

import psycopg
import pytest

from gate_alone import GATE, GATE_UID, until
from test_startup import SU, Peer


def psql(gate, sql, **more):
    return subprocess.run(["psql", "-XqAt", gate.dsn(**more), "-c", sql], capture_output=True, text=True,
                          env=os.environ | {"PGCONNECT_TIMEOUT": "15"})


def refused(gate, **more):
    with pytest.raises(psycopg.OperationalError) as e:
        psycopg.connect(gate.dsn(**more))
    return str(e.value)


# ---- logging in ----

@pytest.mark.parametrize("binding", ["require", "prefer", "disable"])
def test_a_login_by_password_with_and_without_channel_binding(gate, binding):
    r = psql(gate, "SELECT current_user, current_database()", channel_binding=binding)
    assert (r.returncode, r.stdout) == (0, "alice|alice\n"), r.stderr
    assert gate.dormd.count("GATE_WAKE") == 1
    until(lambda: gate.dormd.count("GATE_CLOSED") == 1, "dormd is told that the session has ended")


def test_a_login_without_tls_from_a_network_that_may(gate):
    assert psql(gate, "SELECT 1", sslmode="disable").stdout == "1\n"


def test_the_certificate_is_the_one_from_dormd(gate, cert):
    r = psql(gate, "SELECT 1", sslmode="verify-full", sslrootcert=cert[0], host="localhost")
    assert r.stdout == "1\n", r.stderr


def test_a_wrong_password_and_an_unknown_user_sound_alike_and_wake_nobody(gate):
    wrong, unknown = refused(gate, password="no"), refused(gate, user="nosuch")
    assert 'password authentication failed for user "alice"' in wrong
    assert wrong.replace("alice", "nosuch") == unknown
    assert gate.dormd.count("GATE_WAKE") == 0


def test_a_disabled_user_is_told_so_only_after_the_password(gate):
    assert "password authentication failed" in refused(gate, user="gone", password="no")
    told = refused(gate, user="gone")
    assert "your account is disabled" in told and "Ask your teacher." in told
    assert gate.dormd.count("GATE_WAKE") == 0


def test_an_os_user_on_the_unix_socket_needs_no_password(new_gate):
    gate = new_gate(unix=True)
    gate.dormd.users[b"alice"]["trusted"] = True
    r = psql(gate, "SELECT current_user", host=gate.socket_dir, port=5432, password=None, sslmode="prefer")
    assert r.stdout == "alice\n", r.stderr
    assert gate.dormd.sent("GATE_LOGIN")[-1][4] == os.getuid()
    assert "password" in refused(gate, password=None)


def test_a_database_that_is_not_there_is_refused_in_the_servers_own_words(gate):
    assert 'database "nosuch" does not exist' in refused(gate, dbname="nosuch")


def test_settings_of_the_client_reach_the_server(gate):
    with psycopg.connect(gate.dsn(application_name="lesson", options="-c work_mem=7MB")) as c:
        assert c.execute("SHOW work_mem").fetchone() == ("7MB",)
        assert c.execute("SHOW application_name").fetchone() == ("lesson",)


# ---- waiting for the server ----

def begin(gate, **more):
    """A login in the background: (thread, result list)."""
    result = []

    def run():
        try:
            with psycopg.connect(gate.dsn(**more)) as c:
                result.append(c.execute("SELECT 'in'").fetchone()[0])
        except psycopg.OperationalError as e:
            result.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, result


def test_a_client_waits_until_its_server_is_there(gate):
    gate.dormd.hold_wake = True
    thread, result = begin(gate)
    until(lambda: gate.dormd.held, "the gate asks to be let in")
    gate.dormd.send("GATE_NOTICE", gate.dormd.held[0][0], "waking your server")
    assert result == []
    gate.dormd.ready(*gate.dormd.held[0])
    thread.join()
    assert result == ["in"]


def test_a_failed_wake_is_told_with_its_code_and_hint(gate):
    gate.dormd.hold_wake = True
    thread, result = begin(gate)
    until(lambda: gate.dormd.held, "the gate asks to be let in")
    gate.dormd.send("GATE_FAIL", gate.dormd.held[0][0], "53100", "your volume is full", "Delete something.")
    thread.join()
    assert "your volume is full" in str(result[0]) and "Delete something." in str(result[0])
    until(lambda: gate.dormd.count("GATE_CLOSED") == 1, "dormd is told of the end")


def test_who_hangs_up_while_waiting_is_noticed(gate):
    gate.dormd.hold_wake = True
    p = subprocess.Popen(["psql", "-X", gate.dsn(), "-c", "SELECT 1"])
    until(lambda: gate.dormd.held, "the gate asks to be let in")
    p.kill()
    p.wait()
    until(lambda: gate.dormd.count("GATE_CLOSED") == 1, "dormd is told of the end")
    gate.dormd.ready(*gate.dormd.held[0])  # too late: nobody takes it
    assert psql_after(gate) == "1\n"


def psql_after(gate):
    gate.dormd.hold_wake = False
    return psql(gate, "SELECT 1").stdout


# ---- what a hostile server may say while a session begins ----

OK, KEY = b"R\0\0\0\x08\0\0\0\0", b"K\0\0\0\x0c\0\0\0\1\0\0\0\2"
READY = b"Z\0\0\0\5I"
HOSTILE = {
    "asks for a password": b"R\0\0\0\x08\0\0\0\3",
    "a short R": b"R\0\0\0\3",
    "scram with many rounds": b"R\0\0\0\x2c\0\0\0\x0b" + b"r=x,s=eA==,i=2147483647".ljust(36, b"x"),
    "ready before it admits": READY,
    "admits twice": OK + OK,
    "an impossible length": OK + b"E\x7f\xff\xff\xff",
    "a short key": OK + b"K\0\0\0\x08\0\0\0\1",
    "a key of 1000 bytes": OK + b"K\0\0\x03\xf0" + b"k" * 1004,
    "no status": OK + KEY + b"Z\0\0\0\5X",
    "a row": OK + b"D\0\0\0\6\0\0",
    "copy": OK + b"G\0\0\0\7\0\0\0",
    "an unknown type": OK + b"!\0\0\0\4",
    "a version": OK + b"v\0\0\0\x0c\0\3\0\0\0\0\0\0",
    "settings for ever": OK + b"S\0\0\0\x0bab\0cde\0" * 200000,
    "notices for ever": OK + b"N\0\0\0\x0cMhello\0\0" * 200000,
    "nothing": b"",
}


def hostile(says, stays=False):
    def connect(server):
        mine, theirs = socket.socketpair()

        def speak():
            with mine:
                try:
                    mine.recv(65536)
                    mine.sendall(says)
                    if not stays:
                        mine.shutdown(socket.SHUT_WR)
                    while mine.recv(65536):
                        pass
                except OSError:
                    pass

        threading.Thread(target=speak, daemon=True).start()
        return theirs

    return connect


def test_a_hostile_server_ends_only_its_own_session(gate):
    good = gate.dormd.connect
    with psycopg.connect(gate.dsn(), autocommit=True) as other:
        for name, says in HOSTILE.items():
            gate.dormd.connect = hostile(says, stays=name.endswith("for ever"))
            told = refused(gate)
            assert "did not begin a session" in told, (name, told)
            assert other.execute("SELECT 1").fetchone() == (1,), name
        gate.dormd.connect = hostile(OK + b"E\0\0\0\5\0")
        refused(gate)
    gate.dormd.connect = good
    assert gate.sanitized or gate.peak_kib() < 40000
    assert psql(gate, "SELECT 1").stdout == "1\n"


def test_a_backends_key_never_reaches_the_client(gate):
    with psycopg.connect(gate.dsn()) as c:
        pid = c.execute("SELECT pg_backend_pid()").fetchone()[0]
        assert c.pgconn.backend_pid != pid


# ---- cancelling ----

def test_a_query_is_cancelled(gate):
    with psycopg.connect(gate.dsn(), autocommit=True) as c:
        def cancel():
            until(lambda: running(gate), "the query runs")
            c.cancel()

        t = threading.Thread(target=cancel)
        t.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            c.execute("SELECT pg_sleep(60)")
        t.join()
        assert c.execute("SELECT 1").fetchone() == (1,)
    assert gate.dormd.count("GATE_CANCEL") == 1
    assert gate.dormd.count("GATE_WAKE") >= 1


def running(gate):
    with psycopg.connect(gate.dsn()) as c:
        return c.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' "
                         "AND state = 'active'").fetchone()[0]


def cancel_packet(pid, key):
    return struct.pack("!III", 16, 0x04D2162E, pid) + key


def test_a_wrong_key_cancels_nothing_and_asks_nobody(gate):
    with psycopg.connect(gate.dsn()) as c:
        pid = c.pgconn.backend_pid
        for at in (pid, pid + 1, 0, 2**32 - 1):
            peer = Peer(gate, "plain")
            peer.send(cancel_packet(at, b"\0\1\2\3"))
            assert peer.at_end()
    assert gate.dormd.count("GATE_CANCEL") == 0


def test_a_slot_waits_for_a_cancel_on_its_way(gate):
    gate.dormd.on_gate_cancel = lambda ticket, server: tickets.append((ticket, server))
    tickets = []
    c = psycopg.connect(gate.dsn())
    pid = c.pgconn.backend_pid
    cancel = threading.Thread(target=lambda: c_cancel.cancel())
    c_cancel = c.pgconn.get_cancel()
    cancel.start()
    until(lambda: tickets, "the gate asks for a connection")
    c.close()
    until(lambda: gate.dormd.count("GATE_CLOSED") == 1, "the session has ended")
    with psycopg.connect(gate.dsn(), autocommit=True) as other:
        assert other.pgconn.backend_pid != pid
        gate.dormd.ready(*tickets[0])
        cancel.join()
        assert other.execute("SELECT 1").fetchone() == (1,)


# ---- relaying ----

MB = 1 << 20


def test_200_mb_of_copy_each_way_in_bounded_memory(gate):
    row = b"x" * 1023 + b"\n"
    with psycopg.connect(gate.dsn(), autocommit=True) as c:
        c.execute("CREATE UNLOGGED TABLE big (line text)")
        try:
            before = gate.rss_kib()
            with c.cursor().copy("COPY big FROM STDIN") as copy:
                for _ in range(200):
                    copy.write(row * 1024)
            size = 0
            with c.cursor().copy("COPY big TO STDOUT") as copy:
                for data in copy:
                    size += len(data)
            assert size == 200 * MB
            assert gate.sanitized or gate.peak_kib() - before < 2048
        finally:
            c.execute("DROP TABLE big")


def test_bytes_arrive_unchanged(gate, postgres):
    sql = "SELECT md5(repeat(chr(i % 127 + 1), i)), repeat(chr(i % 127 + 1), i) FROM generate_series(1, 3000) i"
    direct = subprocess.run(["psql", "-XqAt", "-h", postgres.base, "-p", str(postgres.port), "-U", "alice", "-c", sql],
                            capture_output=True).stdout
    through = subprocess.run(["psql", "-XqAt", gate.dsn(), "-c", sql], capture_output=True).stdout
    assert len(direct) > 4 * MB and direct == through


def test_pipelines_work(gate):
    with psycopg.connect(gate.dsn(), autocommit=True) as c, c.pipeline():
        cursors = [c.execute("SELECT %s::int", (i,)) for i in range(2000)]
        assert [cur.fetchone()[0] for cur in cursors] == list(range(2000))


def test_clients_that_do_not_read_hold_little_and_hinder_nobody(gate):
    before, stuck = gate.rss_kib(), []
    for _ in range(20):
        c = psycopg.connect(gate.dsn())
        c.pgconn.send_query(b"SELECT repeat('x', 1000000) FROM generate_series(1, 1000)")
        stuck.append(c)
    with psycopg.connect(gate.dsn(), autocommit=True) as c:
        until(lambda: c.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'")
              .fetchone()[0] == 20, "all servers wait for their clients")
        begun = time.monotonic()
        for _ in range(100):
            c.execute("SELECT 1")
        assert time.monotonic() - begun < 5
    assert gate.sanitized or (gate.rss_kib() - before) / 20 < 256
    for c in stuck:
        c.close()
    until(lambda: gate.dormd.count("GATE_CLOSED") == 21, "all have ended")


def test_a_session_ended_by_its_server_ends_for_the_client(gate):
    with psycopg.connect(gate.dsn(), autocommit=True) as c, psycopg.connect(gate.dsn(), autocommit=True) as d:
        pid = c.execute("SELECT pg_backend_pid()").fetchone()[0]
        d.execute("SELECT pg_terminate_backend(%s)", (pid,))
        with pytest.raises(psycopg.OperationalError, match="terminating connection due to administrator"):
            c.execute("SELECT 1")
    until(lambda: gate.dormd.count("GATE_CLOSED") == 2, "both are told")


def test_a_client_killed_in_the_middle_ends_its_session(gate):
    endless = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 10000000)) TO STDOUT"
    p = subprocess.Popen(["psql", "-Xq", gate.dsn(), "-c", endless], stdout=subprocess.PIPE)
    p.stdout.read(100000)
    p.kill()
    p.wait()
    p.stdout.close()
    until(lambda: gate.dormd.count("GATE_CLOSED") == 1, "dormd is told of the end")


def test_no_descriptor_is_left_behind(gate):
    psql(gate, "SELECT 1")
    until(lambda: gate.dormd.count("GATE_CLOSED") == 1, "the session has ended")
    before = gate.settled_fds()
    for i in range(20):
        psql(gate, "SELECT 1")
        refused(gate, password="no")
        c = psycopg.connect(gate.dsn())
        socket.socket(fileno=os.dup(c.fileno())).shutdown(socket.SHUT_RDWR)
        c.close()
    until(lambda: gate.fds() == before, "every descriptor is given back")


# ---- ended from outside ----

def test_a_kick_is_told_in_words_between_two_messages(gate):
    with psycopg.connect(gate.dsn(), autocommit=True) as c:
        session = gate.dormd.sent("GATE_WAKE")[0][0]
        gate.dormd.send("GATE_KICK", session, "57P01", "your server was put to sleep", "Connect again.")
        with pytest.raises(psycopg.OperationalError, match="put to sleep"):
            c.execute("SELECT 1")
    until(lambda: gate.dormd.count("GATE_CLOSED") == 1, "dormd is told of the end")


def test_a_kick_inside_a_message_only_closes(gate):
    with contextlib.closing(psycopg.connect(gate.dsn(sslmode="disable"))) as c:
        c.pgconn.send_query(b"SELECT repeat('x', 100000000)")
        with psycopg.connect(gate.dsn(), autocommit=True) as d:
            until(lambda: d.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'")
                  .fetchone()[0] == 1, "the server waits for its client")
        gate.dormd.send("GATE_KICK", gate.dormd.sent("GATE_WAKE")[0][0], "57P01", "put to sleep", "")
        raw, tail = socket.socket(fileno=os.dup(c.fileno())), b""
        raw.setblocking(True)
        while data := raw.recv(65536):
            tail = (tail + data)[-4096:]
        raw.close()
        assert set(tail) == set(b"x")


def test_a_stopped_gate_tells_everybody(gate):
    with psycopg.connect(gate.dsn(), autocommit=True) as c:
        gate.process.send_signal(signal.SIGTERM)
        with pytest.raises(psycopg.OperationalError, match="terminating connection due to administrator"):
            c.execute("SELECT 1")
    gate.process.wait(10)


def test_a_draining_gate_ends_with_its_last_session(gate):
    with psycopg.connect(gate.dsn(), autocommit=True) as c:
        gate.dormd.send("GATE_DRAIN")

        def closed():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", gate.port)) != 0

        until(closed, "the listener is closed")
        assert c.execute("SELECT 1").fetchone() == (1,)
        assert gate.process.poll() is None
    assert gate.process.wait(10) == 0


# ---- dormd goes and comes ----

def test_sessions_outlive_dormd_and_logins_wait_for_it(gate):
    with psycopg.connect(gate.dsn(), autocommit=True) as c:
        session, server = gate.dormd.sent("GATE_WAKE")[0]
        gate.dormd.stop()
        assert c.execute("SELECT 1").fetchone() == (1,)
        thread, result = begin(gate)
        until(lambda: gate.fds() and "lost dormd" in gate.log(), "the gate has noticed")
        gate.dormd.log.clear()
        gate.dormd.start()
        thread.join()
        assert result == ["in"]
        assert gate.dormd.sent("GATE_HELD") == [[session, server]]
        assert gate.dormd.sent("GATE_LISTENER") == [[b"tcp"]]
        assert c.execute("SELECT 1").fetchone() == (1,)
    until(lambda: gate.dormd.count("GATE_CLOSED") == 2, "the new dormd is told of both ends")


def test_who_was_waiting_to_be_let_in_is_asked_for_again(gate):
    gate.dormd.hold_wake = True
    thread, result = begin(gate)
    until(lambda: gate.dormd.held, "the gate asks to be let in")
    gate.dormd.stop()
    gate.dormd.hold_wake = False
    gate.dormd.start()
    thread.join()
    assert result == ["in"]


def test_a_login_that_waits_too_long_for_dormd_is_refused_in_words(gate):
    gate.dormd.hold_login = True
    told = refused(gate)
    assert "the hub is not ready" in told and "Try again" in told


def test_a_new_certificate_serves_new_connections(gate, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "k.pem",
                    "-out", tmp_path / "c.pem", "-days", "2", "-subj", "/CN=localhost", "-sigopt",
                    "rsa_padding_mode:pss"], check=True, capture_output=True)
    with psycopg.connect(gate.dsn(), autocommit=True) as c:
        gate.dormd.cert, gate.dormd.key = tmp_path / "c.pem", tmp_path / "k.pem"
        gate.dormd.setup()
        until(lambda: gate.log().count("took a certificate") == 2, "the gate takes it")
        r = psql(gate, "SELECT 1", sslmode="verify-full", sslrootcert=tmp_path / "c.pem", host="localhost",
                 channel_binding="require")
        assert r.stdout == "1\n", r.stderr
        assert c.execute("SELECT 1").fetchone() == (1,)
        gate.dormd.key = pathlib.Path("/dev/null")
        gate.dormd.setup()
        until(lambda: "could not take the certificate" in gate.log(), "the gate refuses it")
        assert psql(gate, "SELECT 1").stdout == "1\n"


# ---- what the process itself may do ----

def test_the_gate_has_no_privilege_and_no_way_out(gate):
    status = dict(line.split(":\t", 1) for line in gate.status().splitlines() if ":\t" in line)
    assert status["Uid"].split() == status["Gid"].split() == [str(GATE_UID)] * 4
    assert status["Groups"].split() == []
    assert all(int(status[k], 16) == 0 for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert status["NoNewPrivs"] == "1" and status["Threads"] == "1"
    assert os.readlink(f"/proc/{gate.process.pid}/root") == str(gate.run_dir / "gate")
    limits = pathlib.Path(f"/proc/{gate.process.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core")).split()
    assert core[4:6] == ["0", "0"]


def test_a_second_gate_in_the_same_directory_says_so(gate):
    r = subprocess.run([GATE, gate.run_dir, str(GATE_UID), str(GATE_UID)], capture_output=True, text=True)
    assert r.returncode == 75 and "another gate is running" in r.stderr


def test_a_crowd_before_the_login_does_not_keep_others_out(gate):
    before = gate.rss_kib()
    crowd = [Peer(gate, "plain") for _ in range(600)]
    for peer in crowd:
        peer.send(b"\0")
    until(lambda: gate.fds() > 500, "the crowd is inside")
    assert gate.sanitized or (gate.rss_kib() - before) / 500 < 64
    until(lambda: psql(gate, "SELECT 1").stdout == "1\n", "somebody gets in")
    for peer in crowd:
        peer.raw.close()


def test_logins_inside_tls_hold_less_than_64_kib_each(gate):
    before = gate.rss_kib()
    crowd = [Peer(gate, "tls") for _ in range(100)]
    for peer in crowd:
        peer.send(SU)
        assert peer.verdict() == "SASL+PLUS"
    assert gate.sanitized or (gate.rss_kib() - before) / 100 < 64
    for peer in crowd:
        peer.raw.close()
