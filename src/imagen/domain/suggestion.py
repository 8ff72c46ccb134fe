"""Words about names in messages: similar ones, and those that are not set."""

from collections.abc import Iterable, Sequence


def suggest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar, or None if none is similar."""
    # difflib is needed only after a mistake, so no successful command loads it.
    from difflib import get_close_matches  # noqa: PLC0415 - see above

    return next(iter(get_close_matches(name, list(known), n=1)), None)


def suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the hint "Did you mean X?"; another hint if no known name is similar."""
    near = suggest_name(name, known)
    return f"Did you mean {near}?" if near else otherwise


def format_variable(name: str) -> str:
    """Return `$NAME`; the name of an entry in the keyring as it is."""
    return name if ":" in name else f"${name}"


def join_missing(names: Sequence[str]) -> str:
    """Return `A is not set`, `A and B are not set`, or "" for no names."""
    verb = "is" if len(names) == 1 else "are"
    return f"{' and '.join(names)} {verb} not set" if names else ""
