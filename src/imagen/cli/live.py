"""The picture on the terminal while an image is made: in its place, above the bar."""

import sys
from collections.abc import Generator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    suppress,
)
from threading import RLock
from typing import TYPE_CHECKING, Self

from imagen.bootstrap.display import build_viewer
from imagen.bootstrap.runtime import Runtime
from imagen.cli.output import say
from imagen.domain import events
from imagen.domain.events import Event
from imagen.ports.clock import Clock
from imagen.ports.viewer import DrawingError, TerminalSize, Viewer

if TYPE_CHECKING:
    from imagen.cli.progress import ProgressBar

_NO_TERMINAL = {"", "dumb"}

BREATH = 0.15
"""Seconds in which one picture is enough."""


def create_live_picture(
    runtime: Runtime, bar: "ProgressBar | None", *, logs: bool
) -> "LivePicture | None":
    """Return what draws on stderr, or say why nothing is drawn there.

    Args:
        runtime: The environment, whose variables describe the terminal.
        bar: What is there already.
        logs: Whether lines of a log come in between.
    """
    terminal = runtime.environment.terminal
    if logs or not sys.stderr.isatty() or terminal["TERM"] in _NO_TERMINAL:
        why = "among lines of a log" if logs else "without a terminal on stderr"
        say(f"warning: --live shows no picture {why}.")
        return None
    viewer = build_viewer(runtime, sys.stderr)
    return LivePicture(viewer, bar, clock=runtime.clock)


class LivePicture:
    """Draws each picture in the place of the one before; hears events from any thread.

    Args:
        viewer: The terminal on which the bar is.
        bar: What stands below the picture, if anything.
        clock: Says whether it is time for another one.
    """

    def __init__(
        self, viewer: Viewer, bar: "ProgressBar | None", *, clock: Clock
    ) -> None:
        self.shown = 0
        self._viewer = viewer
        self._bar = bar
        self._clock = clock
        self._rows = 0
        self._next = 0.0
        self._lock = RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.hidden():
            self._viewer.close()

    def __call__(self, event: Event) -> None:
        """Draw a picture; take it away before words come in between."""
        match event:
            case events.Previewed(content=content):
                self._draw(content)
            case events.Warned() | events.Retrying() | events.PreviewFailed():
                with self.hidden():
                    pass
            case _:
                pass

    @contextmanager
    def hidden(self) -> Generator[None]:
        """Take picture and bar away while something else is printed."""
        with self._lock, self._below():
            self._erase()
            yield

    def _draw(self, content: bytes) -> None:
        with self._lock:
            if self._clock.monotonic() < self._next:
                return
            with self._below(), suppress(DrawingError):
                self._erase()
                room = self._viewer.size()
                half = TerminalSize(room.columns, max(1, room.rows // 2))
                self._rows = self._viewer.draw(content, max_size=half)
                self.shown += 1
            self._next = self._clock.monotonic() + BREATH

    def _erase(self) -> None:
        rows, self._rows = self._rows, 0
        if rows:
            with suppress(DrawingError):
                self._viewer.erase(rows)

    def _below(self) -> AbstractContextManager[None]:
        return self._bar.hidden() if self._bar else nullcontext()
