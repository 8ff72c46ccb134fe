"""What is known of a running request: from threads that work to those who follow."""

import asyncio

from imagen.domain.events import Event, Planned, Previewed, Progressed
from imagen.domain.result import FailedImage, StoredImage


class Feed:
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
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def listen(self, event: Event) -> None:
        """Hear an event, from any thread."""
        if isinstance(event, Planned | Progressed | Previewed):
            self._loop.call_soon_threadsafe(self._take, event)

    def keep(self, outcome: StoredImage | FailedImage) -> None:
        """Take what became of an image, from any thread."""
        self._loop.call_soon_threadsafe(self._take, outcome)

    def wake(self) -> None:
        """Have those who wait look again."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, seen: int) -> None:
        """Wait until something is newer than that version."""
        if self.version == seen:
            await self._changed.wait()

    def _take(self, what: Event | StoredImage | FailedImage) -> None:
        match what:
            case Planned():
                self.planned = True
            case Progressed():
                self.steps[what.number] = what
            case Previewed():
                self.previews[what.number] = what
            case StoredImage() | FailedImage():
                self.outcomes.append(what)
            case _:
                pass
        self.wake()
