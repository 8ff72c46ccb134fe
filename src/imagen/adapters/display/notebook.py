"""Show images and progress in a notebook, as HTML that needs no other file."""

import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from html import escape
from threading import Lock
from typing import Protocol, TypeAlias, cast

from imagen.adapters.system.clock import SystemClock
from imagen.domain import events
from imagen.domain.events import Event
from imagen.domain.money.cost import format_cost
from imagen.domain.sidecar import Sidecar

MIN_INTERVAL = 0.1
"""Seconds between two updates; each is sent to the browser."""
MAX_BARS = 8
MAX_WARNINGS = 8

_FIGURE = "margin:0;max-width:100%;display:inline-block;vertical-align:top"
_CAPTION = "font:12px/1.5 sans-serif;opacity:.75;overflow-wrap:anywhere"
_GRID = (
    "display:grid;gap:12px;"
    "grid-template-columns:repeat(auto-fill,minmax(min(240px,100%),1fr))"
)
_LONGEST_PROMPT = 200
_LINE = "font:12px/1.6 sans-serif;display:flex;gap:.75em;align-items:center"
_BAR = "width:12em"
_TABLE = "font:12px/1.6 sans-serif"
_SOFT = "opacity:.75;overflow-wrap:anywhere"


def render_figure(note: Sidecar, location: str, content: bytes | None) -> str:
    """Return an image with its caption as HTML; without content, the caption only."""
    prompt = note.prompt
    if len(prompt) > _LONGEST_PROMPT:
        prompt = prompt[:_LONGEST_PROMPT] + "…"
    made = (
        note.backend,
        note.model if note.model != note.backend else "",
        "" if note.seed is None else f"seed {note.seed}",
        f"{note.steps} steps" if note.steps else "",
        f"{note.width}x{note.height}",
        format_cost(note.cost_usd) or "cost unknown",
        "" if content else "the file was deleted or changed",
    )
    picture = ""
    if content:
        picture = (
            f'<img src="data:{note.mime_type};base64,{b64encode(content).decode()}" '
            f'alt="{escape(prompt)}" style="max-width:100%;height:auto" '
            f'width="{note.width}">'
        )
    return (
        f'<figure style="{_FIGURE}">{picture}'
        f'<figcaption style="{_CAPTION}">{escape(prompt)}<br>'
        f"{escape(_join(*made))}<br>{escape(location)}</figcaption></figure>"
    )


def render_facts(facts: Mapping[str, str]) -> str:
    """Return names and values as an HTML table."""
    rows = (
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left;overflow-wrap:anywhere">{escape(value)}</td></tr>'
        for name, value in facts.items()
    )
    return f'<table style="{_TABLE}">{"".join(rows)}</table>'


def render_grid(figures: Iterable[str]) -> str:
    """Return figures as an HTML grid that adapts to the width."""
    return f'<div style="{_GRID}">{"".join(figures)}</div>'


Bundle: TypeAlias = Mapping[str, str]
"""The same content by media type; the notebook shows the best one it supports."""


class Handle(Protocol):
    """A part of a cell's output that can be replaced."""

    def update(self, obj: object, **options: object) -> None:
        """Replace the content."""
        ...


class NotebookProgress:
    """An event listener that shows the progress in one part of the output.

    Thread-safe. Nothing is shown before the first event.
    """

    def __init__(
        self, display: Callable[[Bundle], Handle | None], *, clock: SystemClock
    ) -> None:
        self._display = display
        self._clock = clock
        self._began = clock.monotonic()
        self._lock = Lock()
        self._handle: Handle | None = None
        self._shown_at = 0.0
        self._images = 0
        self._done = 0
        self._failed = 0
        self._running: dict[int, events.Progressed | None] = {}
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
                self._running = {}
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
                self._running[number] = None
            case events.Progressed(number=number):
                self._running[number] = event
            case events.Stored(number=number):
                self._running.pop(number, None)
                self._done += 1
            case events.Failed(number=number):
                self._running.pop(number, None)
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
        for number, progress in sorted(self._running.items())[:MAX_BARS]:
            text = _join(
                f"image {number}" if self._images > 1 else "", _describe(progress)
            )
            fraction = None if progress is None else progress.fraction
            lines.append(_render_line(text, fraction, of=1))
        warnings = [f"warning: {message}" for message in self._warnings]
        lines += [
            f'<div style="{_LINE};{_SOFT}">{escape(line)}</div>' for line in warnings
        ]
        return {
            "text/html": "".join(lines),
            "text/plain": "\n".join([summary, *warnings]),
        }

    def _summary(self) -> str:
        images = "1 image" if self._images == 1 else f"{self._images} images"
        seconds = f"{self._clock.monotonic() - self._began:.1f} s"
        failed = f"{self._failed} failed" if self._failed else ""
        if not self._closed:
            done = f"{self._done} of {images}" if self._images > 1 else images
            return _join(done, failed, seconds)
        missing = self._images - self._done - self._failed
        return _join(images, failed, f"{missing} not made" if missing else "", seconds)


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


def _describe(progress: events.Progressed | None) -> str:
    if progress is None:
        return ""
    if not progress.steps or progress.fraction is None:
        return progress.note
    return f"{round(progress.fraction * progress.steps)}/{progress.steps} steps"


def _join(*parts: str) -> str:
    return " · ".join(filter(None, parts))
