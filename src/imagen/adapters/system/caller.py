"""Find the name of the caller: from the environment, else from the tmux pane."""

from typing import Protocol

from imagen.adapters.system.tmux import Tmux, TmuxEnvironment, TmuxError

LONGEST_NAME = 200
"""Characters of a caller's name, at most."""

TIMEOUT = 0.2
"""Seconds for tmux to answer; a missing name must not delay a request."""


class CallerEnvironment(TmuxEnvironment, Protocol):
    """The environment variables that identify the caller."""

    caller: str


def find_caller(environment: CallerEnvironment, *, timeout: float = TIMEOUT) -> str:
    """Return the name of the caller on one line; "" when it is unknown."""
    if name := _clean_name(environment.caller):
        return name
    try:
        tmux = Tmux(environment)
        query = ("show-options", "-pqv", "-t", tmux.pane, "@mai-name")
        return _clean_name(tmux.run(*query, timeout=timeout))
    except TmuxError:
        return ""


def _clean_name(text: str) -> str:
    """Return the text on one line, without unprintable characters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:LONGEST_NAME]
