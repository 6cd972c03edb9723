import os

import pytest

from gate_alone import cert, gate, new_gate, postgres  # noqa: F401
from hub import Hub


@pytest.fixture
def new_hub():
    """Makes hubs that are taken away, without a trace, when the test ends."""
    made = []

    def make(**options):
        hub = Hub(**options)
        made.append(hub)
        return hub

    yield make
    problems = []
    for hub in reversed(made):
        try:
            hub.purge()
        except Exception as problem:  # the others must go as well
            problems.append(problem)
    if problems:
        raise problems[0]


@pytest.fixture
def hub(new_hub):
    """A hub that is up."""
    hub = new_hub()
    hub.start()
    return hub


@pytest.fixture(scope="session")
def shared_hub():
    """A hub for the tests that do not mind each other; each uses users of its own."""
    hub = Hub(pool="2Gi")
    hub.start()
    yield hub
    hub.purge()


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root: pods, mounts and cgroups"))
