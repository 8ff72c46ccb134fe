"""Who is asking: whoever the environment names, else the name of the tmux pane."""

import re
from typing import Protocol

LONGEST_NAME = 200
"""Characters; a name, not a letter."""

LONGEST_WAIT = 0.2
"""Seconds for tmux to answer; nobody waits for a name."""

_PANE = re.compile(r"%[0-9]+", re.ASCII)


class Surroundings(Protocol):
    """What has to be known of the environment."""

    @property
    def caller(self) -> str:
        """Whom `$MAI_FROM_ID` names."""
        ...

    @property
    def tmux(self) -> str:
        """What `$TMUX` says: the server's socket, its process, the session."""
        ...

    @property
    def tmux_pane(self) -> str:
        """What `$TMUX_PANE` says."""
        ...


def find_caller(surroundings: Surroundings, *, patience: float = LONGEST_WAIT) -> str:
    """Return who is asking, as one line of text; "" when nobody says.

    Args:
        surroundings: What the environment says.
        patience: Seconds that tmux has to answer; then it is killed.
    """
    return _name(surroundings.caller) or _name(
        _pane_name(surroundings.tmux, surroundings.tmux_pane, patience)
    )


def _pane_name(tmux: str, pane: str, patience: float) -> str:
    """Ask tmux for the option `@mai-name` of the pane."""
    socket = tmux.rsplit(",", 2)[0]
    if not (socket and _PANE.fullmatch(pane)):
        return ""
    import subprocess  # noqa: PLC0415 - costs 10 ms, and is needed inside tmux only

    # -u: without it, tmux has underscores for what the locale cannot say.
    command = ["tmux", "-u", "-S", socket, "show-options", "-pqv", "-t", pane]
    try:
        answer = subprocess.run(  # noqa: S603 - no shell, and nothing that a user wrote
            [*command, "@mai-name"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=patience,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""  # there is no tmux, its server is gone, or it does not answer
    return answer.stdout.decode(errors="replace")


def _name(text: str) -> str:
    """Return the text on one line, without what cannot be printed."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:LONGEST_NAME]
