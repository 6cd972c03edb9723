"""
What pods are held to on cgroup v2 with its controllers: memory, naps and the escape kit, in the guest of
test_nfs_guest.py, because the machine that tests run on may have version 1.
"""

import re

import pytest

from hub import BUILD
from test_nfs_guest import boot, make_guest


@pytest.mark.trial("G4-07/v2")
@pytest.mark.needs("qemu-system-x86_64", "qemu-system-x86")
@pytest.mark.needs("debootstrap", "debootstrap")
def test_a_pod_on_cgroup_v2(trial, tmp_path):
    make_guest()
    said = boot("pods", tmp_path, [BUILD / "tests" / "kit" / "escape-kit"])
    print(said)
    good = re.findall(r"(?m)^check: ok (.*)$", said)
    bad = re.findall(r"(?m)^check: FAIL (.*)$", said)
    trial.figure(len(good), f"promises kept on cgroup v2, of {len(good) + len(bad)}")
    kit = re.search(r"the kit \([^)]*\): (\d+) contained; (\d+) not tried", said)
    if kit:
        trial.figure(int(kit.group(1)), f"ways out contained; {kit.group(2)} not tried there")
    assert not bad, "\n".join(bad)
    assert good and re.search(r"(?m)^guest: end 0$", said), "the guest did not come to its end"
