"""Phrases that several messages share."""

from collections.abc import Sequence


def join_missing(names: Sequence[str]) -> str:
    """Return `A is not set`, `A and B are not set`, or "" for no names."""
    verb = "is" if len(names) == 1 else "are"
    return f"{' and '.join(names)} {verb} not set" if names else ""
