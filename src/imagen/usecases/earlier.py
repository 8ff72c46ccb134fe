"""The images of earlier calls: where they are now, or why they are gone."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count

import msgspec

from imagen.domain.call import Call
from imagen.domain.errors import ImagenError, InvalidRequest, JournalError, StorageError
from imagen.domain.result import FailedImage, StoredImage
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.history import History
from imagen.usecases.find import FindImage

GONE_HINT = "It is not paid for again; use --fresh to make a new one."


class FindEarlierImages(msgspec.Struct, frozen=True, kw_only=True):
    """Finds images that were made before, restores them, and never makes one.

    Attributes:
        restore: Restores an image from the trash; returns False if it is not there.
        fetch: Downloads the copy of an image; returns None if there is no cloud.
        find_rescued: Returns the path of an output that was rescued, by its id.
        is_rescued: Returns whether a location is in a folder for rescued files.
    """

    find: FindImage
    history: History
    restore: Callable[[str], bool]
    fetch: Callable[[str], StoredImage | None]
    find_rescued: Callable[[str], str | None]
    is_rescued: Callable[[str], bool]

    def exists(self, image_id: str) -> bool:
        """Return whether the history has the image, or its output was rescued.

        Raises:
            JournalError: the history cannot be read.
        """
        return (
            self.history.get(image_id) is not None
            or self.find_rescued(image_id) is not None
        )

    def load(
        self, image_id: str, *, number: int, call: Call | None = None
    ) -> StoredImage | FailedImage:
        """Return the image as it is stored, or the reason why it is gone.

        Args:
            number: Its position in the request, from 1.
            call: The call; its last image is returned with the extra ones.
        """
        try:
            if rescued := self.find_rescued(image_id):
                message = f"Image {image_id} is safe at {rescued}."
                return _fail(number, message, rescued_at=rescued)
            image = self._read(image_id, number) or self._recover(image_id, number)
        except (JournalError, InvalidRequest, StorageError) as error:
            return _fail(number, error.message, error.hint)
        if image is None:
            return _fail(
                number, f"Image {image_id} was made, and its file is gone.", GONE_HINT
            )
        if call is not None and image_id == call.image_ids[-1]:
            image = msgspec.structs.replace(image, extras=self._extras(call, number))
        if self.is_rescued(image.location):
            rescued_error = StorageError(
                f"Image {image_id} is safe at {image.location}.",
                rescued_at=image.location,
            )
            return FailedImage(number=number, error=rescued_error, rescued=image)
        return image

    def load_all(self, ids: Sequence[str]) -> list[StoredImage | FailedImage]:
        """Return the images of a finished request, in order."""
        return [self.load(each, number=number) for number, each in enumerate(ids, 1)]

    def _read(self, image_id: str, number: int) -> StoredImage | None:
        """Return the image that the history has; None if its file is gone."""
        if self.history.get(image_id) is None:
            return None
        found = self.find.run(image_id)
        if found.content is None or found.entry is None:
            return None
        sidecar = found.entry.sidecar
        try:
            facts = read_facts(found.content, svg_sides=(sidecar.width, sidecar.height))
        except NotAnImage:
            return None
        return StoredImage(
            number=number,
            location=found.location,
            content=found.content,
            facts=facts,
            sidecar=sidecar,
        )

    def _recover(self, image_id: str, number: int) -> StoredImage | None:
        blocked: ImagenError | None = None
        copy: StoredImage | None = None
        try:
            if self.restore(image_id):
                return self._read(image_id, number)
        except ImagenError as error:
            blocked = error
        with suppress(ImagenError):
            copy = self.fetch(image_id)
        if copy is None and blocked is not None:
            raise StorageError(
                f"Image {image_id} was made, and is in the trash: {blocked.message}",
                hint=f"{blocked.hint} `imagen trash restore {image_id}` restores it.",
            )
        return copy and msgspec.structs.replace(copy, number=number)

    def _extras(self, call: Call, number: int) -> tuple[StoredImage, ...]:
        extras: list[StoredImage] = []
        for position in count(call.job.count):
            extra = self._read(call.output_id(position), number)
            if extra is None:
                return tuple(extras)
            extras.append(extra)
        return ()


def _fail(
    number: int, message: str, hint: str = "", *, rescued_at: str | None = None
) -> FailedImage:
    error = StorageError(message, hint=hint, rescued_at=rescued_at)
    return FailedImage(number=number, error=error)
