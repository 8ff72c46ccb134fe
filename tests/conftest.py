"""What holds for every test."""

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's business; a test has a limit of its own.
settings.register_profile(
    "imagen", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("imagen")

# pytest explains a failed `assert` only in test modules and in those registered here.
pytest.register_assert_rewrite("tests.contract_internal.contracts")
