"""What a hostile user, or a hostile account of the host, does to everybody else: nothing."""

import array
import contextlib
import socket
import struct
import time

import psycopg
import pytest

from hub import wait_until
from test_pod import shell

SO_PASSRIGHTS = 83


def refusable():
    """Can this kernel refuse descriptors that are sent along (Linux 6.16)?"""
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
        except OSError:
            return False
    return True


def lingering():
    """A TCP socket whose last close takes ten seconds."""
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 10))
    client.setblocking(False)
    try:
        while True:
            client.send(b"x" * 65536)
    except BlockingIOError:
        return listener, client


@pytest.mark.skipif(not refusable(), reason="this kernel cannot refuse descriptors (before 6.16)")
def test_a_descriptor_that_lingers_stops_neither_dormd_nor_the_gate(hub):
    password = hub.add("alice")
    hub.connect("alice", password).close()
    for path, kind in ((f"{hub.run_dir}/control", socket.SOCK_SEQPACKET),
                       (f"{hub.run_dir}/.s.PGSQL.5432", socket.SOCK_STREAM)):
        listener, client = lingering()
        with socket.socket(socket.AF_UNIX, kind) as s:
            s.connect(path)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [client.fileno()]))]
            with pytest.raises(OSError):
                s.sendmsg([b"\0\0\0\0"], rights)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
        client.close()
        listener.close()
        began = time.monotonic()
        hub.dorm("status")
        hub.connect("alice", password).close()
        assert time.monotonic() - began < 5


def test_a_pod_cannot_make_a_socket_linger(shared_hub):
    password = shared_hub.add("linda")
    with shared_hub.connect("linda", password) as c:
        c.execute("create table said (n serial, line text)")
        said = shell(c, 'perl -MSocket -e \'socket(my $s, AF_INET, SOCK_STREAM, 0) or print "no socket\\n";'
                        ' print setsockopt($s, SOL_SOCKET, SO_LINGER, pack("ii", 1, 10)) ? "set\\n" : "refused\\n";'
                        ' print setsockopt($s, SOL_SOCKET, SO_KEEPALIVE, 1) ? "set\\n" : "refused\\n"\'')
        assert said == ["refused", "set"]


def test_a_flood_of_datagrams_from_a_pod_costs_others_nothing(shared_hub):
    flooder, victim = shared_hub.add("floyd"), shared_hub.add("vera")
    shared_hub.connect("vera", victim).close()
    with shared_hub.connect("floyd", flooder) as c:
        c.execute("create table said (n serial, line text)")
        shell(c, "perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_DGRAM, 0); fcntl($s, 4, 2048);"
                 ' my $a = sockaddr_un("/run/dorm/notify"); my $e = time + 2;'
                 ' while (time < $e) { send($s, "READY=1", 0, $a) for 1..1000 }\' & true')
        slowest = 0
        for _ in range(20):
            began = time.monotonic()
            shared_hub.connect("vera", victim).close()
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 2


def test_a_postmaster_that_does_not_stop_is_put_to_sleep_all_the_same(new_hub):
    """SIGSTOP by its own owner: it is made to go on, and the next connection wakes it."""
    hub = new_hub()
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("create table kept as select 7 as n")
        c.execute("copy (select where false) to program 'cat >/dev/null; kill -STOP 2'")
    hub.dorm("server", "stop", "alice")
    assert hub.state_of("alice") == "asleep"
    with hub.connect("alice", password) as c:
        assert c.execute("select n from kept").fetchone() == (7,)


def test_a_user_has_so_many_sessions_and_no_more_and_others_do_not_notice(hub):
    alice, bob = hub.add("alice"), hub.add("bob")
    hub.connect("bob", bob).close()
    held = []
    with pytest.raises(Exception, match="too many|remaining connection slots"):
        for _ in range(200):
            held.append(hub.connect("alice", alice))
    assert 90 <= len(held) <= 100
    hub.connect("bob", bob).close()
    for c in held:
        c.close()
    wait_until(lambda: hub.show("alice")["sessions"].startswith("0,"), "all have left")


def test_a_pod_found_by_a_new_dormd_is_over_when_its_postmaster_is(hub):
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        c.execute("copy (select where false) to program 'setsid sleep 300 >/dev/null 2>&1 &'")
    hub.kill()
    hub.start()
    with hub.connect("alice", password) as c:
        started = c.execute("select pg_postmaster_start_time()").fetchone()
        c.execute("copy (select where false) to program 'kill -INT 2'")

    def restarted():
        with contextlib.suppress(psycopg.OperationalError):  # it says that it is shutting down
            with hub.connect("alice", password) as again:
                return again.execute("select pg_postmaster_start_time()").fetchone() != started

    wait_until(restarted, "another postmaster has taken its place", seconds=20)
