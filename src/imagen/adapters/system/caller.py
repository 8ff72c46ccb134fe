"""Who is asking: whoever the environment names, else the name of the tmux pane."""

from typing import Protocol

from imagen.adapters.system.tmux import Tmux, TmuxEnvironment, TmuxError

LONGEST_NAME = 200
"""Characters; a name, not a letter."""

TIMEOUT = 0.2
"""Seconds for tmux to answer; nobody waits for a name."""


class CallerEnvironment(TmuxEnvironment, Protocol):
    """What has to be known of the environment."""

    @property
    def caller(self) -> str:
        """Whom `$MAI_FROM_ID` names."""
        ...


def find_caller(surroundings: CallerEnvironment, *, patience: float = TIMEOUT) -> str:
    """Return who is asking, as one line of text; "" when nobody says.

    Args:
        surroundings: What the environment says.
        patience: Seconds that tmux has to answer; then it is killed.
    """
    return _clean_name(surroundings.caller) or _clean_name(
        _pane_name(surroundings, patience)
    )


def _pane_name(inside: TmuxEnvironment, patience: float) -> str:
    """Ask tmux for the option `@mai-name` of the pane."""
    try:
        tmux = Tmux(inside)
        asked = ("show-options", "-pqv", "-t", tmux.pane, "@mai-name")
        return tmux.run(*asked, patience=patience)
    except TmuxError:
        return ""  # there is no tmux, its server is gone, or it does not answer


def _clean_name(text: str) -> str:
    """Return the text on one line, without what cannot be printed."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:LONGEST_NAME]
