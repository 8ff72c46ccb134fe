"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How long an example takes is the machine's business; a test has a limit of its own.
settings.register_profile(
    "imagen", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("imagen")
