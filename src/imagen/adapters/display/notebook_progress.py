"""Display progress in a notebook while a cell runs."""

import sys
from collections.abc import Callable, Mapping
from html import escape
from threading import Lock
from typing import Protocol, TypeAlias, cast

import msgspec

from imagen.adapters.system.clock import SystemClock
from imagen.domain import events
from imagen.domain.events import Event

MIN_INTERVAL = 0.1
"""Seconds between two updates; each is sent to the browser."""
MAX_BARS = 8
MAX_WARNINGS = 8

_LINE = "font:12px/1.6 sans-serif;display:flex;gap:.75em;align-items:center"
_BAR = "width:12em"
_SOFT = "opacity:.75;overflow-wrap:anywhere"

Bundle: TypeAlias = Mapping[str, str]
"""The same content by media type; the notebook shows the best one it supports."""


class Handle(Protocol):
    """A part of a cell's output that can be replaced."""

    def update(self, obj: object, **options: object) -> None:
        """Replace the content."""
        ...


Display: TypeAlias = Callable[[Bundle], Handle | None]


class _Job(msgspec.Struct, kw_only=True):
    fraction: float | None = None
    steps: int | None = None
    note: str = ""


class NotebookProgress:
    """An event listener that shows the progress in one part of the output.

    Thread-safe.
    """

    def __init__(self, display: Display, *, clock: SystemClock) -> None:
        """Prepare the listener; nothing is shown before the first event.

        Args:
            display: Creates a part of the output that can be replaced.
            clock: Measures the elapsed time and the interval between updates.
        """
        self._display = display
        self._clock = clock
        self._began = clock.monotonic()
        self._lock = Lock()
        self._handle: Handle | None = None
        self._shown_at = 0.0
        self._images = 0
        self._done = 0
        self._failed = 0
        self._jobs: dict[int, _Job] = {}
        self._warnings: list[str] = []
        self._closed = False

    def __call__(self, event: Event) -> None:
        """Count the event, and update the output at most every `MIN_INTERVAL`."""
        with self._lock:
            if self._closed:
                return
            self._count(event)
            if self._handle is None and isinstance(event, events.Planned):
                # `Planned` comes in the thread that runs the cell. Output of another
                # thread can appear below another cell.
                self._handle = self._display(self._bundle())
                self._shown_at = self._clock.monotonic()
            elif self._clock.monotonic() - self._shown_at >= MIN_INTERVAL:
                self._update()

    def close(self) -> None:
        """Show the final state and ignore later events."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs = {}
                self._update()

    def _count(self, event: Event) -> None:
        match event:
            case events.Planned(images=images):
                self._images = images
            case events.Warned(message=message):
                self._warn(message)
            case events.Retrying(message=message, wait=wait):
                self._warn(f"{message} Retrying in {wait:g} s.")
            case events.Started(number=number):
                self._jobs[number] = _Job()
            case events.Progressed(number=number):
                self._jobs[number] = _Job(
                    fraction=event.fraction, steps=event.steps, note=event.note
                )
            case events.Stored(number=number):
                self._jobs.pop(number, None)
                self._done += 1
            case events.Failed(number=number):
                self._jobs.pop(number, None)
                self._failed += 1
            case _:
                pass

    def _warn(self, message: str) -> None:
        if message not in self._warnings and len(self._warnings) < MAX_WARNINGS:
            self._warnings.append(message)

    def _update(self) -> None:
        self._shown_at = self._clock.monotonic()
        if self._handle is not None:
            self._handle.update(self._bundle(), raw=True)

    def _bundle(self) -> Bundle:
        summary = self._summary()
        lines = [_render_line(summary, self._done + self._failed, of=self._images)]
        if self._closed:
            lines = [f'<div style="{_LINE};{_SOFT}">{escape(summary)}</div>']
        for number, job in sorted(self._jobs.items())[:MAX_BARS]:
            name = f"image {number}" if self._images > 1 else ""
            text = " · ".join(filter(None, [name, _format_steps(job) or job.note]))
            lines.append(_render_line(text, job.fraction, of=1))
        lines += [
            f'<div style="{_LINE};{_SOFT}">warning: {escape(message)}</div>'
            for message in self._warnings
        ]
        plain = [summary, *(f"warning: {message}" for message in self._warnings)]
        return {"text/html": "".join(lines), "text/plain": "\n".join(plain)}

    def _summary(self) -> str:
        images = "1 image" if self._images == 1 else f"{self._images} images"
        seconds = f"{self._clock.monotonic() - self._began:.1f} s"
        failed = f"{self._failed} failed" if self._failed else ""
        missing = self._images - self._done - self._failed
        if not self._closed:
            done = f"{self._done} of {images}" if self._images > 1 else images
            return " · ".join(filter(None, [done, failed, seconds]))
        left = f"{missing} not made" if missing else ""
        return " · ".join(filter(None, [images, failed, left, seconds]))


def create_notebook_progress() -> NotebookProgress | None:
    """Return a progress listener inside a notebook; None elsewhere."""
    # A notebook has imported IPython already. Importing it here to find out would
    # slow down every program that uses imagen outside a notebook.
    ipython = sys.modules.get("IPython")
    if ipython is None or "ipykernel" not in sys.modules:
        return None
    shell = ipython.get_ipython()
    if getattr(shell, "kernel", None) is None:
        return None
    display = cast("Callable[..., Handle | None]", ipython.display.display)

    def show(bundle: Bundle) -> Handle | None:
        return display(bundle, raw=True, display_id=True)

    return NotebookProgress(show, clock=SystemClock())


def _render_line(text: str, done: float | None, *, of: int) -> str:
    value = "" if done is None else f' value="{done:g}" max="{of}"'
    return (
        f'<div style="{_LINE}"><progress style="{_BAR}"{value}></progress>'
        f"<span>{escape(text)}</span></div>"
    )


def _format_steps(job: _Job) -> str:
    if not job.steps or job.fraction is None:
        return ""
    return f"{round(job.fraction * job.steps)}/{job.steps} steps"
