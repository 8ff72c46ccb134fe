"""The live picture on the terminal: redrawn in place, above the progress bar."""

from collections.abc import Generator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    suppress,
)
from threading import RLock
from typing import TYPE_CHECKING, Self

from imagen.bootstrap.runtime import Runtime
from imagen.cli.output import Output
from imagen.cli.pictures import create_viewer
from imagen.domain import events
from imagen.domain.events import Event
from imagen.ports.clock import Clock
from imagen.ports.viewer import DrawingError, TerminalSize

if TYPE_CHECKING:
    from imagen.adapters.display.terminal.viewer import TerminalViewer
    from imagen.cli.progress import ProgressBar

# Seconds between two drawings. A backend may send a preview for every step.
MIN_INTERVAL = 0.15


def create_live_picture(
    runtime: Runtime, bar: "ProgressBar | None", out: Output
) -> "LivePicture | None":
    """Return a live picture on stderr; if none can be drawn, warn and return None."""
    logs = out.verbose or bool(runtime.environment.log)
    viewer = create_viewer(runtime, out, flag="--live", logs=logs)
    return None if viewer is None else LivePicture(viewer, bar, clock=runtime.clock)


class LivePicture:
    """An event listener that replaces the previous picture; safe from any thread."""

    def __init__(
        self, viewer: "TerminalViewer", bar: "ProgressBar | None", *, clock: Clock
    ) -> None:
        self._viewer = viewer
        self._bar = bar
        self._clock = clock
        self._rows = 0
        self._next = 0.0
        # Re-entrant: the picture is hidden while an image is reported, and a preview
        # window that fails then sends PreviewFailed, which hides the picture again.
        self._lock = RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.hide():
            self._viewer.close()

    def __call__(self, event: Event) -> None:
        """Draw a preview; erase the picture before a message is printed."""
        match event:
            case events.Previewed(content=content):
                self._draw(content)
            case events.Warned() | events.Retrying() | events.PreviewFailed():
                with self.hide():
                    pass
            case _:
                pass

    @contextmanager
    def hide(self) -> Generator[None]:
        """Erase picture and bar while other text is printed."""
        with self._lock, self._hide_bar():
            self._erase()
            yield

    def _draw(self, content: bytes) -> None:
        with self._lock:
            if self._clock.monotonic() < self._next:
                return
            with self._hide_bar(), suppress(DrawingError):
                self._erase()
                room = self._viewer.size()
                half = TerminalSize(room.columns, max(1, room.rows // 2))
                self._rows = self._viewer.draw(content, max_size=half)
            # Counted from the end of the drawing, so that a slow terminal gets a pause.
            self._next = self._clock.monotonic() + MIN_INTERVAL

    def _erase(self) -> None:
        rows, self._rows = self._rows, 0
        if rows:
            with suppress(DrawingError):
                self._viewer.erase(rows)

    def _hide_bar(self) -> AbstractContextManager[None]:
        return self._bar.hide() if self._bar else nullcontext()
