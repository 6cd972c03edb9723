"""Volumes as their users and operators meet them: growing, snapshots, undo, classes, static ones."""

import os
import pathlib
import re
import shutil
import subprocess
import threading

import psycopg
import pytest

from hub import wait_until

MIB = 1 << 20


def put(c, name, rows=100):
    c.execute(f"create table {name} as select generate_series(1, {rows}) as n")


def count(c, name):
    return c.execute(f"select count(*) from {name}").fetchone()[0]


def shell(c, script):
    """Run a script in the pod; what it printed."""
    quoted = script.replace("'", "''")
    c.execute("create temp table if not exists said (n serial, line text)")
    c.execute("truncate said")
    c.execute(f"copy said (line) from program '{{ {quoted}; }} 2>&1; true'")
    return [row[0] for row in c.execute("select line from said order by n").fetchall()]


def size_of(c, path):
    return int(shell(c, f"df --output=size -B1 {path} | tail -1")[0])


def volume(hub, name):
    return {row["field"]: row["value"] for row in hub.rows("volume", "show", name)}


def undo_number(done):
    return re.search(r"dorm undo (\d+)", done.stdout + done.stderr).group(1)


@pytest.fixture(scope="module")
def module_hub():
    from hub import Hub
    hub = Hub(pool="2Gi", conf="server: {claim: {capacity: 256Mi}}")
    hub.start()
    yield hub
    hub.purge()


@pytest.fixture
def user(module_hub, request):
    login = "u" + re.sub(r"[^a-z0-9]", "", request.node.name.removeprefix("test_"))[:20]
    return login, module_hub.add(login)


# ---- capacity


def test_a_volume_grows_by_command_and_its_data_stays(module_hub, user):
    name, password = user
    with module_hub.connect(name, password) as c:
        put(c, "t")
        before = size_of(c, "~")
    done = module_hub.dorm("volume", "resize", f"postgres-{name}", "384Mi")
    module_hub.dorm("server", "stop", name)
    with module_hub.connect(name, password) as c:
        assert count(c, "t") == 100
        assert size_of(c, "~") > before + 100 * MIB
    assert volume(module_hub, f"postgres-{name}")["capacity"] == "384Mi"
    module_hub.dorm("undo", undo_number(done))
    with module_hub.connect(name, password) as c:
        assert count(c, "t") == 100
        assert size_of(c, "~") == before


def test_a_sleeping_volume_grows_at_once(module_hub, user):
    name, password = user
    with module_hub.connect(name, password) as c:
        put(c, "t")
    module_hub.dorm("server", "stop", name)
    assert "now" in module_hub.dorm("volume", "resize", f"postgres-{name}", "300Mi").stdout
    with module_hub.connect(name, password) as c:
        assert size_of(c, "~") > 270 * MIB


@pytest.mark.parametrize("size, words", [
    ("128Mi", "never shrinks"), ("256Mi", "already"), ("1gi", "did you mean 1Gi"), ("9Ti", "more than all"),
    ("", "is not a size"), ("1.5Gi", "is not a size"),
])
def test_sizes_that_are_refused(module_hub, size, words):
    if not any(r["login"] == "sizes" for r in module_hub.rows("user", "list")):
        module_hub.add("sizes")
    done = module_hub.dorm("volume", "resize", "postgres-sizes", size, check=False)
    assert done.returncode != 0
    assert words in done.stderr


def test_the_hub_file_makes_volumes_grow_and_never_shrink(new_hub):
    hub = new_hub(conf="server: {claim: {capacity: 128Mi}}", pool="1Gi")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        put(c, "t")
        before = size_of(c, "~")
    hub.write_conf("server: {claim: {capacity: 192Mi}}")
    hub.dorm("reload")
    hub.dorm("server", "stop", "alice")
    with hub.connect("alice", password) as c:
        assert count(c, "t") == 100
        assert size_of(c, "~") > before + 50 * MIB
    hub.write_conf("server: {claim: {capacity: 128Mi}}")
    for _ in range(2):
        assert "never shrinks to 128Mi" in hub.dorm("reload", "--dry-run").stderr
    assert "never shrinks to 128Mi" in hub.dorm("reload").stderr
    assert "never shrinks" not in hub.dorm("reload").stderr, "nothing changed since: nothing to say"
    hub.write_conf("server: {claim: {capacity: 160Mi}}")
    assert "never shrinks to 160Mi" in hub.dorm("reload").stderr
    assert volume(hub, "postgres-alice")["capacity"] == "192Mi"


# ---- snapshots


def test_a_snapshot_of_a_running_server_is_restored_and_that_is_undone(module_hub, user):
    name, password = user
    with module_hub.connect(name, password) as c:
        put(c, "kept")
        said = module_hub.dorm("snapshot", "create", name, "--label", "friday").stdout
        assert re.search(r"taken in [\d.]+ ms \(\d+ extents\) while its server ran", said)
        c.execute("drop table kept")
        put(c, "later")
    done = module_hub.dorm("snapshot", "restore", name, "friday", "--yes")
    with module_hub.connect(name, password) as c:
        assert count(c, "kept") == 100
        assert c.execute("select to_regclass('later')").fetchone()[0] is None
    module_hub.dorm("undo", undo_number(done))
    with module_hub.connect(name, password) as c:
        assert count(c, "later") == 100
        assert c.execute("select to_regclass('kept')").fetchone()[0] is None
    again = module_hub.dorm("snapshot", "create", name, "--label", "friday", check=False)
    assert again.returncode != 0 and "already has" in again.stderr
    module_hub.dorm("snapshot", "delete", name, "friday", "--yes")
    wait_until(lambda: "friday" not in module_hub.dorm("snapshot", "list", name).stdout, "the snapshot is gone")


def test_a_session_hears_why_it_ends(module_hub, user):
    name, password = user
    with module_hub.connect(name, password) as c:
        put(c, "t")
        module_hub.dorm("snapshot", "create", name, "--label", "a")
        module_hub.dorm("snapshot", "restore", name, "a", "--yes")
        with pytest.raises(psycopg.OperationalError, match="your server is being restored"):
            c.execute("select 1")


def test_a_reset_gives_a_new_server_and_is_undone(module_hub, user):
    name, password = user
    with module_hub.connect(name, password) as c:
        put(c, "work")
    done = module_hub.dorm("server", "reset", name, "--yes")
    with module_hub.connect(name, password) as c:
        assert c.execute("select to_regclass('work')").fetchone()[0] is None
        assert c.execute("select current_user").fetchone()[0] == name
    module_hub.dorm("undo", undo_number(done))
    with module_hub.connect(name, password) as c:
        assert count(c, "work") == 100


@pytest.mark.parametrize("deed", ["reset", "restore", "delete"])
def test_who_comes_in_after_the_administrator_hears_the_line_that_undoes_it(module_hub, deed):
    name, password = f"after-{deed}", module_hub.add(f"after-{deed}")
    with module_hub.connect(name, password) as c:
        put(c, "kept")
        module_hub.dorm("snapshot", "create", name, "--label", "a")
        put(c, "work")
    words = {"reset": ["server", "reset", name], "restore": ["snapshot", "restore", name, "a"],
             "delete": ["volume", "delete", f"postgres-{name}"]}[deed]
    number = undo_number(module_hub.dorm(*words, "--yes"))
    heard = greeting(module_hub, name, password)
    assert re.search(rf"NOTICE: .* by the administrator; undo, until [-\d]+ [:\d]+ UTC: dorm undo {number}\n", heard), heard
    assert "NOTICE" not in greeting(module_hub, name, password), "once"
    module_hub.dorm("undo", number)
    with module_hub.connect(name, password) as c:
        assert count(c, "work") == 100


def greeting(hub, name, password):
    """What psql says before anything is asked."""
    done = subprocess.run(["psql", hub.conninfo(name, password), "-XAtc", "select 42"],
                          capture_output=True, text=True, timeout=60)
    assert done.stdout == "42\n", done.stderr
    return done.stderr


def test_psql_of_a_server_beside_is_its_owners(module_hub, user):
    name, password = user
    with module_hub.connect(name, password) as c:
        put(c, "kept")
        module_hub.dorm("snapshot", "create", name, "--label", "friday")
        put(c, "later")
    module_hub.dorm("snapshot", "restore", name, "friday", "--beside")
    beside = f"{name}-friday"
    question = ["-XAtwc", "select current_user, count(*), to_regclass('later') is null from kept"]
    for typed in (beside, f"{name}~{beside}"):
        assert module_hub.dorm("server", "psql", typed, *question).stdout == f"{name}|100|t\n"
    assert module_hub.dorm("server", "psql", name, *question).stdout == f"{name}|100|f\n"
    assert "nobody-friday" in module_hub.dorm("server", "psql", "nobody-friday", check=False).stderr
    module_hub.dorm("server", "remove", beside, "--yes")


def test_a_reset_of_a_new_server_says_so(module_hub, user):
    done = module_hub.dorm("server", "reset", user[0], "--yes", check=False)
    assert done.returncode != 0 and "is new" in done.stderr


def test_snapshots_by_time_are_taken_at_sleep_and_the_oldest_goes(new_hub):
    hub = new_hub(conf="server: {claim: {capacity: 128Mi}, snapshots: {every: 1s, keep: 2}}", pool="1Gi")
    hub.start()
    password = hub.add("alice")

    def taken():
        return [r["id"] for r in hub.rows("snapshot", "list", "alice") if r["why"] == "by time"]

    seen = []
    for i in range(4):
        with hub.connect("alice", password) as c:
            put(c, f"t{i}")
            wait_until(lambda: c.execute("select clock_timestamp() > pg_postmaster_start_time() + interval '1.1 s'"
                                         ).fetchone()[0], "a second has passed")
        hub.dorm("server", "stop", "alice")
        wait_until(lambda: set(taken()) - set(seen), "a snapshot was taken")
        seen += [s for s in taken() if s not in seen]
    wait_until(lambda: len(taken()) == 2, "only two are kept")
    assert set(taken()) == set(seen[-2:])
    with hub.connect("alice", password) as c:
        assert count(c, "t3") == 100
        wait_until(lambda: c.execute("select clock_timestamp() > pg_postmaster_start_time() + interval '1.1 s'"
                                     ).fetchone()[0], "a second has passed")
    hub.dorm("server", "stop", "alice")
    wait_until(lambda: set(taken()) == set(seen[-2:]), "nothing was written: nothing was taken")
    hub.dorm("snapshot", "restore", "alice", seen[-2], "--yes")
    with hub.connect("alice", password) as c:
        assert count(c, "t2") == 100
        assert c.execute("select to_regclass('t3')").fetchone()[0] is None


def test_an_os_user_has_power_over_their_own_alone(module_hub):
    """nobody is an OS user without a user in the hub: they see and do nothing."""
    module_hub.add("victim")
    for words in (["snapshot", "create", "victim"], ["server", "reset", "victim", "--yes"],
                  ["volume", "resize", "postgres-victim", "1Gi"], ["volume", "restore", "postgres-victim", "x", "--yes"]):
        assert module_hub.dorm(*words, check=False, uid=65534).returncode == 77, words


# ---- extra disks, ephemeral


EXTRA = """
storage: {standard: {}, fast: {pool: POOL}}
server:
  claim: {capacity: 128Mi}
  extraClaims:
    - {name: "scratch-{username}", class: fast, capacity: 64Mi, mount: /scratch}
    - {name: "shared-{hub}", capacity: 64Mi, mount: /shared, accessModes: [ReadWriteMany]}
"""


def test_extra_disks_are_made_kept_deleted_and_brought_back(new_hub):
    hub = new_hub(pool="640Mi")
    hub.write_conf(EXTRA.replace("POOL", str(hub.dir / "fast")))
    hub.start()
    alice, bob = hub.add("alice"), hub.add("bob")
    with hub.connect("alice", alice) as a, hub.connect("bob", bob) as b:
        assert shell(a, "echo mine > /scratch/x; cat /scratch/x") == ["mine"]
        assert shell(b, "ls /scratch") == []
        assert 40 * MIB < size_of(a, "/scratch") <= 64 * MIB
        assert "No space left" in " ".join(shell(a, "head -c 100M /dev/zero > /scratch/big"))
        assert shell(a, "echo hello > /shared/x; rm /scratch/big") == []
        assert shell(b, "cat /shared/x") == ["hello"]
    names = {r["name"]: r for r in hub.rows("volume", "list")}
    assert names["scratch-alice"]["class"] == "fast" and names["shared-it"]["access"] == "RWX"
    assert {r["name"] for r in hub.rows("volume", "list", "-l", "component=extra-pvc")} == {
        "scratch-alice", "scratch-bob", "shared-it"}
    hub.dorm("server", "stop", "alice")
    with hub.connect("alice", alice) as a:
        assert shell(a, "cat /scratch/x /shared/x") == ["mine", "hello"]
        done = hub.dorm("volume", "delete", "scratch-alice", "--yes")
        assert shell(a, "cat /scratch/x") == ["mine"], "deferred while a pod uses it"
    hub.dorm("undo", undo_number(done))
    hub.dorm("server", "stop", "alice")
    with hub.connect("alice", alice) as a:
        assert shell(a, "cat /scratch/x") == ["mine"]
    hub.dorm("volume", "delete", "-l", "component=extra-pvc", "--yes")
    hub.dorm("server", "stop", "alice")
    with hub.connect("alice", alice) as a:
        assert shell(a, "ls /scratch") == []


def test_ephemeral_servers_say_so_and_forget(new_hub):
    hub = new_hub(conf="server: {claim: {capacity: 128Mi}, lifecycle: ephemeral}")
    hub.start()
    password = hub.add("alice")
    notices = []
    for _ in range(2):
        done = subprocess.run(
            ["psql", hub.conninfo("alice", password), "-Atc", "create table t(); select current_user"],
            capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines()[-1] == "alice", done.stderr
        notices.append(done.stderr)
        hub.dorm("server", "stop", "alice")
    assert all("ephemeral" in n for n in notices)


# ---- classes


def test_a_class_is_fixed_and_a_volume_moves_and_moves_back(new_hub):
    hub = new_hub()
    hub.write_conf(f"storage: {{standard: {{}}, other: {{pool: {hub.dir}/other}}}}\nserver: {{claim: {{capacity: 128Mi}}}}")
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        put(c, "t")
    hub.write_conf(hub.conf.replace("capacity: 128Mi", "capacity: 128Mi, class: other"))
    assert "fixed" in hub.dorm("reload").stderr
    assert "fixed" not in hub.dorm("reload").stderr
    done = hub.dorm("volume", "move", "postgres-alice", "--to", "other")
    assert volume(hub, "postgres-alice")["class"] == "other"
    with hub.connect("alice", password) as c:
        assert count(c, "t") == 100
    images = hub.dir / "other"
    assert wait_until(lambda: not list((hub.state / "pool" / "images").glob(f"{volume(hub, 'postgres-alice')['id']}*")),
                      "the old copy is gone")
    assert images.exists()
    hub.dorm("undo", undo_number(done))
    with hub.connect("alice", password) as c:
        assert count(c, "t") == 100
    assert volume(hub, "postgres-alice")["class"] == "standard"
    refused = hub.dorm("volume", "move", "postgres-alice", "--to", "nowhere", check=False)
    assert refused.returncode != 0 and "no class" in refused.stderr


def test_a_move_goes_on_after_kill_9(new_hub):
    hub = new_hub()
    hub.write_conf(f"storage: {{standard: {{}}, other: {{pool: {hub.dir}/other}}}}\nserver: {{claim: {{capacity: 128Mi}}}}")
    hub.start(inject="chore.moving=stop")
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        put(c, "t")
    moving = subprocess.Popen([hub.lib / "dorm", "volume", "move", "postgres-alice", "--to", "other"],
                              env=hub.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: volume(hub, "postgres-alice").get("moving to") == "other", "it is on its way")
    hub.kill()
    moving.communicate(timeout=30)
    hub.start()
    wait_until(lambda: volume(hub, "postgres-alice")["class"] == "other", "the next dormd finished it")
    with hub.connect("alice", password) as c:
        assert count(c, "t") == 100


def test_a_directory_class_holds_a_server(new_hub):
    hub = new_hub()
    hub.write_conf(f"storage: {{homes: {{driver: directory, path: {hub.dir}/homes}}}}")
    hub.start()
    row = hub.rows("storage", "list")[0]
    assert row["driver"] == "directory" and row["capacity"] == "not enforced"
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        put(c, "t")
    done = hub.dorm("server", "reset", "alice", "--yes")
    with hub.connect("alice", password) as c:
        assert c.execute("select to_regclass('t')").fetchone()[0] is None
    hub.dorm("undo", undo_number(done))
    with hub.connect("alice", password) as c:
        assert count(c, "t") == 100


@pytest.fixture
def disk():
    """A file system of its own, as a disk that can be unplugged."""
    import tempfile
    top = pathlib.Path(tempfile.mkdtemp(prefix="dorm-disk-"))
    (top / "point").mkdir()
    with open(top / "image", "wb") as f:
        f.truncate(1024 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", top / "image"], check=True)
    subprocess.run(["mount", "-o", "loop", top / "image", top / "point"], check=True)
    yield top
    subprocess.run(["umount", top / "point"], check=False)
    shutil.rmtree(top)


def test_a_disk_that_is_away_is_said_and_nothing_is_made_in_its_place(disk, new_hub):
    hub = new_hub(pool="512Mi", conf=(
        f"storage: {{standard: {{}}, usb: {{pool: {disk}/point/pool}}}}\nserver: {{claim: {{capacity: 128Mi}}}}"))
    hub.start()
    alice, bob = hub.add("alice"), hub.add("bob")
    for name, password in (("alice", alice), ("bob", bob)):
        with hub.connect(name, password) as c:
            put(c, "t")
    hub.dorm("volume", "move", "postgres-bob", "--to", "usb")
    hub.dorm("down")
    hub.wait_end()
    subprocess.run(["umount", disk / "point"], check=True)
    hub.start()
    assert f"disk {disk}/point/pool is not there" in hub.dorm("status").stdout
    with hub.connect("alice", alice) as c:
        assert count(c, "t") == 100
    with pytest.raises(psycopg.OperationalError, match="is not there"):
        hub.connect("bob", bob)
    assert not os.listdir(disk / "point")
    hub.dorm("down")
    hub.wait_end()
    subprocess.run(["mount", "-o", "loop", disk / "image", disk / "point"], check=True)
    hub.start()
    with hub.connect("bob", bob) as c:
        assert count(c, "t") == 100


# ---- static volumes


@pytest.fixture
def srv():
    """A place for data where nobody else can write: below /tmp anybody could put a link in the way."""
    import tempfile
    top = pathlib.Path(tempfile.mkdtemp(prefix="dorm-it-", dir="/srv"))
    top.chmod(0o755)
    yield top
    shutil.rmtree(top)


def static(hub, path, capacity="1Gi", ref="postgres-alice", modes="ReadWriteOnce", claim='class: ""'):
    hub.write_conf(
        f"server: {{claim: {{{claim}, capacity: 512Mi}}}}\n"
        f"volumes: [{{name: pv-1, capacity: {capacity}, accessModes: [{modes}], hostPath: {path}, claimRef: {{name: {ref}}}}}]")


def test_a_static_volume_is_made_filled_and_kept(new_hub, srv):
    hub = new_hub()
    path = srv / "postgres"
    static(hub, path)
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password) as c:
        put(c, "t")
    assert path.stat().st_uid == int(hub.show("alice")["host uid"])
    assert volume(hub, "pv-1")["phase"] == "bound"
    hub.dorm("server", "stop", "alice")
    with hub.connect("alice", password) as c:
        assert count(c, "t") == 100
    refused = hub.dorm("user", "add", "bob", check=False)
    assert refused.returncode != 0 and "pv-1" in refused.stderr + refused.stdout or "no volume" in refused.stderr


@pytest.mark.parametrize("options, field", [
    ({"capacity": "256Mi"}, "capacity"), ({"modes": "ReadOnlyMany"}, "accessModes"),
])
def test_a_claim_that_does_not_match_names_the_field(new_hub, options, field):
    hub = new_hub()
    static(hub, hub.dir / "data", **options)
    hub.start()
    refused = hub.dorm("user", "add", "alice", check=False)
    assert refused.returncode != 0 and field in refused.stderr


def test_data_of_somebody_elses_postgres_is_adopted(new_hub, srv):
    """initdb by the machine's postgres user, role and table in it: found, not initialised over."""
    hub = new_hub()
    path = srv / "old"
    path.mkdir(mode=0o700)
    shutil.chown(path, "postgres", "postgres")
    binaries = pathlib.Path(sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1])
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    subprocess.run([*as_postgres, binaries / "initdb", "-D", path / "data", "-A", "trust"],
                   check=True, capture_output=True, cwd="/")
    subprocess.run([*as_postgres, binaries / "postgres", "--single", "-D", path / "data", "postgres"],
                   input="create table heirloom as select 42 as n;\n", text=True, check=True, capture_output=True, cwd="/")
    static(hub, path)
    hub.start()
    password = hub.add("alice")
    with hub.connect("alice", password, dbname="postgres") as c:
        assert c.execute("select n from heirloom").fetchone()[0] == 42
        assert c.execute("select current_user").fetchone()[0] == "alice"


def test_a_directory_with_other_things_is_not_initialised_over(new_hub, srv):
    hub = new_hub()
    path = srv / "photos"
    path.mkdir(mode=0o755)
    (path / "cat.jpg").write_text("miau")
    os.chown(path, 1234, 1234)
    static(hub, path)
    hub.start()
    password = hub.add("alice")
    with pytest.raises(psycopg.OperationalError, match="cat.jpg"):
        hub.connect("alice", password)
    assert os.listdir(path) == ["cat.jpg"]


# ---- a pool that is full


FULL = """
server:
  claim: {capacity: 128Mi}
  extraClaims:
    - {name: "scratch-{username}", capacity: 5Gi, mount: /scratch}
"""
FILL = "for i in $(seq 40); do dd if=/dev/zero of=/scratch/f$i bs=1M count=64 conv=notrunc status=none || break; done"


def options_of(hub, name):
    """Of the mount of that volume, wherever it is attached."""
    found = volume(hub, name)["id"]
    with open("/proc/mounts") as mounts:
        lines = [line.split() for line in mounts]
    return [line[3].split(",") for line in lines if f"/vol/{found}" in line[1]]


def test_an_extra_disk_that_fills_the_pool_hurts_no_neighbour(new_hub):
    hub = new_hub(pool="640Mi", conf=FULL)
    hub.start()
    alice, bob = hub.add("alice"), hub.add("bob")
    with hub.connect("alice", alice) as a, hub.connect("bob", bob) as b:
        a.execute("select 1")
        b.execute("create table t (n int primary key, x text)")
        filling = threading.Thread(target=fill, args=(a,), daemon=True)
        filling.start()
        n = 0
        while filling.is_alive() or n < 100:
            b.execute("insert into t values (%s, repeat('x', 500))", (n,))
            n += 1
            filling.join(0.005)
        b.execute("checkpoint")
        assert count(b, "t") == n
    for name in ("postgres-bob", "scratch-bob", "postgres-alice", "scratch-alice"):
        for options in options_of(hub, name):
            assert "rw" in options and "emergency_ro" not in options and "shutdown" not in options, name
    assert options_of(hub, "postgres-bob")
    assert f"volume {volume(hub, 'scratch-alice')['id']} is held" in hub.log


def fill(c):
    """Ends with its server, if that is told to sleep."""
    try:
        c.execute(f"copy (select where false) to program '{FILL}; true'")
    except psycopg.Error:
        pass
