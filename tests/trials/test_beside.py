"""
G2-14, G2-17. Programs beside servers, killed from all sides: nothing of them stays. DORM_TRIAL_ROUNDS
rounds (30); the seed is printed and can be given as DORM_TRIAL_SEED.
"""

import os
import random
import signal
import time

from hub import processes_of, wait_until
from test_localhost import Started, gate_fds, gate_pid, run, tools

ROUNDS = int(os.environ.get("DORM_TRIAL_ROUNDS", "30"))
SEED = int(os.environ.get("DORM_TRIAL_SEED", str(os.getpid())))


def users_processes(hub, name):
    uid = int(hub.show(name)["host uid"])
    return processes_of((uid, uid))


def test_a_program_that_nobody_asks_for_is_ended(new_hub):
    """Its command and dormd die at once, so that nobody has told it to end."""
    hub = new_hub()
    hub.start()
    hub.add("bob")
    beside = Started(hub, "bob", "trap '' HUP TERM PIPE; echo here; while :; do sleep 1; done")
    assert beside.line() == "here"
    hub.kill()
    beside.process.kill()
    beside.end()
    began = time.monotonic()
    hub.start()
    assert tools(hub)
    wait_until(lambda: not tools(hub), "it is ended")
    print(f"ended {time.monotonic() - began:.1f} s after the start of the next dormd")
    assert not users_processes(hub, "bob")


def test_whoever_is_killed_nothing_of_it_stays(new_hub):
    dice = random.Random(SEED)
    hub = new_hub()
    hub.start()
    hub.add("bob")
    fds = gate_fds(hub)
    lived, took = 0, []
    for _ in range(ROUNDS):
        beside = Started(hub, "bob", "(trap '' HUP TERM; exec sleep 1000) & psql -Atc 'select 1'; read x; exit 5")
        if dice.random() < 0.7:
            assert beside.line() == "1"
        victim = dice.choice(("command", "dormd", "gate", "pod", "nobody"))
        if victim == "command":
            beside.process.kill()
        elif victim == "dormd":
            hub.kill()
            hub.start()
        elif victim == "gate":
            os.kill(gate_pid(hub), signal.SIGKILL)
        elif victim == "pod":
            for group in tools(hub):
                for tree in hub.groups():
                    for pid in (tree / group / "cgroup.procs").read_text().split()[:1]:
                        os.kill(int(pid), signal.SIGKILL)
        code = None
        try:
            beside.type("end\n")
        except (BrokenPipeError, ValueError):
            pass
        code = beside.end()[0]
        lived += code == 5
        began = time.monotonic()
        wait_until(lambda: not tools(hub), f"nothing is left, seed {SEED}, after the end of {victim}")
        took.append(time.monotonic() - began)
    hub.dorm("server", "stop", "bob")
    assert not users_processes(hub, "bob")
    assert run(hub, "bob", "psql", "-Atc", "select 1").stdout == "1\n"
    wait_until(lambda: gate_fds(hub) <= fds + 2, "the gate holds no listener of theirs")
    print(f"seed {SEED}: {ROUNDS} rounds, {lived} ended by themselves, gone after at most {max(took):.2f} s")
