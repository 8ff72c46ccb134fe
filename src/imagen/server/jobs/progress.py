"""The progress of a running job, for the clients that follow it."""

import asyncio

from imagen.domain.events import Planned, Previewed, Progressed
from imagen.domain.result import FailedImage, StoredImage
from imagen.server.workers.messages import Update


# Not a queue of events: a client that reads slowly would make it grow without limit.
# With the latest state a slow client misses steps, but never an image.
class JobProgress:
    """The latest state of a job.

    Attributes:
        planned: True once the request was found valid; only then is anything sent.
        steps: The latest progress of each image, by its number.
        previews: The latest preview of each image, by its number.
        outcomes: The images that are stored or have failed.
        version: Increases with every change.
    """

    def __init__(self) -> None:
        self.planned = False
        self.steps: dict[int, Progressed] = {}
        self.previews: dict[int, Previewed] = {}
        self.outcomes: list[StoredImage | FailedImage] = []
        self.version = 0
        self._changed = asyncio.Event()

    def update(self, update: Update) -> None:
        """Record an event, or an image that is stored or has failed."""
        match update:
            case Planned():
                self.planned = True
            case Progressed():
                self.steps[update.number] = update
            case Previewed():
                self.previews[update.number] = update
            case StoredImage() | FailedImage():
                self.outcomes.append(update)
            case _:
                return
        self.notify()

    def notify(self) -> None:
        """Wake up all that wait for a change."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self, version: int) -> None:
        """Return as soon as the state is newer than `version`."""
        if self.version == version:
            await self._changed.wait()
