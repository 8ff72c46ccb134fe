"""Open a tmux window in the background for each new image."""

import sys
from pathlib import PurePath
from shutil import which

from imagen.adapters.system.tmux import Tmux, TmuxEnvironment, TmuxError
from imagen.ports.preview import PreviewError

VIEWER = "tmux-img"
"""A viewer program that is preferred to `imagen show` where it is installed."""

TIMEOUT = 1.0
"""Seconds for each of two tmux commands; a tmux that hangs fails in the first."""

_LONGEST_NAME = 200


class TmuxPreview:
    """A preview in a new window of the tmux session that this process runs in.

    The window opens in the background and does not take the focus.
    """

    def __init__(
        self, environment: TmuxEnvironment, *, timeout: float = TIMEOUT
    ) -> None:
        self._environment = environment
        self._timeout = timeout

    def show(self, location: str) -> None:
        """Find the session of this pane and open a window in it.

        Raises:
            PreviewError: tmux failed or did not answer in time.
        """
        try:
            tmux = Tmux(self._environment)
            session = tmux.run(
                *("display-message", "-p", "-t", tmux.pane, "#{session_id}"),
                timeout=self._timeout,
            ).strip()
            tmux.run(
                *("new-window", "-d", "-t", f"{session}:"),
                *("-n", _escape_semicolon(window_name(location)), "--"),
                *map(_escape_semicolon, viewer_command(location)),
                timeout=self._timeout,
            )
        except TmuxError as error:
            raise PreviewError(str(error)) from error


def window_name(location: str) -> str:
    """Return the name of the window as an argument of tmux."""
    name = PurePath(location).name[:_LONGEST_NAME]
    # tmux keeps control characters in a name and would send them to the terminal.
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    # tmux expands formats such as #{pane_id} and #(command) in a window name.
    return f"img:{printable}".replace("#", "##")


def viewer_command(location: str) -> list[str]:
    """Return the command that shows the image, as several arguments.

    tmux runs a command of several arguments directly. A command of one argument would
    be interpreted by a shell, and so would the name of the file.
    """
    program = which(VIEWER)
    if program is not None:
        return [program, "--hold", location]
    # -P: Python does not import modules from the current folder of the window.
    return [sys.executable, "-P", "-m", "imagen", "show", "--hold", location]


def _escape_semicolon(word: str) -> str:
    # tmux reads a `;` at the end of an argument as the end of the command.
    return f"{word[:-1]}\\;" if word.endswith(";") else word
