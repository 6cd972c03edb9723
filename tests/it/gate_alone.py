"""dorm-gate by itself: a stand-in for dormd, and one real PostgreSQL for everybody's server."""
import array
import base64
import hashlib
import hmac
import os
import pathlib
import re
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
GATE = pathlib.Path(os.environ.get("DORM_BUILD", SOURCE / "build")) / "src/gate/dorm-gate"
NOBODY = 65534  # runs PostgreSQL
GATE_UID = 65533
DEADLINE = 30.0
NO_UID = 2**64 - 1

ROWS = re.findall(r"^    X\((\w+),[\s\\]*\"([^\"]*)\"", (SOURCE / "src/ipc/ipc.h").read_text(), re.M)
NAMES, KINDS = [name for name, _ in ROWS], dict(ROWS)


def until(condition, what, seconds=DEADLINE):
    """Wait until condition() is true; fail with `what` when that takes too long."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        select_nothing()
    return value


def select_nothing():
    selectors.DefaultSelector().select(0.01)


def encode(name, *values):
    kinds = KINDS[name]
    if kinds.endswith("*"):
        kinds = kinds[:-1] + "s" * (len(values) - len(kinds) + 1)
    assert len(kinds) == len(values), (name, values)
    out = NAMES.index(name).to_bytes(2, "big") + len(values).to_bytes(2, "big")
    for kind, value in zip(kinds, values):
        data = value.to_bytes(8, "big") if kind == "u" else value if isinstance(value, bytes) else value.encode()
        out += len(data).to_bytes(4, "big") + data + b"\0"
    return out


def decode(data):
    name = NAMES[int.from_bytes(data[:2], "big")]
    at, values = 4, []
    for kind in KINDS[name]:
        size = int.from_bytes(data[at : at + 4], "big")
        field = data[at + 4 : at + 4 + size]
        values.append(int.from_bytes(field, "big") if kind == "u" else field)
        at += 5 + size
    return name, values


def verifier(password, salt=b"0123456789abcdef", iterations=4096):
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    b64 = lambda b: base64.b64encode(b).decode()
    return f"SCRAM-SHA-256${iterations}:{b64(salt)}${b64(stored)}:{b64(server)}"


VERIFIER = verifier("secret")


class FakeDormd:
    """Answers a gate as dormd does. `users` says who exists; `connect` brings a server's socket."""

    def __init__(self, run_dir, connect, cert, key, plaintext=("127.0.0.0/8",)):
        self.path = run_dir / "gate" / "dormd.sock"
        self.connect, self.cert, self.key, self.plaintext = connect, cert, key, plaintext
        self.users = {
            b"alice": dict(role="alice"),
            b"gone": dict(role="gone", refusal="your account is disabled", hint="Ask your teacher."),
        }
        self.log, self.hold_wake, self.hold_login, self.held = [], False, False, []
        self.listeners, self.gate, self.thread, self.set_up = [], None, None, False
        self.lock = threading.Lock()

    def start(self, listeners=()):
        self.listeners = list(listeners)
        self.path.unlink(missing_ok=True)
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.server.bind(str(self.path))
        self.path.chmod(0o777)
        self.server.listen(8)
        self.wake, self.stop_fd = socket.socketpair()
        self.stopping = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def stop(self):
        """As if killed: connections break, the socket's name stays."""
        self.stopping = True
        self.stop_fd.send(b"x")
        self.thread.join()
        for s in (self.server, self.gate, self.wake, self.stop_fd):
            if s is not None:
                s.close()
        self.gate = None

    def run(self):
        while not self.stopping:
            watched = [self.server, self.wake] + ([self.gate] if self.gate else [])
            sel = selectors.DefaultSelector()
            for s in watched:
                sel.register(s, selectors.EVENT_READ)
            ready = [k.fileobj for k, _ in sel.select()]
            sel.close()
            if self.server in ready:
                self.gate, _ = self.server.accept()
            elif self.gate in ready:
                self.receive()

    def receive(self):
        data, fds, _, _ = socket.recv_fds(self.gate, 65536, 4)
        if not data:
            self.gate.close()
            self.gate = None
            return
        name, values = decode(data)
        with self.lock:
            self.log.append((name, values))
        self.received_fds = fds
        handler = getattr(self, "on_" + name.lower(), None)
        if handler:
            handler(*values)
        for fd in fds:
            os.close(fd)

    def send(self, name, *values, fd=None):
        fds = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.gate.sendmsg([encode(name, *values)], fds)

    def setup(self):
        self.send("GATE_SETUP", self.cert.read_bytes(), self.key.read_bytes(), b"m" * 32, *self.plaintext)

    def on_gate_hello(self, version, pid, listeners):
        self.setup()
        for s in self.listeners:
            self.send("GATE_LISTEN", "unix" if s.family == socket.AF_UNIX else "tcp", fd=s.fileno())
        self.set_up = True

    def on_gate_login(self, session, user, database, address, uid):
        if self.hold_login:
            return
        known = self.users.get(user)
        if known is None:
            self.send("GATE_WHO", session, 0, "", "", "", "", "", "")
            return
        trusted = uid != NO_UID and known.get("trusted")
        self.send("GATE_WHO", session, 2 if trusted else 1, known.get("server", "srv-" + known["role"]),
                  known["role"], database, known.get("verifier", VERIFIER), known.get("refusal", ""),
                  known.get("hint", ""))

    def on_gate_wake(self, session, server):
        if self.hold_wake:
            self.held.append((session, server))
        else:
            self.ready(session, server)

    def ready(self, session, server):
        with self.connect(server.decode()) as s:
            self.send("GATE_READY", session, fd=s.fileno())

    def on_gate_cancel(self, ticket, server):
        self.ready(ticket, server)

    def on_gate_barred(self, session, role, database, sqlstate, message, hint):
        self.send("GATE_FAIL", session, sqlstate, message, hint)

    def count(self, name):
        with self.lock:
            return sum(1 for n, _ in self.log if n == name)

    def sent(self, name):
        with self.lock:
            return [v for n, v in self.log if n == name]


class Gate:
    """The program, its listeners, and the stand-in it talks to."""

    def __init__(self, run_dir, dormd):
        self.run_dir, self.dormd = run_dir, dormd
        self.errors = (run_dir / "gate.log").open("w+")
        self.process = None
        self.sanitized = b"__asan_init" in GATE.read_bytes()  # it keeps what is freed: no figures

    def start(self, level=6, unix=False):
        tcp = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = tcp.getsockname()[1]
        listeners = [tcp]
        if unix:
            self.socket_dir = self.run_dir / "pg"
            self.socket_dir.mkdir()
            s = socket.socket(socket.AF_UNIX)
            s.bind(str(self.socket_dir / ".s.PGSQL.5432"))
            (self.socket_dir / ".s.PGSQL.5432").chmod(0o777)
            s.listen(64)
            listeners.append(s)
        self.dormd.start(listeners)
        self.process = subprocess.Popen(
            [GATE, str(self.run_dir), str(GATE_UID), str(GATE_UID), str(level)], stderr=self.errors)
        until(lambda: self.dormd.set_up, "the gate says hello to dormd")
        for s in listeners:
            s.close()
        self.dormd.listeners = []
        # set up in full only when somebody has come in, and gone again
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as s:
            s.sendall(b"\0\0\0\4")
            assert s.recv(1) == b""
        return self

    def stop(self):
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.dormd.stop()
        return code

    def log(self):
        return (self.run_dir / "gate.log").read_text(errors="replace")

    def rss_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", self.status())[1])

    def peak_kib(self):
        return int(re.search(r"VmHWM:\s+(\d+)", self.status())[1])

    def status(self):
        return pathlib.Path(f"/proc/{self.process.pid}/status").read_text()

    def settled_fds(self):
        """How many it has when nothing is under way: the probe that found it ready is closed late."""
        seen = []

        def settled():
            seen.append(self.fds())
            return len(seen) >= 20 and len(set(seen[-20:])) == 1

        until(settled, "the gate is at rest")
        return seen[-1]

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def dsn(self, **more):
        settings = dict(host="127.0.0.1", port=self.port, user="alice", dbname="alice",
                        password="secret", sslmode="require", connect_timeout=30)
        return " ".join(f"{k}='{v}'" for k, v in (settings | more).items() if v is not None)


class Postgres:
    """One cluster: trust on its private socket, SCRAM and TLS on TCP to compare with."""

    def __init__(self, base, cert, key):
        self.base, self.data = base, base / "data"
        self.bin = pathlib.Path(sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1])
        self.cert, self.key = cert, key

    def as_nobody(self, *command):
        subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *map(str, command)],
                       check=True, stdout=subprocess.DEVNULL, cwd=self.base)

    def start(self):
        os.chown(self.base, NOBODY, NOBODY)
        self.as_nobody(self.bin / "initdb", "-D", self.data, "-U", "alice", "-A", "trust", "-N",
                       "--no-locale", "-E", "UTF8")
        for name, source in (("server.crt", self.cert), ("server.key", self.key)):
            shutil.copy(source, self.data / name)
            os.chown(self.data / name, NOBODY, NOBODY)
            (self.data / name).chmod(0o600)
        (self.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen(
            ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
             self.bin / "postgres", "-D", self.data, "-k", self.base, "-p", str(self.port),
             "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on", "-c", "fsync=off", "-c", "jit=off",
             "-c", "max_connections=300"],
            stderr=(self.base / "postgres.log").open("w"), cwd=self.base)
        until(lambda: self.ready(), "PostgreSQL answers")
        self.sql("CREATE DATABASE alice")
        self.sql("ALTER ROLE alice PASSWORD 'secret'")
        self.sql("CREATE ROLE gone LOGIN")

    def ready(self):
        return subprocess.run([self.bin / "pg_isready", "-q", "-h", self.base, "-p", str(self.port)]).returncode == 0

    def sql(self, text):
        subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.base, "-p", str(self.port),
                        "-U", "alice", "-d", "postgres", "-c", text], check=True)

    def connect(self, server):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(self.base / f".s.PGSQL.{self.port}"))
        return s

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()


@pytest.fixture(scope="session")
def cert(tmp_path_factory):
    d = tmp_path_factory.mktemp("cert")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", d / "key.pem", "-out", d / "cert.pem", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return d / "cert.pem", d / "key.pem"


@pytest.fixture(scope="session")
def postgres(cert):
    # not below pytest's own directory, which only its owner may enter
    base = pathlib.Path(tempfile.mkdtemp(prefix="dorm-pg-"))
    server = Postgres(base, *cert)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(base)


@pytest.fixture
def new_gate(cert, postgres):
    """Make gates for one test; all have ended, on request and in order, when it is over."""
    made = []

    def make(connect=None, level=6, unix=False, **more):
        run_dir = pathlib.Path(tempfile.mkdtemp(prefix="dorm-gate-"))
        run_dir.chmod(0o755)
        (run_dir / "gate").mkdir(mode=0o755)
        dormd = FakeDormd(run_dir, connect or postgres.connect, *cert, **more)
        made.append(Gate(run_dir, dormd))
        return made[-1].start(level, unix)

    yield make
    for gate in made:
        code = gate.stop()
        text = gate.log()
        shutil.rmtree(gate.run_dir)
        assert code == 0, f"the gate ended with {code}:\n{text}"
        assert "Sanitizer" not in text, text


@pytest.fixture
def gate(new_gate):
    return new_gate()
