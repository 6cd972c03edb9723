"""
The escape kit (tests/kit), started as a user would start it, in every kind of pod: every row of it
is contained, also where plain bubblewrap, run as it commonly is, contains it not.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import pytest

from hub import BUILD, Hub, processes_of, wait_until

KIT = BUILD / "tests/kit/escape-kit"
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "kit" / "golden.txt"
LINE = re.compile(r"(?m)^(\S+) ([^:\n]+): (CONTAINED|ESCAPED|NOT TRIED) \((.*)\)$")
HELD = re.compile(r"held (\d+) objects, (\d+) bytes")
LEAKS = 200  # descriptors of the host that dormd is started with, and that no pod may get

DORMD = """#!/bin/bash
# dormd in a mount namespace where initdb runs the kit first, with descriptors that it does not know
if [ -z "$KIT_MOUNTED" ]; then
    KIT_MOUNTED=1 exec unshare -m --propagation private "$0" "$@"
fi
# the volumes of other hubs must not stay in use because they were copied along
awk '$5 ~ "^/(run/dormouse|tmp/dorm-)" {{print $5}}' /proc/self/mountinfo | sort -r | xargs -r umount -l
mount --bind {bin} {installed} || exit 1
for fd in {{20..{last}}}; do eval "exec $fd</etc"; done
exec {dormd} "$@"
"""
INITDB = """#!/bin/sh
{installed}/escape-kit > /var/lib/postgresql/kit.builder 2>&1
{installed}/escape-kit inventory > /var/lib/postgresql/kit.inventory 2>&1
exec {installed}/initdb.real "$@"
"""


class Rows(dict):
    """What the kit said: (row, name) -> (verdict, details)."""

    def __init__(self, text):
        super().__init__({(row, name): (verdict, details) for row, name, verdict, details in LINE.findall(text)})
        assert len(self) > 100, text

    def of(self, verdict):
        return {f"{row} {name}": details for (row, name), (found, details) in self.items() if found == verdict}


class Attacker:
    """A user with the kit in their pod, put there and started by SQL."""

    def __init__(self, hub, login):
        self.hub, self.login, self.n = hub, login, 0
        self.password = hub.add(login)
        self.enter()

    def enter(self):
        self.c = self.hub.connect(self.login, self.password)
        oid, = self.c.execute("select lo_from_bytea(0, %s)", [KIT.read_bytes()]).fetchone()
        self.c.execute("select lo_export(%s, '/tmp/kit'), lo_unlink(%s)", [oid, oid])
        self.sh("chmod +x /tmp/kit")
        return self

    def sleep(self):
        self.hub.dorm("server", "stop", self.login)
        self.c.close()

    def uid(self):
        return int(self.hub.show(self.login)["host uid"])

    def pids(self):
        return [pid for pid, _, _ in processes_of((self.uid(),) * 2)]

    def sh(self, script):
        quoted = f"cat > /dev/null; {script}".replace("'", "''")
        self.c.execute(f"copy (select where false) to program '{quoted}'")

    def read(self, path):
        content, = self.c.execute("select pg_read_binary_file(%s, 0, 8000000, true)", [path]).fetchone()
        return bytes(content or b"").decode(errors="replace")

    def run(self, *words):
        self.n += 1
        said = f"/tmp/said.{self.n}"
        self.sh(f"/tmp/kit {' '.join(words)} > {said} 2>&1; true")
        return self.read(said)

    def begin(self, *words, until):
        """In the background; returns what it had said when `until` was in it."""
        self.n += 1
        said = f"/tmp/said.{self.n}"
        self.sh(f"setsid /tmp/kit {' '.join(words)} > {said} 2>&1 < /dev/null &")
        return wait_until(lambda: (text := self.read(said)) and re.search(until, text) and text,
                          f"{words} says {until}", seconds=30)


def contains_everything(text):
    rows = Rows(text)
    assert rows.of("ESCAPED") == {}
    return rows


def newest_postgres():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    return found[-1].parent


@pytest.fixture(scope="module")
def hub():
    """One whose template is built by a user of bad intent, and that was started with leaks."""
    hub = Hub(pool="1Gi")
    hub.start_dormd = hub.lib / "dormd"
    installed, bin_ = newest_postgres(), hub.dir / "bin"
    shutil.copytree(installed, bin_)
    (bin_ / "initdb").rename(bin_ / "initdb.real")
    shutil.copy(KIT, bin_ / "escape-kit")
    (bin_ / "initdb").write_text(INITDB.format(installed=installed))
    (bin_ / "initdb").chmod(0o755)
    bin_.chmod(0o755)
    (hub.lib / "dormd").unlink()
    (hub.lib / "dormd").write_text(DORMD.format(
        bin=bin_, installed=installed, dormd=BUILD / "src/dormd/dormd", last=19 + LEAKS))
    (hub.lib / "dormd").chmod(0o755)
    try:
        hub.start()
        yield hub
    finally:
        hub.purge()


@pytest.fixture(scope="module")
def bob(hub):
    """The neighbour, with one of everything that can be listened to or shared."""
    bob = Attacker(hub, "bob")
    bob.begin("target", until="ready")
    return bob


@pytest.fixture(scope="module")
def alice(hub):
    return Attacker(hub, "alice")


@pytest.fixture(scope="module")
def options(hub, bob):
    return ["--others", ",".join(str(p) for p in bob.pids()), "--secret", str(hub.state / "record.db")]


def test_dormd_has_the_leaks_that_no_pod_may_get(hub):
    pid = hub.process.pid
    leaks = [os.readlink(f"/proc/{pid}/fd/{n}") for n in range(20, 20 + LEAKS)]
    assert leaks == ["/etc"] * LEAKS


def test_a_pod_at_its_first_start_contains_everything(alice, options):
    rows = contains_everything(alice.run(*options))
    assert rows.of("NOT TRIED") == {}


def test_a_pod_after_sleep_and_wake_contains_everything(alice, options):
    alice.sleep()
    alice.enter()
    contains_everything(alice.run(*options))


def test_the_pod_of_the_template_builder_contains_everything(alice):
    contains_everything(alice.read("/var/lib/postgresql/kit.builder"))


@pytest.mark.parametrize("state", ["awake", "asleep"])
def test_a_pod_beside_the_server_contains_everything(hub, alice, options, state):
    """`dorm server run`: the kit comes as its input."""
    if state == "asleep":
        alice.sleep()
    done = subprocess.run(
        [hub.lib / "dorm", "server", "run", "alice", "--", "sh", "-c",
         f"cat > /tmp/kit; chmod +x /tmp/kit; /tmp/kit {' '.join(options)}"],
        env=hub.env(), input=KIT.read_bytes(), capture_output=True, timeout=120)
    if state == "asleep":
        alice.enter()
    contains_everything(done.stdout.decode(errors="replace") or done.stderr.decode())


def golden(text):
    """The kit's inventory without what depends on the machine: its libraries, and what its /proc has."""
    machine = re.compile(r"^(/ lib|mount /lib|mount /etc/|/etc |mount /proc/|mount /usr/)")
    return [line for line in text.splitlines() if not machine.match(line)]


def numbers(line):
    """Of "calls 3 of 470: 0-1 7": {0, 1, 7}."""
    spans = [word.split("-") for word in line.split(":")[1].split()]
    return {n for span in spans for n in range(int(span[0]), int(span[-1]) + 1)}


def test_the_inventory_is_the_golden_one(alice):
    """DORM_WRITE_GOLDEN=1 makes it so; what is new in it then has to be defended in the commit."""
    found, calls = golden(alice.run("inventory")), alice.run("calls").strip()
    if os.environ.get("DORM_WRITE_GOLDEN"):
        GOLDEN.write_text("\n".join(found + [calls]) + "\n")
    *want, want_calls = GOLDEN.read_text().splitlines()
    assert found == want, "\n".join(found)
    # an older kernel, or an older libseccomp, has fewer
    assert numbers(calls) <= numbers(want_calls), sorted(numbers(calls) - numbers(want_calls))


def test_the_template_builder_is_nobody_else(alice):
    same = re.compile(r"^(status|securebits|rlimit|/dev|keyring) ")
    found = [line for line in alice.read("/var/lib/postgresql/kit.inventory").splitlines() if same.match(line)]
    assert found == [line for line in GOLDEN.read_text().splitlines() if same.match(line)]


def test_a_pod_shares_no_namespace_with_the_host_or_another_pod(alice, bob):
    kinds = ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup")
    of = {}
    for who, pids in {"host": [os.getpid()], "alice": alice.pids(), "bob": bob.pids()}.items():
        # the monitor of a pod stands outside of it, in the host's own namespaces but one
        for pid in pids:
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                if who == "host" or words[0].endswith("postgres"):
                    of.setdefault(who, {k: os.readlink(f"/proc/{pid}/ns/{k}") for k in kinds})
    for kind in kinds:
        assert len({of[who][kind] for who in of}) == 3, (kind, of)


def test_programs_of_the_host_are_what_they_were(alice, options):
    """/usr/bin/bwrap and the like, after the kit has tried to write to them through every door."""
    before = subprocess.run(["md5sum", "/usr/bin/bwrap", "/bin/sh", newest_postgres() / "postgres"], capture_output=True)
    alice.run(*options)
    after = subprocess.run(["md5sum", "/usr/bin/bwrap", "/bin/sh", newest_postgres() / "postgres"], capture_output=True)
    assert before.stdout == after.stdout


def cached(path):
    return int(subprocess.run(["fincore", "-nb", "-o", "PAGES", path], capture_output=True, text=True).stdout or 0)


def test_nobody_empties_the_page_cache_for_others(alice):
    """dd with nocache advises the kernel to forget a file of the host's that all pods share."""
    path = "/usr/bin/su"
    pathlib.Path(path).read_bytes()
    before = cached(path)
    alice.sh(f"dd if={path} iflag=nocache count=0 2> /tmp/dd; test -s /tmp/dd")
    assert 0 < before <= cached(path)


def test_buffers_of_the_network_have_a_limit(hub):
    """Control groups of version 1 count them for nobody unless told to; version 2 always does."""
    group = pathlib.Path(f"/sys/fs/cgroup/memory/dormouse-{hub.id}/{hub.server_id('alice')}")
    if not group.is_dir():
        pytest.skip("control groups of version 2 count them as memory")
    memory = int((group / "memory.limit_in_bytes").read_text())
    assert int((group / "memory.kmem.tcp.limit_in_bytes").read_text()) == max(memory // 16, 16 << 20)


def test_nothing_leaves_the_pod(alice):
    """Its network namespace has a loopback and nothing else, seen from outside."""
    pid = next(p for p in alice.pids() if "postgres" in pathlib.Path(f"/proc/{p}/comm").read_text())
    lines = pathlib.Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in lines] == ["lo"]


def test_a_server_whose_owner_has_shouted_at_dormd_stops_like_any_other(hub, alice):
    """G2-16: what nobody reads must not be waited for."""
    alice.run("noise", "notify", "0.3")
    began = time.monotonic()
    alice.sleep()
    assert time.monotonic() - began < 5
    alice.enter()


KINDS = ["processes", "inotify", "keys", "pipes", "signals", "queues", "locked", "sockets"]  # timers count as signals


def test_what_a_user_exhausts_is_not_missing_for_another(hub, alice, bob):
    """G2-11. Limits that the kernel keeps per uid: each is used up by alice when bob wakes."""
    held = {}
    for kind in KINDS[1:] + KINDS[:1]:  # processes last: without them nothing can be started
        n, _ = HELD.search(alice.begin("hold", kind, until="held")).groups()
        held[kind] = int(n)
    print("G2-11 held by one user:", held)
    assert held["keys"] == held["inotify"] == 0  # cannot be had at all
    assert all(held[k] > 0 for k in KINDS if k not in ("keys", "inotify")), held
    bob.sleep()
    bob.enter()
    assert "held" in bob.begin("hold", "signals", until="held")
    bob.begin("target", until="ready")
    alice.sleep()  # without a process to spare, too
    alice.enter()


def plain_bubblewrap(uid, words):
    """As people commonly write it: everything of the host, to be read only."""
    with tempfile.TemporaryDirectory(prefix="dorm-kit-") as folder:
        shutil.copy(KIT, folder)
        os.chmod(folder, 0o755)
        done = subprocess.run(
            ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
             "--ro-bind", f"{folder}/escape-kit", "/tmp/kit", "--chdir", "/tmp", "/tmp/kit", *words],
            user=uid, group=uid, extra_groups=[], capture_output=True, text=True, timeout=120,
            env={"PATH": "/usr/bin:/bin", "HOME": "/tmp"}, cwd="/")
    assert "contained" in done.stdout, done.stdout + done.stderr
    return Rows(done.stdout)


def compare(ours, theirs):
    """One line per row of the table of trials: how the pod stands against the other."""
    rank = {"ESCAPED": 0, "NOT TRIED": 1, "CONTAINED": 2}
    lines, total = {}, {"stricter": 0, "equal": 0, "weaker": 0}
    for key in sorted(ours):
        mine, other = rank[ours[key][0]], rank.get(theirs.get(key, ("NOT TRIED",))[0])
        verdict = "stricter" if mine > other else "weaker" if mine < other else "equal"
        total[verdict] += 1
        lines.setdefault(key[0], []).append((verdict, key[1], theirs.get(key, ("", ""))[1]))
    return lines, total


def print_table(ours, theirs):
    lines, total = compare(ours, theirs)
    print("\nrow    probes contained | bubblewrap: contained stricter equal weaker | where it does not contain")
    for row, probes in lines.items():
        verdicts = [v for v, _, _ in probes]
        mine = sum(ours[row, name][0] == "CONTAINED" for _, name, _ in probes)
        its = sum(theirs.get((row, name), ("",))[0] == "CONTAINED" for _, name, _ in probes)
        where = ", ".join(name for v, name, _ in probes if v == "stricter")
        print(f"{row:6} {len(probes):6} {mine:9} | {its:21} {verdicts.count('stricter'):8} {verdicts.count('equal'):5} "
              f"{verdicts.count('weaker'):6} | {where}")
    print(f"all    {len(ours):6} {len(ours.of('CONTAINED')):9} | {len(theirs.of('CONTAINED')):21} {total['stricter']:8} "
          f"{total['equal']:5} {total['weaker']:6} |")
    return total


def test_no_row_is_weaker_than_plain_bubblewrap(hub, alice, options):
    """G2-24: the same kit in a pod and in bubblewrap alone; prints the table of docs/pods.md."""
    ours = Rows(alice.run(*options))
    theirs = plain_bubblewrap(hub.uids[1], options)
    total = print_table(ours, theirs)
    assert total["weaker"] == 0
    assert total["stricter"] > 10
