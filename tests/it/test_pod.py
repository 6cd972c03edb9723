"""What the kernel says of a pod, from outside and from inside."""

import pathlib

import pytest

from hub import mounts_below, processes_of


@pytest.fixture(scope="module")
def alice(shared_hub):
    password = shared_hub.add("alice")
    with shared_hub.connect("alice", password) as c:
        c.execute("create table said (n serial, line text)")
        yield c


def shell(c, script):
    """Run a script as code in the server would be run, and return what it printed."""
    c.execute("truncate said")
    quoted = ("{ " + script + "\n} 2>&1 | sed 's/\\\\/\\\\\\\\/g; s/\\t/ /g'; true").replace("'", "''")
    c.execute(f"copy said (line) from program '{quoted}'")
    return [row[0] for row in c.execute("select line from said order by n").fetchall()]


def test_every_process_has_the_uid_of_its_user(shared_hub, alice):
    uid = int(shared_hub.show("alice")["host uid"])
    assert uid >= shared_hub.uids[0] + 16
    tasks = list(pathlib.Path("/sys/fs/cgroup").glob(
        f"memory/dormouse-*/{shared_hub.server_id('alice')}/cgroup.procs"))
    assert tasks
    pids = tasks[0].read_text().split()
    assert len(pids) >= 7
    for pid in pids:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert status.split("Uid:")[1].split()[:4] == [str(uid)] * 4
        assert status.split("Gid:")[1].split()[:4] == [str(uid)] * 4
        assert status.split("CapEff:")[1].split()[0] == "0" * 16 or "bwrap" in status
    assert len(processes_of((uid, uid))) == len(pids)


def test_inside_it_is_nobody_special(alice):
    said = shell(alice, "id -u; id -un; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status")
    assert said[:2] == ["1000", "alice"]
    assert said[2:] == ["CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"]


@pytest.mark.parametrize("attempt", [
    "cat /etc/shadow", "ls /home", "ls /root", "ls /var/lib/dormouse", "ls /boot", "ls /sys/fs",
    "unshare -Ur id", "mount -t tmpfs x /tmp", "touch /usr/x", "touch /etc/x", "touch /x",
    "touch /dev/x", "mknod /tmp/d b 7 0", "chroot / id", "cat /dev/mem", "ls /run/dormouse",
    "kill -0 2147483", "nsenter -t 1 -m id",
])
def test_what_must_fail_fails(alice, attempt):
    said = shell(alice, f"if {attempt} >/dev/null 2>&1; then echo DONE; else echo refused; fi")
    assert said == ["refused"]


def test_process_1_has_nothing_to_tell(alice):
    assert shell(alice, "cat /proc/1/environ | wc -c; tr '\\0' ' ' < /proc/1/cmdline | grep -c -e dormouse -e --bind; true") == ["0", "0"]


def test_there_is_no_network_but_loopback(alice):
    said = shell(alice, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; cat /proc/net/route | tail -n +2")
    assert said == ["lo"]


def test_no_descriptor_reaches_the_server_but_its_own(alice):
    """Everything a backend has open is its volume, its sockets, its pipes or its tmpfs."""
    said = shell(alice, "for f in /proc/$PPID/fd/*; do readlink $f; done")
    allowed = ("/var/lib/postgresql/", "socket:", "pipe:", "anon_inode:", "/dev/null", "/dev/shm/",
               "/run/", "/dev/zero")
    assert said and all(line.startswith(allowed) for line in said), said


def test_disk_memory_and_processes_are_bounded(shared_hub, alice):
    size, = shell(alice, "df --output=size -B1M /var/lib/postgresql | tail -1")
    assert 850 <= int(size) <= 1024
    tmp, shm = shell(alice, "df --output=size -B1M /tmp /dev/shm | tail -2")
    assert int(tmp) <= 256 and int(shm) <= 256
    group = next(pathlib.Path("/sys/fs/cgroup").glob(
        f"memory/dormouse-*/{shared_hub.server_id('alice')}"))
    assert int((group / "memory.limit_in_bytes").read_text()) == 512 << 20
    pids = pathlib.Path(str(group).replace("/memory/", "/pids/"))
    assert int((pids / "pids.max").read_text()) == 200


def test_a_greedy_statement_fails_alone(shared_hub, alice):
    with pytest.raises(Exception, match="out of memory|memory exhausted|could not resize"):
        alice.execute("select length(repeat('x', 900000000))")
    assert alice.execute("select 1").fetchone() == (1,)


def test_one_user_cannot_see_or_signal_another(shared_hub, alice):
    password = shared_hub.add("mallory")
    with shared_hub.connect("mallory", password) as c:
        c.execute("create table said (n serial, line text)")
        theirs = processes_of((int(shared_hub.show("alice")["host uid"]),) * 2)
        pids = " ".join(str(p[0]) for p in theirs)
        said = shell(c, f"for p in {pids}; do kill -0 $p 2>/dev/null && echo reached $p; done;"
                        " ps -e 2>/dev/null | grep -c postgres; ls /run/postgresql -A | wc -l; echo end")
        assert not any(line.startswith("reached") for line in said)


def test_a_link_in_place_of_the_socket_leads_nowhere(shared_hub, alice):
    """The owner replaces the socket by a link to another pod's: nobody is sent there."""
    password = shared_hub.add("eve")
    victim = f"{shared_hub.run_dir}/pods/{shared_hub.server_id('alice')}/.s.PGSQL.5432"
    with shared_hub.connect("eve", password) as c:
        c.execute("create table said (n serial, line text)")
        shell(c, f"rm /run/postgresql/.s.PGSQL.5432; ln -s {victim} /run/postgresql/.s.PGSQL.5432; ls -l /run/postgresql")
        try:
            with shared_hub.connect("eve", password, connect_timeout=4) as other:
                assert other.execute("select current_user").fetchone() == ("eve",)
        except Exception as refused:
            assert "alice" not in str(refused)
    shared_hub.dorm("server", "stop", "eve")
    with shared_hub.connect("eve", password) as c:
        assert c.execute("select current_user").fetchone() == ("eve",)


def test_host_mounts_are_as_they_were_when_a_server_has_stopped(shared_hub):
    password = shared_hub.add("tidy")
    shared_hub.connect("tidy", password).close()
    server = shared_hub.server_id("tidy")
    assert [m for m in mounts_below(shared_hub.run_dir) if m.endswith(server)]
    shared_hub.dorm("server", "stop", "tidy")
    assert [m for m in mounts_below(shared_hub.run_dir) if m.endswith(server)] == []
    assert not pathlib.Path(shared_hub.run_dir, "notify", server).exists()
