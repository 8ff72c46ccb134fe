"""What holds for every test."""

import pytest
from hypothesis import HealthCheck, settings

from tests.nightly import NIGHTLY

# How long an example takes is the machine's business; a test has a limit of its own.
settings.register_profile(
    "imagen", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("imagen")

# pytest explains a failed `assert` only in test modules and in those registered here.
pytest.register_assert_rewrite("tests.contract_internal.contracts")


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
