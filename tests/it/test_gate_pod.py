"""A listener that is in a pod: who comes in there is known by it, and it is closed when told."""

import os
import socket

import psycopg
import pytest

from gate_alone import NO_UID, until

SERVER, TOOL = "abcdefghijklm", "abcdefghijklm-nopqrstuvwxyz"


@pytest.fixture
def pod(gate):
    """A listener as dormd hands one over, and the port it is found by here."""
    gate.dormd.users[b"anybody"] = dict(role="alice")
    real = gate.dormd.on_gate_login

    def on_gate_login(session, user, database, address, uid):
        if address.startswith(b"pod:"):
            known = gate.dormd.users[b"anybody"]
            gate.dormd.send("GATE_WHO", session, 2, "srv-alice", known["role"], database, "", "", "")
        else:
            real(session, user, database, address, uid)

    gate.dormd.on_gate_login = on_gate_login
    with socket.create_server(("127.0.0.1", 0)) as s:
        gate.dormd.send("GATE_LISTEN", "pod:" + TOOL, fd=s.fileno())
        yield s.getsockname()[1]


def connect(port, user="whoever", **more):
    return psycopg.connect(host="127.0.0.1", port=port, user=user, dbname="alice", connect_timeout=20, **more)


def test_who_comes_in_there_is_asked_for_no_password_and_no_tls(gate, pod):
    with connect(pod, sslmode="prefer") as c:
        assert c.execute("select current_user").fetchone() == ("alice",)
    session, user, database, address, uid = gate.dormd.sent("GATE_LOGIN")[-1]
    assert (user, database, address, uid) == (b"whoever", b"alice", b"pod:" + SERVER.encode(), NO_UID)
    with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
        connect(pod, sslmode="require")


def test_the_other_door_is_as_it_was(gate, pod):
    with pytest.raises(psycopg.OperationalError, match="password|SASL"):
        connect(gate.port, user="alice")
    assert gate.dormd.sent("GATE_LOGIN")[-1][3] == b"127.0.0.1"


def test_each_server_is_a_source_of_its_own(gate, pod):
    """Strangers of one pod take no place from another's, nor from those of the host's loopback."""
    crowd = []
    for _ in range(520):  # more than one source may have
        s = socket.socket()
        s.settimeout(20)
        s.connect(("127.0.0.1", pod))
        crowd.append(s)
    with psycopg.connect(gate.dsn()) as c:
        assert c.execute("select 1").fetchone() == (1,)
    for s in crowd:
        s.close()


def test_it_is_closed_when_told_and_only_it(gate, pod):
    before = gate.settled_fds()
    with connect(pod) as c:
        gate.dormd.send("GATE_UNLISTEN", "pod:" + SERVER)  # no kind that there is
        gate.dormd.send("GATE_UNLISTEN", "pod:" + TOOL)
        until(lambda: gate.fds() == before - 1 + 2, "the listener is closed, the session is not")
        assert c.execute("select 1").fetchone() == (1,)
    with psycopg.connect(gate.dsn()) as c:
        assert c.execute("select 1").fetchone() == (1,)


def test_a_new_dormd_is_told_of_it(gate, pod):
    gate.dormd.stop()
    gate.dormd.log.clear()
    gate.dormd.start()
    until(lambda: gate.dormd.count("GATE_LISTENER") == 2, "both listeners are named")
    assert sorted(v[0] for v in gate.dormd.sent("GATE_LISTENER")) == [b"pod:" + TOOL.encode(), b"tcp"]


@pytest.mark.parametrize("kind", ["pod:", "pod:abc", "pod:" + SERVER, "pod:" + SERVER + "x", "pod:" + "x" * 60 + "-"])
def test_what_names_no_pod_is_refused(gate, kind):
    before = gate.settled_fds()
    with socket.create_server(("127.0.0.1", 0)) as s:
        gate.dormd.send("GATE_LISTEN", kind, fd=s.fileno())
        until(lambda: "could not listen where dormd told" in gate.log(), "it says no")
    assert gate.fds() == before
    assert os.path.exists(f"/proc/{gate.process.pid}")
