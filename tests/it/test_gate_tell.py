"""What dormd has to tell a session reaches its client at once, and only between two messages."""
import subprocess
import threading

import psycopg

from gate_alone import until


def connect(gate):
    c = psycopg.connect(gate.dsn(), autocommit=True)
    heard = []
    c.add_notice_handler(lambda d: heard.append((d.severity, d.sqlstate, d.message_primary, d.message_hint)))
    return c, heard


def session_of(gate):
    return gate.dormd.sent("GATE_WAKE")[-1][0]


def test_a_notice_reaches_an_idle_client_at_once(gate):
    c, heard = connect(gate)
    gate.dormd.send("GATE_TELL", session_of(gate), "your disk is nearly full", "Delete something.")
    until(lambda: c.pgconn.consume_input() or c.pgconn.notifies() or heard, "the notice is there")
    assert heard == [("WARNING", "01000", "your disk is nearly full", "Delete something.")]
    assert c.execute("select 42").fetchone() == (42,)
    c.close()


def test_rows_are_not_torn_by_what_is_told_meanwhile(gate):
    """Rows of many sizes, so that reads end anywhere in them, under a rain of notices."""
    c, heard = connect(gate)
    session, done = session_of(gate), threading.Event()

    def rain():
        while not done.is_set():
            gate.dormd.send("GATE_TELL", session, "news " * 20, "")
            done.wait(0.0005)

    rainer = threading.Thread(target=rain)
    rainer.start()
    try:
        rows = c.execute("select n, repeat(chr(65 + n % 26), n * 37 % 9000) from generate_series(1, 20000) n").fetchall()
        with c.cursor().copy("copy (select repeat('y', n % 5000) from generate_series(1, 10000) n) to stdout") as copy:
            copied = sum(len(bytes(block)) for block in copy)
    finally:
        done.set()
        rainer.join()
    assert all(text == chr(65 + n % 26) * (n * 37 % 9000) for n, text in rows) and len(rows) == 20000
    assert copied == sum(n % 5000 for n in range(1, 10001)) + 10000
    assert len(heard) > 5
    c.close()


def test_who_is_told_while_waiting_hears_it_with_the_first_prompt(gate):
    gate.dormd.hold_wake = True
    p = subprocess.Popen(["psql", "-XqAt", gate.dsn(), "-c", "select 1"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    until(lambda: gate.dormd.held, "it waits")
    (session, server), = gate.dormd.held
    gate.dormd.send("GATE_TELL", session, "early news", "")
    gate.dormd.ready(session, server)
    out, err = p.communicate(timeout=20)
    assert out == "1\n" and "early news" in err
