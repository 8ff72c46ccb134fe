"""The processes that run requests."""
