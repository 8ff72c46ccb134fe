"""What holds for every test."""

import gc
import os
import signal
import sys
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.contract.lacks import fail_undeclared_skips
from tests.nightly import NIGHTLY

# How long an example takes is the machine's business; a test has a limit of its own.
settings.register_profile(
    "imagen", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("imagen")

# In the background of a script, or under nohup, these are ignored, and every process
# that a test starts would ignore them too.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# pytest explains a failed `assert` only in test modules and in those registered here.
pytest.register_assert_rewrite("tests.contract_internal.contracts")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """Start three workers on two cores: about a third of the time, a test waits."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return 3 * (cores or 1) // 2 or 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None]:
    """Spare the garbage collector the collected tests, which live to the end.

    Each full collection would take most of a second, and the end of a session, of which
    the tests of broken implementations have several, makes five.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if not gc.get_freeze_count():  # not in a session within a test
            gc.collect()
            gc.freeze()


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out by day what only `make nightly` runs."""
    if NIGHTLY:
        return
    by_day: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (left_out if item.get_closest_marker("nightly") else by_day).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = by_day


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a contract test that skips without a declared reason."""
    report = yield
    fail_undeclared_skips(item, report)
    return report
