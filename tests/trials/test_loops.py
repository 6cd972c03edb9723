"""G3-17. A hundred volumes attached at once; none is left of their loop devices afterwards."""

import os
import pathlib

import pytest

from hub import loops

VOLUMES = int(os.environ.get("DORM_TRIAL_VOLUMES", "100"))


def available_mi():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Cached:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no Cached: in /proc/meminfo")


@pytest.mark.trial("G3-17")
def test_a_hundred_volumes(new_hub, trial):
    hub = new_hub(pool="4Gi", conf="server: {claim: {capacity: 128Mi}}")
    hub.write_conf(extra=f", mounted: {VOLUMES}")
    before = set(loops())
    hub.start()
    users = {f"user{i}": hub.add(f"user{i}") for i in range(VOLUMES)}
    cached = available_mi()
    for login, password in users.items():
        with hub.connect(login, password) as c:
            assert c.execute("select current_user").fetchone() == (login,)
        hub.dorm("server", "stop", login)
    attached = [l for l in loops() if str(hub.state) in l and "pool.xfs" not in l]
    trial.figure(len(attached), f"volumes attached at once, of {VOLUMES}")
    trial.figure((available_mi() - cached) / VOLUMES, "MiB of page cache each")
    assert len(attached) == VOLUMES
    assert len({l.split()[0] for l in attached}) == VOLUMES
    hub.purge()
    left = set(loops()) - before
    trial.figure(len([l for l in left if str(hub.dir) in l]), "loop devices left")
    assert not [l for l in left if str(hub.dir) in l], left
