"""The bar on a terminal: steps, their rate, and the time it has taken."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from imagen.domain import events
from imagen.domain.delivery import CHANNEL_LABELS, Channel
from imagen.domain.events import Event

_WHOLE = 1.0


def create_progress_bar(doing: str) -> "ProgressBar | None":
    """Return a bar, if the terminal can move its cursor back (TERM=dumb cannot)."""
    console = Console(stderr=True)
    return None if console.is_dumb_terminal else ProgressBar(console, doing=doing)


class ProgressBar:
    """Shows how far each image is; hears the events from any thread."""

    def __init__(self, console: Console, *, doing: str) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Steps(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._doing = doing
        self._images = 1
        self._bars: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def hidden(self) -> Generator[None]:
        """Take the bar away while something else is printed."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def __call__(self, event: Event) -> None:
        """Move a bar, or add or remove one."""
        match event:
            case events.Planned(images=images):
                self._images = images
            case events.Started(number=number):
                self._bars[number] = self._progress.add_task(
                    f"image {number} of {self._images}"
                    if self._images > 1
                    else self._doing,
                    total=None,
                    steps=None,
                    note="",
                )
            case events.Progressed(number=number) if number in self._bars:
                self._progress.update(
                    self._bars[number],
                    total=None if event.fraction is None else _WHOLE,
                    completed=event.fraction or 0.0,
                    steps=event.steps,
                    note=event.note,
                )
            case events.Stored(number=number) | events.Failed(number=number):
                bar = self._bars.pop(number, None)
                if bar is not None:
                    self._progress.remove_task(bar)
            case _:
                pass


class DeliveryBar:
    """Shows how much of what is owed to the cloud is there; hears the events."""

    def __init__(self, console: Console, owed: Mapping[Channel, int]) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._bars = {
            channel: self._progress.add_task(CHANNEL_LABELS[channel], total=count)
            for channel, count in owed.items()
            if count
        }

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Move a bar."""
        if isinstance(event, events.Delivered) and event.channel in self._bars:
            self._progress.advance(self._bars[event.channel], event.count)


def create_delivery_bar(owed: Mapping[Channel, int]) -> DeliveryBar | None:
    """Return the bars, if the terminal can move its cursor back."""
    console = Console(stderr=True)
    return None if console.is_dumb_terminal else DeliveryBar(console, owed)


class _Steps(ProgressColumn):
    """`7/20 steps, 3.1/s`, or else what the backend says it does."""

    def render(self, task: Task) -> Text:
        """Return the text beside one bar."""
        steps = task.fields.get("steps")
        if not steps:
            return Text(str(task.fields.get("note") or ""), style="dim")
        done = round(task.completed * steps)
        speed = task.finished_speed or task.speed
        rate = f", {speed * steps:.1f}/s" if speed else ""
        return Text(f"{done}/{steps} steps{rate}", style="dim")
