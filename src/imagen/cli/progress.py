"""Progress bars on a terminal: steps, rate and elapsed time."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

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
from imagen.domain.printable import escape_control


def _columns(amount: ProgressColumn) -> tuple[ProgressColumn, ...]:
    text, bar = TextColumn("{task.description}"), BarColumn(bar_width=24)
    return SpinnerColumn(), text, bar, amount, TimeElapsedColumn()


class ProgressBar(Progress):
    """An event listener that shows the progress of each image; safe from any thread."""

    def __init__(self, console: Console, *, label: str) -> None:
        super().__init__(*_columns(_Steps()), console=console, transient=True)
        self._label = label
        self._images = 1
        self._bars: dict[int, TaskID] = {}

    @contextmanager
    def hide(self) -> Generator[None]:
        """Remove the bar while other text is printed."""
        # Messages do not go through rich, which would otherwise draw over them.
        self.stop()
        try:
            yield
        finally:
            self.start()

    def __call__(self, event: Event) -> None:
        """Add, update or remove the bar of an image."""
        match event:
            case events.Planned(images=images):
                self._images = images
            # Calls of several commands that are resumed may share a number, and a bar.
            case events.Started(number=number) if number not in self._bars:
                self._bars[number] = self.add_task(
                    f"image {number} of {self._images}"
                    if self._images > 1
                    else self._label,
                    total=None,
                    steps=None,
                    note="",
                )
            case events.Progressed(number=number) if number in self._bars:
                self.update(
                    self._bars[number],
                    total=None if event.fraction is None else 1.0,
                    completed=event.fraction or 0.0,
                    steps=event.steps,
                    note=event.note,
                )
            case events.Stored(number=number) | events.Failed(number=number):
                bar = self._bars.pop(number, None)
                if bar is not None:
                    self.remove_task(bar)
            case _:
                pass


class DeliveryBar(Progress):
    """An event listener that shows the progress of uploads to the cloud."""

    def __init__(self, console: Console, pending: Mapping[Channel, int]) -> None:
        amount = MofNCompleteColumn()
        super().__init__(*_columns(amount), console=console, transient=True)
        self._bars = {
            channel: self.add_task(CHANNEL_LABELS[channel], total=count)
            for channel, count in pending.items()
            if count
        }

    def __call__(self, event: Event) -> None:
        """Advance the bar of a channel."""
        if isinstance(event, events.Delivered) and event.channel in self._bars:
            self.advance(self._bars[event.channel], event.count)


class _Steps(ProgressColumn):
    """A column such as `7/20 steps, 3.1/s`; without steps, the note of the backend."""

    def render(self, task: Task) -> Text:
        """Return the text for one bar."""
        steps = task.fields.get("steps")
        if not steps:
            note = escape_control(str(task.fields.get("note") or ""))
            return Text(note, style="dim")
        done = round(task.completed * steps)
        speed = task.finished_speed or task.speed
        rate = f", {speed * steps:.1f}/s" if speed else ""
        return Text(f"{done}/{steps} steps{rate}", style="dim")
