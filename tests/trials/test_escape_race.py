"""
G2-08 and G2-20. A user's program changes what root is about to touch, thousands of times a second,
while servers are started, stopped, snapped and reset around it. DORM_TRIAL_ROUNDS (300) starts.

Every start is one of dormd's own, by its whole path: a connection, the lock, the mounts, bubblewrap,
PostgreSQL; only the racer's disk is shared with a second pod, which is what lets it run meanwhile.
"""

import contextlib
import os
import random
import re
import subprocess
import time

import psycopg
import pytest

from hub import BUILD, wait_until
from test_escape import Attacker
from test_escape_litter import state_of_the_host

ROUNDS = int(os.environ.get("DORM_TRIAL_ROUNDS", "300"))
SEED = int(os.environ.get("DORM_TRIAL_SEED", str(os.getpid())))

CONF = """
storage: {{standard: {{}}, files: {{driver: directory, path: {dir}/files}}}}
server:
  claim: {{class: {first}, capacity: 256Mi}}
  snapshots: {{every: never}}
  extraClaims:
    - {{name: "lab", class: standard, capacity: 64Mi, mount: /lab, accessModes: [ReadWriteMany]}}
"""

# What the owner of a stopped server has left in place of a thing that its next start looks for. Run
# by /bin/sh in the directory of the volume; {x} is the thing.
SWAPS = [
    "mv {x} away && ln -s /etc {x}", "mv {x} away && ln -s / {x}", "mv {x} away && ln -s /proc/1/root {x}",
    "mv {x} away && mkfifo {x}", "mv {x} away && mkdir {x}", "mv {x} away && ln -s {secret} {x}",
    "mv {x} away && ln -s away {x}", "mv {x} away && : > {x}", "mv {x} away && ln -s ../../../../../../etc/passwd {x}",
    "mv {x} away && ln -s {x} {x}",
]
THINGS = ["data", "data/PG_VERSION", "data/global", "data/global/pg_control", "data/postmaster.pid", "data/base",
          "data/pg_wal", "data/postgresql.auto.conf", "data/pg_tblspc"]


@pytest.mark.trial("G2-08")
@pytest.mark.parametrize("first", ["standard", "files"])
def test_race(new_hub, trial, first):
    hub = new_hub(pool="2Gi", uids=2000)
    hub.write_conf(CONF.format(dir=hub.dir, first=first))
    hub.start()
    chance = random.Random(SEED)
    print(f"DORM_TRIAL_SEED={SEED}")
    victim = Attacker(hub, "victim")
    victim.c.execute("create table precious as select 42 as n")
    alice, racer = Attacker(hub, "alice"), Attacker(hub, "racer")
    racer.sh("mkdir -p /lab/a /lab/b /lab/home; chmod -R 777 /lab; true")
    secret = hub.state / "record.db"
    host = state_of_the_host()
    before = victim_files(hub, victim)
    racer.sh("setsid /tmp/kit race /lab 100000 a b home > /tmp/race.lab 2>&1 < /dev/null &")
    racer.sh("setsid /tmp/kit race /run/postgresql 100000 .s.PGSQL.5432 > /dev/null 2>&1 < /dev/null &")
    racer.sh("mkdir -p /var/lib/postgresql/x; setsid /tmp/kit race /var/lib/postgresql 100000 x > /dev/null 2>&1 < /dev/null &")
    started, refused, waited, end = 0, 0, [], time.monotonic() + 230
    for n in range(ROUNDS // 2):
        if time.monotonic() > end and "DORM_TRIAL_ROUNDS" not in os.environ:
            break
        hub.dorm("server", "stop", "alice", check=False)
        began = time.monotonic()
        if n % 5 == 4:
            started += 1
            refused += swapped_start(hub, alice, chance, secret)
        else:
            get_in(hub, alice)
            started += 1
        waited.append(time.monotonic() - began)
        if n % 25 == 24:  # root's walks over the racer's own tree, while it changes
            hub.dorm("snapshot", "create", "racer", "--label", f"n{n}", check=False)
            hub.dorm("snapshot", "delete", "racer", f"n{n}", "--yes", check=False)
        if n % 10 == 9:  # by a socket that is a link now and then
            with contextlib.suppress(psycopg.Error, OSError):
                hub.connect("racer", racer.password, connect_timeout=2).close()
    waited.sort()
    rounds = racer.begin("race", "/tmp", "0", "none", until="rounds")
    assert rounds
    changed = sum(host[p] != now for p, now in state_of_the_host().items())
    trial.figure(started, f"starts while a racer ran, {refused} of them refused with words")
    trial.figure(changed, "files outside changed")
    trial.figure(waited[-1], "s, the longest start")
    assert changed == 0
    assert victim_files(hub, victim) == before
    assert victim.c.execute("select n from precious").fetchone() == (42,)
    hub.dorm("server", "stop", "racer")
    # in its own disks a user may have left what they like; the next start finds or explains it
    outcome(hub, racer)


def victim_files(hub, victim):
    return victim.c.execute("select count(*), (select n from precious) from pg_ls_dir('.')").fetchone()


def get_in(hub, who):
    """Other tests copy the mounts of this machine now and then: a volume is then in use for a while."""
    def connected():
        try:
            hub.connect(who.login, who.password).close()
            return True
        except psycopg.OperationalError as refusal:
            assert "attached elsewhere" in str(refusal), refusal
            return False

    wait_until(connected, f"{who.login} gets in", seconds=30)


def outcome(hub, who):
    try:
        with hub.connect(who.login, who.password, connect_timeout=60) as c:
            assert c.execute("select current_user").fetchone() == (who.login,)
        return 0
    except psycopg.Error as refusal:
        assert str(refusal).strip(), "a refusal says why"
        return 1


def swapped_start(hub, alice, chance, secret):
    """A start that finds something else than it left; 1 when it was refused. Then all is as it was."""
    thing, swap = chance.choice(THINGS), chance.choice(SWAPS)
    with hub.connect("alice", alice.password) as c:
        script = swap.format(x=f"/var/lib/postgresql/{thing}", secret=secret).replace(" away", " /var/lib/postgresql/away")
        # under the running server: it has its directory open, and stops as well as it can
        with contextlib.suppress(psycopg.Error):
            c.execute(f"copy (select 1) to program 'cat > /dev/null; {script}'")
    hub.dorm("server", "stop", "alice", check=False)
    refused = outcome(hub, alice)
    hub.dorm("server", "stop", "alice", check=False)
    hub.dorm("server", "reset", "alice", "--yes", check=False)
    get_in(hub, alice)
    return refused


@pytest.mark.trial("G2-08")
def test_race_of_what_root_does_before_a_start(tmp_path, trial):
    """The same functions of dormd's without the start around them, so that 20,000 of them take seconds."""
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o711)
    began = time.monotonic()
    done = subprocess.run([BUILD / "tests/kit/root-race", "400000", "4999999"], cwd=tmp_path, capture_output=True, text=True)
    inside, refused, astray = (int(n) for n in re.findall(r"(\d+) (?:in|refused|astray)", done.stdout))
    trial.figure(inside + refused, f"looks at a volume in {time.monotonic() - began:.1f} s, {refused} of them refused")
    trial.figure(astray, "led astray")
    assert done.returncode == 0, done.stdout
    assert refused > 0, "the racer was never in the way"


PLACES = ["pod.group", "pod.locked", "pod.attached", "pod.launch", "box.joined", "box.dropped"]


@pytest.mark.trial("G2-20")
def test_killed_while_it_starts(new_hub, trial):
    """What is mounted on the host is the same after a start that died at each of its places."""
    hub = new_hub()
    hub.start()
    password = hub.add("alice")
    hub.connect("alice", password).close()
    hub.dorm("server", "stop", "alice")
    left = 0

    def host_mounts():
        return sorted(line.split()[4] for line in open("/proc/self/mountinfo") if hub.run in line)

    before = host_mounts()
    for place in PLACES:
        hub.kill()
        hub.start(inject=f"{place}=kill")
        with contextlib.suppress(psycopg.Error):
            hub.connect("alice", password, connect_timeout=5).close()
        assert f"injected at {place}" in hub.log
        if hub.process.poll() is None:
            hub.kill()
        hub.start()
        hub.connect("alice", password).close()
        hub.dorm("server", "stop", "alice")
        left += host_mounts() != before
    trial.figure(left, f"of {len(PLACES)} places left something mounted")
    assert left == 0
