"""What somebody may have meant by a name that there is not."""

from collections.abc import Iterable


def suggest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is nearest, or None when none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - only after a mistake

    return next(iter(get_close_matches(name, list(known), n=1)), None)
