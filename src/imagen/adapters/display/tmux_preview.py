"""Opens a window of tmux in the background for each image."""

import sys
from pathlib import PurePath
from shutil import which

from imagen.adapters.system.tmux import Tmux, TmuxEnvironment, TmuxError
from imagen.ports.preview import PreviewError

VIEWER = "tmux-img"
"""What shows the image, where it is installed; else imagen does."""

TIMEOUT = 1.0
"""Seconds for each of two answers; a tmux that hangs does not give the first."""

_LONGEST_NAME = 200


class TmuxPreview:
    """A new window in the session of the pane that this runs in.

    The focus stays where it is. No shell sees the name of the file: tmux runs a command
    of several words as they stand.
    """

    def __init__(self, inside: TmuxEnvironment, *, patience: float = TIMEOUT) -> None:
        self._inside = inside
        self._patience = patience

    def show(self, location: str) -> None:
        """Ask which session it is, and for a window in it."""
        try:
            tmux = Tmux(self._inside)
            session = tmux.run(
                *("display-message", "-p", "-t", tmux.pane, "#{session_id}"),
                patience=self._patience,
            ).strip()
            tmux.run(
                *("new-window", "-d", "-t", f"{session}:"),
                *("-n", _escape_semicolon(window_name(location)), "--"),
                *map(_escape_semicolon, viewer_command(location)),
                patience=self._patience,
            )
        except TmuxError as why:
            raise PreviewError(str(why)) from why


def window_name(location: str) -> str:
    """Return what the window is called, as tmux is told it: it expands `#`.

    It keeps whatever else is in a name, so that nothing is that a terminal would obey.
    """
    name = PurePath(location).name[:_LONGEST_NAME]
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return f"img:{shown}".replace("#", "##")


def viewer_command(location: str) -> list[str]:
    """Return what runs in the window: several words, so that no shell is asked."""
    program = which(VIEWER)
    if program is not None:
        return [program, "--hold", location]
    # -P: nothing in the folder where the window happens to be is imported.
    return [sys.executable, "-P", "-m", "imagen", "show", "--hold", location]


def _escape_semicolon(word: str) -> str:
    """Return the word so that tmux takes no `;` at its end for the end of a command."""
    return f"{word[:-1]}\\;" if word.endswith(";") else word
