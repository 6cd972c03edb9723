"""localhost in a pod, and programs beside a server: `dorm server shell` and `dorm server run`."""

import contextlib
import fcntl
import os
import pathlib
import pty
import pwd
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from hub import PATIENCE, leftovers, processes_of, wait_until

HERE = pathlib.Path(__file__).resolve()
TIOCGPTN = 0x80045430
WHOSE = "select string_agg(rolname, ' ') from pg_roles where rolname like 'lo-%'"


@pytest.fixture(scope="module")
def alice(shared_hub):
    return shared_hub.add("lo-alice")


@pytest.fixture(scope="module")
def mallory(shared_hub):
    return shared_hub.add("lo-mallory")


def run(hub, name, *command, **more):
    return hub.dorm("server", "run", name, "--", *command, **{"check": False, **more})


def sh(hub, name, script, **more):
    done = run(hub, name, "sh", "-c", script, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_server(hub, user, password, script):
    """What a script says that the server itself starts."""
    with hub.connect(user, password) as c:
        c.execute("create temp table said (n serial, line text)")
        quoted = ("{ " + script + "\n} 2>&1").replace("'", "''")
        c.execute(f"copy said (line) from program '{quoted}'")
        return [row[0] for row in c.execute("select line from said order by n").fetchall()]


def tools(hub):
    """Control groups of tool pods."""
    return {p.name for g in hub.groups() for p in g.iterdir() if p.is_dir() and "-" in p.name}


def gate_pid(hub):
    pid, = [p for p, name, _ in processes_of((hub.uids[0],) * 2) if "dorm-gate" in name]
    return pid


def gate_fds(hub):
    return len(os.listdir(f"/proc/{gate_pid(hub)}/fd"))


class Started:
    """A `dorm server run` that goes on."""

    def __init__(self, hub, name, script, *options, uid=None):
        self.hub = hub
        self.process = subprocess.Popen(
            [str(hub.lib / "dorm"), "server", "run", *options, name, "--", "sh", "-c", script],
            env=hub.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            user=uid, group=uid, extra_groups=[] if uid else None)

    def line(self):
        return self.process.stdout.readline().decode().strip()

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self):
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out.decode(), err.decode()


# ---- in the server's own pod ----


def test_in_the_servers_pod_localhost_needs_no_password(shared_hub, alice):
    with shared_hub.connect("lo-alice", alice) as c:
        c.execute("""copy (select where false) to program 'psql -h localhost -Atc "select current_user" > /tmp/x'""")
        assert c.execute("select pg_read_file('/tmp/x')").fetchone() == ("lo-alice\n",)
    said = in_server(shared_hub, "lo-alice", alice,
                     "psql -Atc 'select current_user, current_database(), usesuper from pg_user"
                     " where usename = current_user';"
                     " psql -h ::1 -Atc 'select 6'; psql -h 127.0.0.1 -U lo-alice -Atc 'select 4'")
    assert said == ["lo-alice|lo-alice|t", "6", "4"]


def test_nothing_a_superuser_sets_takes_localhost_away(shared_hub, alice):
    with shared_hub.connect("lo-alice", alice) as c:
        c.execute("alter system set listen_addresses = ''")
        c.execute("alter system set hba_file = '/nowhere'")
    shared_hub.dorm("server", "stop", "lo-alice")
    assert in_server(shared_hub, "lo-alice", alice, "psql -Atc 'select 1'") == ["1"]
    with shared_hub.connect("lo-alice", alice) as c:
        c.execute("alter system reset all")


# ---- who is behind localhost ----


def test_each_pod_has_a_localhost_of_its_own(shared_hub, alice, mallory):
    """One network per pod: nobody else's localhost is reached, by name, address or role."""
    ask = f"psql -h localhost -Atc \"{WHOSE}\""
    for name, password in (("lo-alice", alice), ("lo-mallory", mallory)):
        assert sh(shared_hub, name, ask).strip() == name
        assert in_server(shared_hub, name, password, ask) == [name]
    # with alice's name, mallory asks for a role of their own server
    for stolen in ("lo-alice", "lo-alice.x", "lo-alice~lo-alice", "lo-alice@school"):
        done = run(shared_hub, "lo-mallory", "psql", "-U", stolen, "-d", "lo-mallory", "-c", "select 1")
        assert f'role "{stolen}" does not exist' in done.stderr
    networks = {os.readlink("/proc/self/ns/net")}
    beside = [Started(shared_hub, name, "readlink /proc/self/ns/net; read x") for name in ("lo-alice", "lo-mallory")]
    networks |= {b.line() for b in beside}
    for name, password in (("lo-alice", alice), ("lo-mallory", mallory)):
        networks.add(in_server(shared_hub, name, password, "readlink /proc/self/ns/net")[0])
    for b in beside:
        b.end()
    assert len(networks) == 5


def test_nothing_of_a_pod_listens_on_the_host(shared_hub, alice):
    """The gate has listeners in pods; among those of the host's own network is only the hub's."""
    listening = {}
    beside = Started(shared_hub, "lo-alice", "psql -Atc 'select 1'; read x")
    assert beside.line() == "1"
    for table in ("tcp", "tcp6"):
        for line in open(f"/proc/net/{table}").readlines()[1:]:
            if line.split()[3] == "0A":
                listening[f"socket:[{line.split()[9]}]"] = line.split()[1]
    fds = f"/proc/{gate_pid(shared_hub)}/fd"
    of_gate = {listening.get(os.readlink(f"{fds}/{n}")) for n in os.listdir(fds)} - {None}
    assert of_gate and all(a.endswith(f":{shared_hub.port:04X}") for a in of_gate)
    beside.end()


@pytest.mark.parametrize("where", ["server", "beside"])
def test_no_packet_leaves_a_pod(shared_hub, alice, where):
    probe = r'''
import errno, socket
def says(what, go):
    try:
        go()
        print(what, "OUT")
    except OSError as e:
        print(what, errno.errorcode[e.errno])
def tcp(to, port, family=socket.AF_INET):
    s = socket.socket(family); s.settimeout(2); s.connect((to, port))
def udp(to, family=socket.AF_INET):
    socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (to, 53))
says("internet", lambda: tcp("192.0.2.1", 443))
says("metadata", lambda: tcp("169.254.169.254", 80))
says("internet6", lambda: tcp("2001:db8::1", 443, socket.AF_INET6))
says("link-local", lambda: tcp("fe80::1%lo", 80, socket.AF_INET6))
says("dns", lambda: udp("192.0.2.53"))
says("broadcast", lambda: udp("255.255.255.255"))
says("gate", lambda: tcp("127.0.0.1", PORT))
says("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
says("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
says("vsock", lambda: socket.socket(socket.AF_VSOCK))
print(*[l.split(":")[0].strip() for l in open("/proc/net/dev").readlines()[2:]])
print(len(open("/proc/net/unix").readlines()) > 40)
'''.replace("PORT", str(shared_hub.port))
    if where == "beside":
        said = run(shared_hub, "lo-alice", "/usr/bin/python3", "-", stdin=probe).stdout.splitlines()
    else:
        with shared_hub.connect("lo-alice", alice) as c:
            c.execute("copy (select unnest(string_to_array(%s, E'\\n'))) to '/tmp/probe.py'" % (
                "$py$" + probe.replace("\\", "\\\\") + "$py$"))
        said = in_server(shared_hub, "lo-alice", alice, "/usr/bin/python3 /tmp/probe.py")
    assert said[-2:] == ["lo", "False"]
    refused = dict(line.split() for line in said[:-2])
    assert set(refused.values()) <= {"ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "ECONNREFUSED", "EPERM",
                                      "EINVAL", "EAFNOSUPPORT"}, said
    assert refused["internet"] == refused["metadata"] == refused["dns"] == "ENETUNREACH"
    assert refused["gate"] == "ECONNREFUSED"


# ---- beside a server ----


def test_psql_beside_a_sleeping_server_wakes_it(shared_hub, alice):
    shared_hub.connect("lo-alice", alice).close()
    shared_hub.dorm("server", "stop", "lo-alice")
    assert shared_hub.state_of("lo-alice") == "asleep"
    assert sh(shared_hub, "lo-alice", "psql -Atc 'select current_user, current_database()'") == "lo-alice|lo-alice\n"
    assert shared_hub.state_of("lo-alice") == "awake"
    assert sh(shared_hub, "lo-alice", "psql 'host=::1 sslmode=prefer' -Atc 'select 6'") == "6\n"
    done = run(shared_hub, "lo-alice", "psql", "sslmode=require", "-c", "select 1")
    assert "server does not support SSL" in done.stderr
    shared_hub.dorm("server", "stop", "lo-alice")
    assert shared_hub.state_of("lo-alice") == "asleep"  # a program that says nothing keeps nothing awake
    sh(shared_hub, "lo-alice", "true")
    assert shared_hub.state_of("lo-alice") == "asleep"


def test_a_statement_can_be_cancelled_and_roles_be_taken(shared_hub, alice):
    sh(shared_hub, "lo-alice", "psql -c 'create role reader login' -c 'create database other'")
    assert sh(shared_hub, "lo-alice", "psql -U reader -d other -Atc 'select current_user, current_database()'") == \
        "reader|other\n"
    done = run(shared_hub, "lo-alice", "sh", "-c",
               "psql -c 'select pg_sleep(60)' & until psql -Atc \"select count(*) from pg_stat_activity where"
               " query like 'select pg_sl%'\" | grep -q 1; do :; done; kill -INT $!; wait $!")
    assert "canceling statement due to user request" in done.stderr
    sh(shared_hub, "lo-alice", "psql -c 'drop role reader' -c 'drop database other'")


def test_streams_and_status_are_passed_on(shared_hub, alice):
    blob = os.urandom(1 << 20)
    done = subprocess.run([shared_hub.lib / "dorm", "server", "run", "lo-alice", "--", "cat"], input=blob,
                          env=shared_hub.env(), capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout == blob, done.stderr) == (0, True, b"")
    for script, status in (("exit 7", 7), ("kill -9 $$", 137), ("exit 0", 0), ("exit 255", 255)):
        assert run(shared_hub, "lo-alice", "sh", "-c", script).returncode == status
    done = run(shared_hub, "lo-alice", "sh", "-c", "echo out; echo err > /dev/stderr; echo again > /dev/stdout")
    assert (done.stdout, done.stderr) == ("out\nagain\n", "err\n")
    done = run(shared_hub, "lo-alice", "no-such-program")
    assert done.returncode == 127 and "no-such-program" in done.stderr
    assert run(shared_hub, "lo-alice", "printf", "%s|", "a b", "", "*", "$x", "").stdout == "a b||*|$x||"


def test_no_word_is_lost(shared_hub, alice):
    assert run(shared_hub, "lo-alice", "sh", "-c", "echo $#", "sh", *["a"] * 4000).stdout == "4000\n"
    done = run(shared_hub, "lo-alice", "sh", "-c", "echo $#", "sh", *["a"] * 5000)
    assert done.returncode == 64 and not done.stdout and "words" in done.stderr


def test_a_signal_ends_it_though_nobody_reads_what_it_writes(shared_hub, alice):
    beside = Started(shared_hub, "lo-alice", "exec yes")
    where = pathlib.Path(f"/proc/{beside.process.pid}/wchan")
    wait_until(lambda: "pipe" in where.read_text(), "it waits for us to read")
    beside.process.terminate()
    assert beside.process.wait(timeout=10) == -signal.SIGTERM
    beside.end()
    wait_until(lambda: not tools(shared_hub), "its group is gone")


def test_an_end_of_output_does_not_hang_on_what_was_left_behind(shared_hub, alice):
    began = time.monotonic()
    assert run(shared_hub, "lo-alice", "sh", "-c", "sleep 1000 & echo done").stdout == "done\n"
    assert time.monotonic() - began < 5
    assert not tools(shared_hub)


def test_it_may_take_only_so_long(shared_hub, alice):
    done = shared_hub.dorm("server", "run", "--timeout", "1s", "lo-alice", "--", "sleep", "1000", check=False)
    assert done.returncode == 73 and "--timeout" in done.stderr
    done = shared_hub.dorm("server", "run", "--timeout", "soon", "lo-alice", "--", "true", check=False)
    assert done.returncode == 64 and "timeout" in done.stderr
    assert not tools(shared_hub)


def test_what_runs_there_is_confined_like_the_server(shared_hub, alice):
    uid = shared_hub.show("lo-alice")["host uid"]
    beside = Started(shared_hub, "lo-alice", "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status;"
                     " id -u; ls /proc/self/fd | tr '\\n' ' '; echo; ls /var/lib /home /root /run 2>&1 | wc -l;"
                     " cat /etc/shadow 2>/dev/null | wc -l; touch /usr/x /x 2>/dev/null || echo refused; read x")
    said = [beside.line() for _ in range(9)]
    assert said[:5] == ["CapEff:\t" + "0" * 16, "CapBnd:\t" + "0" * 16, "NoNewPrivs:\t1", "Seccomp:\t2", "1000"]
    assert said[5] == "0 1 2 3"  # the last is the directory that ls reads
    assert said[7:] == ["0", "refused"]
    group, = tools(shared_hub)
    for tree in shared_hub.groups():
        for pid in (tree / group / "cgroup.procs").read_text().split():
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            assert status.split("Uid:")[1].split()[:4] == [uid] * 4
        with contextlib.suppress(FileNotFoundError):
            assert int((tree / group / "memory.limit_in_bytes").read_text()) == 256 << 20
        with contextlib.suppress(FileNotFoundError):
            assert int((tree / group / "pids.max").read_text()) == 100
    assert shared_hub.show("lo-alice")["shells and runs"].startswith("1, ")
    beside.end()


def test_there_are_only_so_many_beside_one_server(shared_hub, alice):
    all_of_them = [Started(shared_hub, "lo-alice", "echo here; read x") for _ in range(4)]
    assert [b.line() for b in all_of_them] == ["here"] * 4
    done = run(shared_hub, "lo-alice", "true")
    assert done.returncode == 73 and "end one of them" in done.stderr
    assert [b.end()[0] for b in all_of_them] == [1] * 4  # read found the end of input
    assert run(shared_hub, "lo-alice", "true").returncode == 0


# ---- the ends of it ----


def test_nothing_lives_longer_than_who_asked(shared_hub, alice):
    before = gate_fds(shared_hub)
    beside = Started(shared_hub, "lo-alice", "trap '' HUP TERM PIPE; echo here; while :; do sleep 1; done")
    assert beside.line() == "here"
    wait_until(lambda: gate_fds(shared_hub) > before, "the gate has its listeners")
    beside.process.kill()
    beside.end()
    wait_until(lambda: not tools(shared_hub), "its group is gone")
    wait_until(lambda: gate_fds(shared_hub) == before, "the gate has closed its listeners")


@pytest.mark.parametrize("how", ["disable", "remove", "down"])
def test_it_ends_with_its_user_and_its_hub(hub, how):
    hub.add("bob")
    beside = Started(hub, "bob", "psql -Atc 'select 1'; trap '' HUP TERM; while :; do sleep 1; done")
    assert beside.line() == "1"
    if how == "down":
        hub.dorm("down")
        hub.wait_end()
        assert leftovers(hub, with_state=False) == []
    else:
        hub.dorm("user", how, "bob", *(["--yes"] if how == "remove" else []))
    code, _, err = beside.end()
    assert code != 0 and ("going down" if how == "down" else "bob") in err
    assert not tools(hub)
    if how == "disable":
        done = run(hub, "bob", "true")
        assert done.returncode == 77 and "disabled" in done.stderr


def test_it_outlives_dormd_and_its_caller_comes_back(hub):
    hub.add("bob")
    beside = Started(hub, "bob", "psql -Atc 'select 1'; read x; psql -Atc \"select '$x'\"; exec sleep 1000")
    assert beside.line() == "1"
    hub.kill()
    hub.start()
    wait_until(lambda: "shells and runs" in hub.show("bob"), "the tool is known again")
    beside.type("later\n")
    assert beside.line() == "later"
    hub.kill()
    hub.start()
    wait_until(lambda: hub.log.count("its caller is back") == 2, "the caller is known again, too")
    beside.process.send_signal(signal.SIGTERM)
    assert beside.end()[0] == -signal.SIGTERM
    wait_until(lambda: not tools(hub), "it ended with its caller")


def test_an_end_without_dormd_is_an_end(hub):
    hub.add("bob")
    beside = Started(hub, "bob", "echo here; read x; exit 0")
    assert beside.line() == "here"
    hub.kill()
    beside.type("on\n")
    hub.start()
    code, _, err = beside.end()
    assert code == 69 and "restarted" in err
    assert not tools(hub)


def test_another_gate_gets_the_listeners(hub):
    hub.add("bob")
    beside = Started(hub, "bob", "read x; psql -Atc 'select 1'; read x; psql -Atc 'select 2'")
    wait_until(lambda: tools(hub), "it runs")
    for said in ("1", "2"):
        old = gate_pid(hub)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: any("dorm-gate" in name and p != old
                               for p, name, _ in processes_of((hub.uids[0],) * 2)), "another gate")
        beside.type("go\n")
        assert beside.line() == said
    assert beside.end()[0] == 0


def test_a_gate_that_is_replaced_takes_nothing_away(hub):
    hub.add("bob")
    beside = Started(hub, "bob", "psql -At")
    beside.type("select 1;\n")
    assert beside.line() == "1"
    hub.dorm("restart", "--gate")
    beside.type("select 2;\n")
    assert beside.line() == "2"  # in the gate that it has always been in
    beside.type("\\! psql -Atc 'select 3'\n")
    assert beside.line() == "3"  # and in the new one
    assert beside.end()[0] == 0


@pytest.mark.parametrize("place,how", [(place, how) for how in ("kill", "fail") for place in (
    "tool.group", "tool.netns", "tool.listening", "tool.launch", "tool.killed")][:-1])
def test_a_half_made_one_leaves_nothing(new_hub, place, how):
    hub = new_hub(inject=f"{place}={how}")
    hub.start()
    hub.add("bob")
    beside = Started(hub, "bob", "echo x")
    if place == "tool.killed":
        hub.wait_end()
    elif place != "tool.group":
        assert beside.end()[0] != 0
        hub.kill()
    elif how == "kill":
        hub.wait_end()
    else:
        assert beside.end()[0] != 0
        hub.kill()
    hub.inject = None
    hub.start()
    beside.end()
    wait_until(lambda: not tools(hub), "its group is gone")
    assert run(hub, "bob", "echo", "x").stdout == "x\n"


# ---- whose it is ----


def test_an_os_user_runs_beside_their_own_server_only(hub):
    uid = pwd.getpwnam("games").pw_uid
    hub.add("games")
    hub.add("bob")
    assert run(hub, "games", "id", "-un", uid=uid).stdout == "games\n"
    assert run(hub, "games", "psql", "-Atc", "select current_user", uid=uid).stdout == "games\n"
    for name in ("bob", "demo"):
        done = run(hub, name, "true", uid=uid)
        assert done.returncode == 77 and not done.stdout
    assert run(hub, "bob", "true", uid=65534).returncode == 77
    # nor may they come back to what somebody else has started
    beside = Started(hub, "bob", "echo here; read x")
    assert beside.line() == "here"
    tool, = tools(hub)
    for name in ("games", "bob"):
        words = ["server rejoin", "name", name, "tool", tool]
        done = subprocess.run(
            ["/usr/bin/python3", "-c", f"import sys; sys.path.insert(0, {str(HERE.parent)!r})\n"
             f"from hub import Call\nCall({hub.run_dir + '/control'!r}, {words!r}).answer()"],
            user=uid, group=uid, extra_groups=[], capture_output=True, text=True)
        assert "it has ended" in done.stderr or "only root" in done.stderr or "PermissionError" in done.stderr \
            or "ModuleNotFoundError" in done.stderr, done.stderr
    beside.end()


# ---- a shell ----


class Shell:
    """`dorm server shell` on a terminal of this test's, as an administrator sits at one."""

    def __init__(self, hub, name, rows=33, columns=111):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execve(str(hub.lib / "dorm"), ["dorm", "server", "shell", name], hub.env(TERM="xterm-256color"))
        self.seen = b""

    def expect(self, text, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while text.encode() not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come: {self.seen!r}"
            if select.select([self.fd], [], [], left)[0]:
                try:
                    self.seen += os.read(self.fd, 4096)
                except OSError:
                    raise AssertionError(f"ended before {text!r}: {self.seen!r}") from None
        before, _, self.seen = self.seen.partition(text.encode())
        return before.decode(errors="replace")

    def type(self, text):
        os.write(self.fd, text.encode())

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self):
        with contextlib.suppress(OSError):
            while os.read(self.fd, 4096):
                pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status


def test_a_shell_is_a_shell(shared_hub, alice):
    shell = Shell(shared_hub, "lo-alice")
    shell.expect("lo-alice@lo-alice:~$ ")
    shell.type("stty size; echo $TERM; psql -Atc 'select 6 * 7'\n")
    shell.expect("33 111")
    shell.expect("xterm-256color")
    shell.expect("42")
    shell.resize(50, 90)
    shell.type("stty size\n")
    shell.expect("50 90")
    shell.type("sleep 1000; echo status $((100 + $?))\n")
    shell.expect("status")  # the echo of what was typed
    wait_until(lambda: any("sleep" in name for _, name, _ in processes_of(
        (int(shared_hub.show("lo-alice")["host uid"]),) * 2)), "sleep runs")
    shell.type("\x03")
    shell.expect("$ ")
    shell.type("echo a | cat; fg; jobs; exit 9\n")
    assert shell.end() == 9
    assert not tools(shared_hub)


@pytest.mark.skipif(not os.path.exists("/usr/bin/tmux"), reason="no tmux here")
def test_programs_that_make_terminals_can(shared_hub, alice):
    shell = Shell(shared_hub, "lo-alice")
    shell.expect("$ ")
    shell.type("script -qc tty /dev/null\n")
    shell.expect("/dev/pts/0")
    shell.expect("$ ")
    shell.type("tmux -V && tmux new-session 'echo in t\"\"mux; tty; sleep 1000'\n")
    shell.expect("in tmux", seconds=10)
    shell.expect("/dev/pts/", seconds=10)
    shell.type("\x02d")  # detach
    shell.expect("detached")
    shell.type("exit 4\n")
    assert shell.end() == 4
    assert not tools(shared_hub)


def test_a_shell_wants_a_terminal(shared_hub, alice):
    done = shared_hub.dorm("server", "shell", "lo-alice", check=False)
    assert done.returncode == 64 and "dorm server run lo-alice" in done.stderr


def test_a_hostile_shell_gets_no_hold_of_the_terminal_it_is_seen_on(shared_hub, alice):
    """G2-17: no key reaches the administrator's terminal, and nothing of it is in the pod."""
    shell = Shell(shared_hub, "lo-alice")
    mine = os.fstat(shell.fd)
    number, = struct.unpack("I", fcntl.ioctl(shell.fd, TIOCGPTN, b"\0\0\0\0"))
    slave = os.stat(f"/dev/pts/{number}")
    shell.expect("$ ")
    attack = (
        "import fcntl, os, termios\n"
        "for fd in range(256):\n"
        "    try: st = os.fstat(fd)\n"
        "    except OSError: continue\n"
        "    print('FD', fd, st.st_rdev)\n"
        "    for request in (0x5412, 0x541C, 0x5412 | 1 << 32, 0x541C | 1 << 32):\n"
        "        for byte in b'evil':\n"
        "            try: fcntl.ioctl(fd, request & 0xffffffff, bytes([byte])); print('STUF' + 'FED', fd)\n"
        "            except OSError: pass\n"
        "    try: fcntl.ioctl(fd, termios.TIOCSCTTY, 1)\n"
        "    except OSError: pass\n"
        "print('ATTACK', 'OVER')\n")
    shell.type("stty -echo; cat > /tmp/a.py << 'END'\n" + attack + "END\n/usr/bin/python3 /tmp/a.py; stty echo\n")
    said = shell.expect("ATTACK OVER")
    assert "STUFFED" not in said
    devices = {int(line.split()[2]) for line in said.splitlines() if line.startswith("FD ")}
    assert devices and slave.st_rdev not in devices and mine.st_rdev not in devices
    # background processes that hold its own terminal do not hold up the end
    shell.type("trap '' HUP; (trap '' HUP TERM; exec sleep 1000 < /dev/tty > /dev/tty) & exit 3\n")
    assert shell.end() == 3
    assert not tools(shared_hub)


def test_our_terminal_is_as_it_was(shared_hub, alice):
    """Also when the shell ends by a kill of everything in it; answers of the terminal are dropped."""
    shell = Shell(shared_hub, "lo-alice")
    before = termios.tcgetattr(shell.fd)
    shell.expect("$ ")
    assert termios.tcgetattr(shell.fd) != before
    shell.type("kill -9 $$\n")
    assert shell.end() == 137
