"""What the trials share: the hubs of tests/it, and one line `id verdict figure unit` per figure."""

import os
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "it"))

from hub import Hub
from wreck import bury, wreck

ROWS = []


class Trial:
    """One row of the table in the making: its id, and what was measured."""

    def __init__(self, id_):
        self.id = id_
        self.figures = []

    def figure(self, value, unit):
        value = f"{value:.3g}" if isinstance(value, float) else str(value)
        self.figures.append((value, unit))


@pytest.fixture
def new_hub():
    """Makes hubs that are taken away when the trial ends: by purge, or if that fails, by force."""
    made, problems = [], []

    def make(**options):
        hub = Hub(**options)
        made.append(hub)
        return hub

    yield make
    for hub in reversed(made):
        try:
            if hub.dir.exists():
                hub.purge()
        except Exception as problem:  # the others must go as well
            problems.append(problem)
            try:
                wreck(hub)
            finally:
                bury(hub)
    if problems:
        raise problems[0]


@pytest.fixture
def trial(request):
    mark = request.node.get_closest_marker("trial")
    return request.node.stash.setdefault(KEY, Trial(trial_id(request.node, mark)))


KEY = pytest.StashKey()


def trial_id(item, mark):
    """G3-04, and what is in the brackets of the test's name."""
    variant = item.name.partition("[")[2].rstrip("]")
    return mark.args[0] + (f"/{variant}" if variant else "")


def pytest_configure(config):
    config.addinivalue_line("markers", "trial(id): the row of the table of trials that this drives")
    config.addinivalue_line("markers", "needs(program, package): skipped, with words, without it")


def pytest_collection_modifyitems(items):
    for item in items:
        if os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: disks, mounts and pods"))
        for mark in item.iter_markers("needs"):
            program, package = mark.args
            if shutil.which(program) is None:
                item.add_marker(pytest.mark.skip(
                    reason=f"{program} is missing: tools/install-packages --trials ({package})"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    mark = item.get_closest_marker("trial")
    if mark is None or (report.when != "call" and report.passed):
        return
    verdict = "FAIL" if report.failed else "skip" if report.skipped else "ok"
    trial = item.stash.get(KEY, None) or Trial(trial_id(item, mark))
    figures = trial.figures or [("-", "-")]
    if report.when == "teardown":
        figures = [("-", "something was left behind")]
    ROWS.extend((trial.id, verdict, value, unit) for value, unit in figures)


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    terminalreporter.section("trials: id, verdict, figure, unit")
    wide = max(len(row[0]) for row in ROWS)
    for id_, verdict, value, unit in ROWS:
        terminalreporter.write_line(f"{id_:{wide}}  {verdict:5} {value:>9} {unit}")
