"""What holds for every test."""

import os

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's business; a test has a limit of its own.
settings.register_profile(
    "imagen", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("imagen")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Answer `-n auto` with one more than there are cores, as most tests wait."""
    return 1 + (os.cpu_count() or 1)
