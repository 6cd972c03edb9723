"""What strangers send first: each packet by its number, plain, inside TLS, and byte by byte."""
import socket
import ssl
import struct
import time

import pytest

from gate_alone import until


def packet(code, body=b"", length=None):
    return struct.pack("!II", len(body) + 8 if length is None else length, code) + body


def startup(*pairs, code=0x00030000, tail=b"\0"):
    return packet(code, b"".join(k + b"\0" + v + b"\0" for k, v in pairs) + tail)


def message(kind, body, length=None):
    return kind + struct.pack("!I", len(body) + 4 if length is None else length) + body


def initial(mechanism, data, length=None):
    size = len(data) if length is None else length
    return message(b"p", mechanism + b"\0" + struct.pack("!I", size) + data)


USER, DB = (b"user", b"alice"), (b"database", b"alice")
SU = startup(USER, DB)
SSL = packet(0x04D2162F)
GSS = packet(0x04D21630)
CANCEL = 0x04D2162E


def of_length(n):
    """A valid start-up packet of just this length."""
    rest = n - len(startup(USER, DB, (b"application_name", b"")))
    return startup(USER, DB, (b"application_name", b"x" * rest))


def many(n):
    return startup(USER, DB, *((b"a.%d" % i, b"1") for i in range(n)))


S, N, SASL, PLUS = "S", "N", "SASL", "SASL+PLUS"
CLOSE = "close"
V = "v "

# number: bytes, what follows; where it differs inside TLS, that too. `v` goes before SASL.
ROWS = {
    "P04": (packet(0x00030000, length=0), CLOSE),
    "P05": (b"\0\0\0\4", CLOSE),
    "P06": (b"\0\0\0\7\0\3\0", CLOSE),
    "P07": (packet(0x00030000), "E08P01"),
    "P08": (packet(0x00030000, b"\0"), "E28000"),
    "P09": (packet(0x00030000, length=0xFFFFFFFF), CLOSE),
    "P10": (packet(0x00030000, length=0x80000000), CLOSE),
    "P11": (packet(0x00030000, length=0x7FFFFFFF), CLOSE),
    "P12": (of_length(10000), SASL),
    "P13a": (of_length(10004), SASL),
    "P13b": (packet(0x00030000, length=10005), CLOSE),
    "P15": (startup(USER, code=0x00020000), "old"),
    "P16": (startup(USER, code=0x00010000), "E0A000"),
    "P17": (startup(USER, DB, code=0x00030001), V + SASL),
    "P18": (startup(USER, DB, code=0x00030002), V + SASL),
    "P19": (startup(USER, DB, (b"_pq_.test_protocol_negotiation", b""), code=0x0003270F), V + SASL),
    "P20": (startup(USER, code=0x00040000), "E0A000"),
    "P21": (startup(USER, code=0), "E0A000"),
    "P22": (startup(USER, code=0xFFFFFFFF), "E0A000"),
    "P23": (startup(USER, DB, (b"_pq_.x", b"1")), V + SASL),
    "P24": (startup(DB), "E28000"),
    "P25": (startup((b"user", b""), DB), "E28000"),
    "P26": (startup(USER, (b"user", b"bob")), "E08P01"),
    "P27": (startup((b"user", b"bob"), USER), "E08P01"),
    "P28": (startup(USER, DB, tail=b""), "E08P01"),
    "P29": (startup(USER, DB, tail=b"\0garbage"), "E08P01"),
    "P30": (startup(USER, tail=b"database\0"), "E08P01"),
    "P31": (startup((b"user", b"a" * 64)), SASL),
    "P32": (startup(USER, DB, (b"no_such_setting", b"1")), SASL),
    "P33": (startup(USER, DB, (b"options", b"-c")), SASL),
    "P34": (startup(USER, DB, (b"options", b"-c=")), SASL),
    "P35": (startup(USER, DB, (b"replication", b"database")), SASL),
    "P36": (startup(USER, DB, (b"replication", b"true")), SASL),
    "P37": (startup(USER, DB, (b"replication", b"banana")), SASL),
    "P38": (many(900), SASL),
    "P39": (many(10000)[:20000], CLOSE),
    "P40": (SSL, S, "E0A000"),
    "P43": (packet(0x04D2162F, b"\0"), CLOSE),
    "P44": (packet(0x04D2162F, b"\0" * 4), CLOSE),
    "P45": (GSS, N, "E0A000"),
    "P49": (packet(CANCEL, struct.pack("!II", 1, 0)), CLOSE),
    "P50": (packet(CANCEL, b"\0" * 4), CLOSE),
    "P51": (packet(CANCEL, b"\0" * 7), CLOSE),
    "P52": (packet(CANCEL, b"\0" * 12), CLOSE),
    "P53": (packet(CANCEL, b"\0" * 260), CLOSE),
    "P54": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", CLOSE),
    "P57": (SU, SASL),
    "P64": (SU + startup((b"user", b"postgres")), "E08P01 after SASL"),
    "P82": (startup((b"user", b"nosuch"), DB), SASL),
    "P83": (startup((b"user", b"../../etc/passwd")), SASL),
    "P84": (startup((b"user", b"\xff\xfe\xc0\x80")), SASL),
}

# Sent in one segment, bytes before the answer to a request: never read as if they had come later.
AHEAD = {
    "P41": SSL + SSL,
    "P42": SSL + SU,
    "P42b": SSL + packet(CANCEL, b"\0" * 8),
    "P42c": SSL + b"\x16",
    "P46": GSS * 3,
    "P47": GSS + SU,
    "P48": GSS + SSL,
    "P48b": GSS + b"\0",
}

FIRST = b"n,,n=,r=" + b"c" * 24
# What follows the offer of SASL. In a fourth place, what is said inside TLS instead.
LOGINS = {
    "P65": (initial(b"SCRAM-MD5", FIRST), "E08P01"),
    "P66": (initial(b"SCRAM-SHA-256-PLUS", FIRST), "E08P01", "E08P01"),
    "P68": (initial(b"SCRAM-SHA-256", FIRST, length=5000), "E08P01"),
    "P69": (initial(b"SCRAM-SHA-256", FIRST, length=0x7FFFFFFF), "E08P01"),
    "P70": (message(b"p", b"", length=0), "E08P01"),
    "P71": (message(b"p", b"", length=3), "E08P01"),
    "P72": (message(b"p", b"", length=0x7FFFFFFF), "E08P01"),
    "P73": (message(b"p", b"", length=0x80000005), "E08P01"),
    "P74": (message(b"Q", b"select 1\0"), "E08P01"),
    "P75": (message(b"X", b""), "E08P01"),
    "P76": (initial(b"SCRAM-SHA-256", b"n,a=postgres,n=,r=" + b"c" * 24), "E0A000"),
    "P77": (initial(b"SCRAM-SHA-256", b"y,,n=,r=" + b"c" * 24), "challenge", "E28000"),
    "P79": (initial(b"SCRAM-SHA-256", b"n,,n=,r=" + b"c" * 900), "challenge"),
    "P80": (initial(b"SCRAM-SHA-256", b"n,,n=,r=ccc\0ccc" + b"c" * 24), "E08P01"),
    "P81": (initial(b"SCRAM-SHA-256", b"n,,m=x,n=,r=" + b"c" * 24), "E0A000"),
}


class Peer:
    def __init__(self, gate, way):
        self.way = way
        self.raw = self.at = socket.create_connection(("127.0.0.1", gate.port), timeout=30)
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if way == "tls":
            self.secure()

    def secure(self, send=True):
        if send:
            self.raw.sendall(SSL)
            assert self.raw.recv(1) == b"S"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.at = context.wrap_socket(self.raw)

    def send(self, data):
        try:
            if self.way != "drip":
                self.at.sendall(data)
                return
            for i in range(len(data)):
                self.at.sendall(data[i : i + 1])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has judged before the end: what it said is still to be read

    def read(self, n):
        got = b""
        while len(got) < n:
            more = self.at.recv(n - len(got))
            if not more:
                break
            got += more
        return got

    def message(self):
        head = self.read(5)
        if len(head) < 5:
            return head, b""
        return head[:1], self.read(struct.unpack("!I", head[1:])[0] - 4)

    def at_end(self):
        return self.at.recv(1) == b""

    def verdict(self):
        """One word for what the gate says now."""
        kind, body = self.message()
        if kind in (b"S", b"N") and body == b"":
            return kind.decode()
        if kind == b"":
            return CLOSE
        if kind == b"E":
            assert self.at_end()
            if not body.startswith(b"SFATAL"):
                return "E?"
            fields = {f[:1]: f[1:] for f in body.split(b"\0") if f}
            return "E" + fields[b"C"].decode()
        if kind == b"v":
            return V + self.verdict()
        if kind == b"R" and body[:4] == b"\0\0\0\x0a":
            return PLUS if b"SCRAM-SHA-256-PLUS\0" in body else SASL
        if kind == b"R" and body[:4] == b"\0\0\0\x0b":
            return "challenge"
        return repr((kind, body))


def expected(row, way):
    want = row[2] if way == "tls" and len(row) > 2 else row[1]
    if way == "tls":
        want = want.replace(SASL, PLUS)
    return want


WAYS = ("plain", "tls", "drip")


def old_form(peer):
    return peer.read(1) == b"E" and peer.read(200).endswith(b"\0")


def test_the_table_of_first_packets(gate):
    wrong = []
    for number, row in ROWS.items():
        for way in WAYS:
            peer = Peer(gate, way)
            peer.send(row[0])
            want = expected(row, way)
            if want == "old":
                got = "old" if old_form(peer) else "not old"
            elif want in (S, N):
                got = peer.read(1).decode()
            elif want.endswith("after " + (PLUS if way == "tls" else SASL)):
                first = peer.verdict()
                got = f"{peer.verdict()} after {first}"
            else:
                got = peer.verdict()
            if got != want:
                wrong.append(f"{number} {way}: {got}, want {want}")
            peer.raw.close()
    assert not wrong, "\n".join(wrong)
    assert gate.process.poll() is None
    assert gate.dormd.count("GATE_WAKE") == 0
    assert gate.dormd.count("GATE_CANCEL") == 0


def test_bytes_before_the_answer_are_never_read(gate):
    for number, data in AHEAD.items():
        peer = Peer(gate, "plain")
        peer.send(data)
        assert peer.verdict() == CLOSE, number
        peer.raw.close()
    assert gate.dormd.count("GATE_LOGIN") == 0


def test_the_table_of_logins(gate):
    wrong = []
    for number, row in LOGINS.items():
        for way in WAYS:
            peer = Peer(gate, way)
            peer.send(SU)
            assert peer.verdict() == (PLUS if way == "tls" else SASL)
            peer.send(row[0])
            got, want = peer.verdict(), row[2] if way == "tls" and len(row) > 2 else row[1]
            if got != want:
                wrong.append(f"{number} {way}: {got}, want {want}")
            peer.raw.close()
    assert not wrong, "\n".join(wrong)
    assert gate.dormd.count("GATE_WAKE") == 0


def test_a_version_too_new_is_told_what_is_spoken(gate):
    """P19, P23"""
    peer = Peer(gate, "plain")
    peer.send(ROWS["P19"][0])
    kind, body = peer.message()
    assert kind == b"v"
    assert body == struct.pack("!II", 0x00030000, 1) + b"_pq_.test_protocol_negotiation\0"
    assert peer.verdict() == SASL


def test_the_order_of_libpq_each_request_once(gate):
    """GSSENCRequest, N, SSLRequest, S, TLS, StartupMessage"""
    peer = Peer(gate, "plain")
    peer.send(GSS)
    assert peer.read(1) == b"N"
    peer.secure()
    peer.send(SU)
    assert peer.verdict() == PLUS
    for request in (SSL, GSS):
        peer = Peer(gate, "plain")
        peer.send(GSS)
        assert peer.read(1) == b"N"
        if request == SSL:
            peer.secure()
        peer.send(request)
        assert peer.verdict() == "E0A000"


def test_hanging_up_at_once_leaves_nothing(gate):
    """P01"""
    before = gate.settled_fds()
    for _ in range(200):
        Peer(gate, "plain").raw.close()
    until(lambda: gate.fds() == before, "every descriptor is given back")
    assert "error" not in gate.log()


def test_the_silent_are_closed_at_the_deadline_without_a_word(gate):
    """P02, P03, P14, P56, P61, and silence after S and after the offer of SASL"""
    def after(first, then, answer):
        peer = Peer(gate, "plain")
        peer.send(first)
        assert peer.read(1) == answer
        peer.send(then)
        return peer

    peers = []
    begun = time.monotonic()
    for data in (b"", b"\0", packet(0x00030000, b"x" * 42, length=100), b"\x16\x03\x01", SU[:20]):
        peers.append(Peer(gate, "plain"))
        peers[-1].send(data)
    peers.append(Peer(gate, "tls"))
    peers.append(after(SSL, b"", b"S"))
    peers.append(after(SSL, b"\x16\x03\x01\0\x40", b"S"))
    lines = gate.log().count("\n")
    for peer in peers:
        assert peer.at.recv(1) == b""
    assert 18 < time.monotonic() - begun < 26
    assert gate.log().count("\n") == lines


def test_plaintext_after_the_promise_of_tls_is_closed(gate):
    """P62"""
    peer = Peer(gate, "plain")
    peer.send(SSL)
    assert peer.read(1) == b"S"
    peer.send(SU)
    rest = peer.read(1000)  # a TLS alert, then the end
    assert b"E" != rest[:1] and b"R" != rest[:1]


@pytest.mark.parametrize("alpn, taken", [(["postgresql"], True), (["http/1.1"], False), (None, False)])
def test_direct_tls_needs_its_alpn(gate, alpn, taken):
    """P55"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    peer = Peer(gate, "plain")
    if not taken:
        with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
            peer.at = context.wrap_socket(peer.raw)
            peer.send(SU)
            assert peer.at_end()
            raise ConnectionError("closed after the handshake")
        assert gate.dormd.count("GATE_LOGIN") == 0
        return
    peer.at = context.wrap_socket(peer.raw)
    peer.send(SU)
    assert peer.verdict() == PLUS


def test_tls_pipelined_behind_its_own_handshake_is_read(gate):
    """The Finished and the StartupMessage in one segment: nothing may be left lying in TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    peer = Peer(gate, "plain")
    peer.send(SSL)
    assert peer.read(1) == b"S"
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            peer.raw.sendall(outgoing.read())
            incoming.write(peer.raw.recv(65536))
    tls.write(SU)
    peer.raw.sendall(outgoing.read())
    incoming.write(peer.raw.recv(65536))
    assert tls.read(1) == b"R"


def test_the_unknown_get_the_same_salt_each_time(gate):
    """P82"""
    def challenge(user):
        peer = Peer(gate, "plain")
        peer.send(startup((b"user", user), DB))
        assert peer.verdict() == SASL
        peer.send(initial(b"SCRAM-SHA-256", FIRST))
        kind, body = peer.message()
        assert kind == b"R" and body[:4] == b"\0\0\0\x0b"
        return dict(part.split(b"=", 1) for part in body[4:].split(b","))

    first, second, other, real = map(challenge, (b"nosuch", b"nosuch", b"nosuch2", b"alice"))
    assert first[b"s"] == second[b"s"] != other[b"s"]
    assert first[b"i"] == real[b"i"]
    assert len(first[b"s"]) == len(real[b"s"])


def test_foreign_bytes_reach_the_log_escaped(gate):
    """P83, P84"""
    for user in (b"\xff\xfe\xc0\x80", b"\x1b[31mred\n<3>forged", b"../../etc/passwd"):
        peer = Peer(gate, "plain")
        peer.send(startup((b"user", user)))
        assert peer.verdict() == SASL
        peer.send(initial(b"SCRAM-SHA-256", FIRST))
        kind, body = peer.message()
        nonce = body[4:].split(b",")[0]
        peer.send(message(b"p", b"c=biws," + nonce + b",p=" + b"A" * 43 + b"="))
        assert peer.verdict() == "E28P01"
    log = (gate.run_dir / "gate.log").read_bytes()
    assert b"\x1b" not in log and b"\xff" not in log
    assert not any(line.startswith(b"<3>forged") for line in log.splitlines())


def test_without_tls_only_from_the_networks_named(new_gate):
    gate = new_gate(plaintext=("10.0.0.0/8",))
    peer = Peer(gate, "plain")
    peer.send(SU)
    kind, body = peer.message()
    assert kind == b"E" and b"C28000\0" in body and b"sslmode=require" in body
    assert gate.dormd.count("GATE_LOGIN") == 0
    peer = Peer(gate, "tls")
    peer.send(SU)
    assert peer.verdict() == PLUS
