"""A real hub for a test: its own state, ports and uids; and the proof that nothing of it remains."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import psycopg

BUILD = pathlib.Path(os.environ.get("DORM_BUILD", "build-test")).resolve()
PROGRAMS = {"dormd": "src/dormd/dormd", "dorm-gate": "src/gate/dorm-gate", "dorm": "src/cli/dorm"}
PATIENCE = 60


def wait_until(condition, what, seconds=PATIENCE):
    """The one way to wait in these tests: by condition, with a deadline."""
    deadline = time.monotonic() + seconds
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Hub:
    """One dormd on a state directory of its own."""

    # two test runs on one machine must not want the same uids: each has 20,000, and gives them back
    first_uid = 300000 + os.getpid() % 1000 * 20000
    taken = []

    @classmethod
    def free_uids(cls, n):
        for first in range(cls.first_uid, cls.first_uid + 20000 - n + 1, 1000):
            if not any(first <= b and a < first + n for a, b in cls.taken):
                return first
        raise RuntimeError("too many hubs at a time")

    def __init__(self, first_uid=None, conf="", pool="640Mi", inject=None, uids=1000):
        if first_uid is None:
            first_uid = Hub.free_uids(uids)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="dorm-it-"))
        self.dir.chmod(0o711)
        self.state = self.dir / "state"
        self.state.mkdir(mode=0o711)
        self.lib = self.dir / "lib"
        self.lib.mkdir(mode=0o755)
        for name, path in PROGRAMS.items():
            (self.lib / name).symlink_to(BUILD / path)
        self.uids = (first_uid, first_uid + uids - 1)
        Hub.taken.append(self.uids)
        self.conf = conf
        self.pool = pool
        self.port = free_port()
        self.process = None
        self.id, self.run = None, None  # known once it has started
        self.write_conf()
        self.inject = inject

    def write_conf(self, conf=None, extra=""):
        if conf is not None:
            self.conf = conf
        text = (
            f"hub: it\nlisten: {{postgres: {self.port}}}\n"
            f"machine: {{pool: {self.pool}, uids: {self.uids[0]}-{self.uids[1]}{extra}}}\n{self.conf}\n"
        )
        (self.state / "hub.yaml").write_text(text)

    def env(self, **more):
        env = dict(os.environ, DORM_STATE=str(self.state), DORM_LIB=str(self.lib),
                   ASAN_OPTIONS="detect_leaks=0")
        env.pop("DORM_INJECT", None)
        env.update({k: v for k, v in more.items() if v is not None})
        return env

    @property
    def log(self):
        path = self.dir / "dormd.log"
        return path.read_text(errors="backslashreplace") if path.exists() else ""

    @property
    def run_dir(self):
        return (self.state / "run").read_text().strip()

    def start(self, inject=None, expect_ready=True):
        """Start dormd and wait until it says that it is ready, or what went wrong."""
        read_end, write_end = os.pipe()
        with open(self.dir / "dormd.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.lib / "dormd", "--ready-fd", str(write_end)],
                env=self.env(DORM_INJECT=inject or self.inject),
                stderr=log, stdout=log, stdin=subprocess.DEVNULL, pass_fds=[write_end],
            )
        os.close(write_end)
        with open(read_end) as pipe:
            said = pipe.read()
        if expect_ready:
            assert said == "ready\n", f"dormd said {said!r}\n{self.log}"
            self.id, self.run = self.hub_id, self.run_dir
        return said

    def kill(self):
        """kill -9, and its end."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def wait_end(self):
        return self.process.wait(timeout=PATIENCE)

    def dorm(self, *words, check=True, stdin="", uid=None, **more):
        command = [str(self.lib / "dorm"), *words]
        done = subprocess.run(
            command, env=self.env(**more), input=stdin, capture_output=True, text=True,
            timeout=PATIENCE * 3, user=uid, group=uid,
            extra_groups=[] if uid else None,
        )
        if check:
            assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}\n{self.log}"
        return done

    def call(self, verb, **args):
        """The same as a command, without its process: rows as dicts, or the refusal raised."""
        words = [verb] + [w for k, v in args.items() for w in (k, str(v))]
        return Call(f"{self.run_dir}/control", words).answer()

    def rows(self, *words):
        return json.loads(self.dorm(*words, "-o", "json").stdout)

    def add(self, login):
        """A user, with their password."""
        return self.rows("user", "add", login)[0]["password"]

    def show(self, name):
        return {row["field"]: row["value"] for row in self.rows("server", "show", name)}

    def state_of(self, name):
        return self.show(name)["state"]

    def conninfo(self, user, password, dbname=None, **more):
        info = dict(
            host="localhost", port=self.port, user=user, password=password,
            dbname=dbname or user.split(".")[0], sslmode="verify-full",
            sslrootcert=str(self.state / "tls" / "ca.crt"), connect_timeout=60,
        )
        info.update(more)
        return psycopg.conninfo.make_conninfo(**info)

    def connect(self, user, password, dbname=None, **more):
        return psycopg.connect(self.conninfo(user, password, dbname, **more), autocommit=True)

    def server_id(self, name):
        return self.show(name)["server id"]

    def groups(self):
        """Every control group of this hub's."""
        return list(pathlib.Path("/sys/fs/cgroup").glob(f"*/dormouse-{self.id}")) if self.id else []

    @property
    def hub_id(self):
        import sqlite3
        with contextlib.closing(sqlite3.connect(f"file:{self.state}/record.db?mode=ro", uri=True)) as db:
            return db.execute("select value from settings where key = 'hub.id'").fetchone()[0]

    def purge(self):
        """Take it all away, and see that nothing remains."""
        if self.id is not None and self.state.exists():
            if self.process.poll() is not None:
                self.write_conf(conf="")
                self.start()
            done = self.dorm("purge", "--yes", "it", check=False)
            if done.returncode != 0:
                print(done.stdout, done.stderr)
            try:
                self.wait_end()
            except subprocess.TimeoutExpired:
                self.kill()
        left = leftovers(self, with_state=self.id is not None)
        print(self.log)
        shutil.rmtree(self.dir, ignore_errors=True)
        if not left and self.uids in Hub.taken:
            Hub.taken.remove(self.uids)
        assert not left, f"left behind: {left}"


MESSAGES = ["CALL", "COLUMNS", "ROW", "SAY", "DONE", "FAIL"]


class Refused(Exception):
    """What dormd said no to."""


class Call:
    """One question to dormd in its own words (src/ipc/ipc.h)."""

    def __init__(self, path, words):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(path)
        fields = b"".join(
            len(w.encode()).to_bytes(4, "big") + w.encode() + b"\0" for w in words)
        self.socket.send((0).to_bytes(2, "big") + len(words).to_bytes(2, "big") + fields)

    def messages(self):
        while True:
            data = self.socket.recv(70000)
            if not data:
                raise Refused("dormd closed the connection")
            kind = MESSAGES[int.from_bytes(data[:2], "big")]
            fields, at = [], 4
            for _ in range(int.from_bytes(data[2:4], "big")):
                n = int.from_bytes(data[at:at + 4], "big")
                fields.append(data[at + 4:at + 4 + n])
                at += 5 + n
            yield kind, fields
            if kind in ("DONE", "FAIL"):
                self.socket.close()
                return

    def answer(self):
        columns, rows = [], []
        for kind, fields in self.messages():
            if kind == "COLUMNS":
                columns = [f.decode() for f in fields]
            elif kind == "ROW":
                rows.append(dict(zip(columns, [f.decode() for f in fields])))
            elif kind == "FAIL":
                raise Refused(fields[1].decode())
        return rows


def processes_of(uids):
    """Processes whose real uid is in the range."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            status = (entry / "status").read_text()
            uid = int(status.split("Uid:")[1].split()[0])
            if "State:\tZ" in status:
                continue  # dead; its parent, the machine's process 1, has not looked yet
            if uids[0] <= uid <= uids[1]:
                found.append((int(entry.name), status.splitlines()[0], uid))
    return found


def mounts_below(*paths):
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [l.split()[4] for l in lines if any(l.split()[4].startswith(p) for p in paths if p)]


def loops():
    out = subprocess.run(["losetup", "-n", "-O", "NAME,BACK-FILE"], capture_output=True, text=True)
    return sorted(out.stdout.splitlines())


def leftovers(hub, with_state=True):
    """What of this hub still exists on the machine."""
    run = hub.run
    if run is None:
        with contextlib.suppress(OSError):
            run = hub.run_dir
    left = [f"process {p}" for p in processes_of(hub.uids)]
    left += [f"mount {m}" for m in mounts_below(str(hub.dir), run)]
    left += [f"loop {l}" for l in loops() if str(hub.dir) in l]
    left += [f"directory {run}"] if hub.id and run and os.path.exists(run) else []
    left += [f"state {hub.state}"] if with_state and hub.state.exists() else []
    left += [f"group {g}" for g in hub.groups()]
    return left
