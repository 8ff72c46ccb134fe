"""Draw pictures on the terminal of stderr: stdout is for paths."""

import sys
from typing import TYPE_CHECKING

from imagen.bootstrap.display import build_viewer
from imagen.bootstrap.runtime import Runtime
from imagen.cli.output import Output, print_message
from imagen.ports.viewer import DrawingError, TerminalSize

if TYPE_CHECKING:
    from imagen.adapters.display.terminal.viewer import TerminalViewer

_NO_TERMINAL = {"", "dumb"}
_ROWS_BELOW = 2
"""Rows of the terminal that stay free: the path, and the next prompt of the shell."""


def create_viewer(
    runtime: Runtime, out: Output, *, flag: str, logs: bool
) -> "TerminalViewer | None":
    """Return what draws on stderr; if nothing can be drawn, warn and return None.

    Args:
        flag: The flag that asks for pictures, for the warning.
        logs: Whether log lines would garble the pictures.
    """
    terminal = runtime.environment.terminal["TERM"]
    if logs or not sys.stderr.isatty() or terminal in _NO_TERMINAL:
        why = (
            "because log lines are printed" if logs else "without a terminal on stderr"
        )
        if not out.quiet:
            print_message(f"warning: {flag} shows no picture {why}.")
        return None
    return build_viewer(runtime, sys.stderr)


def draw_image(viewer: "TerminalViewer", content: bytes) -> None:
    """Draw a finished image, as large as the terminal; print why if that fails."""
    room = viewer.size()
    rows = max(1, room.rows - _ROWS_BELOW)
    try:
        viewer.draw(content, max_size=TerminalSize(room.columns, rows))
    except DrawingError as why:
        print_message(f"--show: the image cannot be drawn: {why}.")
