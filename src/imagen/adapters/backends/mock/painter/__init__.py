"""The illustrations of the mock; nothing in here is needed to write an adapter."""
