"""What is known of a running request, for those who follow it."""

import asyncio

from imagen.domain.events import Event, Planned, Previewed, Progressed
from imagen.domain.result import FailedImage, StoredImage


class JobProgress:
    """Keeps the latest, so that who follows slowly misses steps and no image.

    Attributes:
        planned: Whether it was found possible; only then is anything sent.
        steps: How far each image is.
        previews: How each image looks so far.
        outcomes: What became of images.
        version: Another one whenever something is new.
    """

    def __init__(self) -> None:
        self.planned = False
        self.steps: dict[int, Progressed] = {}
        self.previews: dict[int, Previewed] = {}
        self.outcomes: list[StoredImage | FailedImage] = []
        self.version = 0
        self._changed = asyncio.Event()

    def listen(self, event: Event) -> None:
        """Hear an event."""
        match event:
            case Planned():
                self.planned = True
            case Progressed():
                self.steps[event.number] = event
            case Previewed():
                self.previews[event.number] = event
            case _:
                return
        self.notify()

    def add_outcome(self, outcome: StoredImage | FailedImage) -> None:
        """Take what became of an image."""
        self.outcomes.append(outcome)
        self.notify()

    def notify(self) -> None:
        """Have those who wait look again."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self, version: int) -> None:
        """Wait until something is newer than that version."""
        if self.version == version:
            await self._changed.wait()
