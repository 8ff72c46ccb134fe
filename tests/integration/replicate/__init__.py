"""A Replicate of our own, for tests."""
