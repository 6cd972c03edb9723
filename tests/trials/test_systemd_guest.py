"""
The units, under a systemd on cgroup v2: in the guest of test_nfs_guest.py, which boots it here.
"""

import pathlib
import re

import pytest

from test_nfs_guest import boot, make_guest

UNITS = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "systemd"
INIT = "systemd.unified_cgroup_hierarchy=1 systemd.default_timeout_start_sec=600 systemd.show_status=no"


@pytest.mark.trial("G4-02/systemd")
@pytest.mark.needs("qemu-system-x86_64", "qemu-system-x86")
@pytest.mark.needs("debootstrap", "debootstrap")
def test_restart_of_the_unit_with_twenty_awake(trial, tmp_path):
    make_guest()
    said = boot("systemd", tmp_path, sorted(UNITS.glob("*.service")), INIT)
    print(said)
    good = re.findall(r"(?m)^check: ok (.*)$", said)
    bad = re.findall(r"(?m)^check: FAIL (.*)$", said)
    trial.figure(len(good), f"promises kept under systemd, of {len(good) + len(bad)}")
    for what, seconds in re.findall(r"(?m)^check: note (restart took|until all are adopted[^(]*|it took) \([^)]*\): ([\d.]+) s", said):
        trial.figure(float(seconds), f"s: {what.strip()}, 20 servers awake")
    assert not bad, "\n".join(bad)
    assert good and re.search(r"(?m)^guest: end 0$", said), "the guest did not come to its end"
