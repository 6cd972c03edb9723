"""
G2-09. What a user leaves on disks for root to find, and root's walks over it afterwards: snapshot,
backup, reset, restore, move, removal. DORM_TRIAL_FILES (20000) files in one directory.
"""

import os
import pathlib
import re
import subprocess
import time

import pytest

from test_escape import Attacker

FILES = int(os.environ.get("DORM_TRIAL_FILES", "20000"))
DEPTH = 3000


def state_of_the_host():
    """What a walk that was led astray would have changed."""
    seen = {}
    for path in ("/etc/passwd", "/etc/shadow", "/etc", "/", "/root", "/tmp", "/usr/bin", "/usr", "/var/lib"):
        st = os.stat(path)
        seen[path] = (st.st_mode, st.st_uid, st.st_gid, st.st_ino)
        if path.startswith("/etc/"):
            seen[path] += (pathlib.Path(path).read_bytes(),)
    return seen


def purge(hub):
    """Again when a test that copies the mounts of this machine has just done so: the disk is then in use elsewhere."""
    for _ in range(3):
        done = hub.dorm("purge", "--yes", "it", check=False)
        hub.wait_end()
        if done.returncode == 0:
            return
        assert "elsewhere" in done.stderr, done.stderr
        hub.start()
    raise AssertionError(done.stderr)


@pytest.fixture
def new_deep_hub(new_hub):
    """Its directories are too deep for shutil to take away."""
    hubs = []
    yield lambda **options: hubs.append(new_hub(**options)) or hubs[-1]
    for hub in hubs:
        subprocess.run(["rm", "-rf", hub.dir / "files"], check=False)


# A copy goes 256 directories deep and refuses more, with words; what is removed may be of any depth.
@pytest.mark.trial("G2-09")
@pytest.mark.parametrize("depth", [200, 3000])
@pytest.mark.parametrize("driver", ["image", "directory"])
def test_litter(new_deep_hub, trial, driver, depth):
    hub = new_deep_hub(pool="2Gi")
    hub.write_conf(f"storage: {{standard: {{}}, files: {{driver: directory, path: {hub.dir}/files}}}}\n"
                   f"server: {{claim: {{class: {'standard' if driver == 'image' else 'files'}, capacity: 512Mi}},"
                   " snapshots: {every: never}}")
    hub.start()
    host = state_of_the_host()
    alice, bob = Attacker(hub, "alice"), Attacker(hub, "bob")
    for where in ("/var/lib/postgresql/litter", "/var/lib/postgresql/data/litter"):
        said = alice.run("litter", where, str(FILES), str(depth))
        names, kinds, deep, files = (int(n) for n in re.findall(r"\d+", said))
        assert names >= 10 and kinds >= 45 and deep == depth and files >= 1000
    (hub.dir / "backup").mkdir()

    def step(*words):
        began = time.monotonic()
        done = hub.dorm(*words, check=False)
        if done.returncode != 0 and depth > 256:
            assert "directories in each other" in done.stderr, done.stderr
        else:
            assert done.returncode == 0, f"{words}: {done.stderr}\n{hub.log}"
        trial.figure(time.monotonic() - began, f"s for {words[0]} {words[1]}{' (refused)' if done.returncode else ''}")

    if driver == "directory":  # whose volumes can be copied only while nobody uses them
        hub.dorm("server", "stop", "alice")
    step("snapshot", "create", "alice", "--label", "friday")
    if driver == "image":
        step("backup", "create", "alice", "--to", str(hub.dir / "backup"))
    step("server", "reset", "alice", "--yes")
    hub.connect("alice", alice.password).close()
    if depth < 256:
        step("snapshot", "restore", "alice", "friday", "--yes")
    if driver == "image":
        step("volume", "move", "postgres-alice", "--to", "files")
        step("volume", "move", "postgres-alice", "--to", "standard")
    hub.connect("alice", alice.password).close()
    step("user", "remove", "alice", "--yes")
    assert state_of_the_host() == host
    with hub.connect("bob", bob.password) as c:
        assert c.execute("select 1").fetchone() == (1,)
    began = time.monotonic()
    purge(hub)
    trial.figure(time.monotonic() - began, "s to remove all of it")
    left = sum(len(names) for _, _, names in os.walk(hub.dir / "files"))
    trial.figure(left, "files left")
    assert left == 0
    assert state_of_the_host() == host
