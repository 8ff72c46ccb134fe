"""Download an image from the cloud, and store it with its sidecar."""

from collections.abc import Callable

import msgspec

from imagen.domain import events
from imagen.domain.call import OutputTarget
from imagen.domain.cloud import CloudImage
from imagen.domain.errors import (
    BackendError,
    InvalidRequest,
    JournalError,
)
from imagen.domain.history import HistoryEntry
from imagen.domain.media import EXTENSIONS
from imagen.domain.naming import NameFacts
from imagen.domain.result import StoredImage
from imagen.domain.sidecar import Sidecar, write_sidecar
from imagen.engine.old_files import OldFiles
from imagen.engine.save import save_file
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.cloud import Cloud
from imagen.ports.delivery_queue import DeliveryQueue
from imagen.ports.history import History
from imagen.ports.spool import Spool
from imagen.ports.storage import Storage


class FetchImage(msgspec.Struct, frozen=True, kw_only=True):
    """Downloads an image and adds it to the history.

    Attributes:
        place: The file name, and whether a sidecar is stored.
        locate: Converts the location of an image to an absolute one.
        old_files: Moves an existing file to the trash if the user named the image; None
            replaces no file.
    """

    cloud: Cloud
    owner: str
    storage: Storage
    place: OutputTarget
    history: History
    queue: DeliveryQueue[HistoryEntry]
    spool: Spool
    locate: Callable[[str], str] = str
    old_files: OldFiles | None = None
    listen: events.Listener = events.ignore_event

    def run(self, name: str) -> StoredImage:
        """Store the image with that id, with a unique prefix of it, or the `last` one.

        A file that already has the same content is left as it is.

        Raises:
            InvalidRequest: the name matches no image, or several, or the existing file
                cannot be moved to the trash.
            StorageError: the image cannot be stored.
            ImagenError: the image cannot be downloaded.
        """
        image = self._find(name)
        content = self.cloud.download(image)
        try:
            facts = read_facts(content)
        except NotAnImage as why:
            raise BackendError(
                f"The copy of {image.sidecar.id} is not a complete image: {why}."
            ) from why
        stored = StoredImage(
            number=1,
            location=self._save(image.sidecar, content, facts.media_type),
            content=content,
            facts=facts,
            sidecar=image.sidecar,
        )
        self._add_to_history(stored)
        return stored

    def _find(self, name: str) -> CloudImage:
        if name == "last":
            image = next(iter(self.cloud.find(self.owner, limit=1)), None)
        else:
            image = self.cloud.get(self.owner, name) if name else None
        if image is None:
            raise InvalidRequest(
                f"No image {name!r} in the cloud.",
                hint="Run `imagen history --cloud` to list the images.",
            )
        return image

    def _save(self, sidecar: Sidecar, content: bytes, media_type: str) -> str:
        destination = self.place.destination
        names = destination.names(
            NameFacts(
                at=sidecar.made,
                prompt=sidecar.prompt,
                seed=sidecar.seed,
                backend=sidecar.backend,
                extension=EXTENSIONS[media_type],
            ),
            number=1,
            count=1,
        )
        return save_file(
            self.storage,
            names,
            content,
            media_type=media_type,
            sidecar=write_sidecar(sidecar) if self.place.sidecar else None,
            again=True,
            old_files=self.old_files,
        )

    def _add_to_history(self, image: StoredImage) -> None:
        entry = HistoryEntry(
            location=self.locate(image.location),
            sidecar=image.sidecar,
            owner=self.owner,
        )
        try:
            if self.history.get(image.sidecar.id) is None:
                # An entry with an owner is pending at once. This one is in the cloud.
                self.history.add([entry])
                self.queue.mark_delivered([image.sidecar.id])
                self.spool.discard([image.sidecar.id])
        except JournalError as error:
            self.listen(events.Warned(message=f"not recorded: {error.message}"))
