"""The worker processes that run requests."""
