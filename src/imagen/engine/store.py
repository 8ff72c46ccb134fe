"""From the bytes of one image to its file, whatever stands in the way."""

from datetime import datetime
from hashlib import sha256
from itertools import islice

import msgspec

from imagen.domain.call import OutputTarget
from imagen.domain.errors import BackendError, NameTaken, StorageError
from imagen.domain.fit import Fit
from imagen.domain.media import EXTENSIONS
from imagen.domain.metadata.writer import embed_metadata
from imagen.domain.naming import (
    SIDECAR_SUFFIX,
    Destination,
    NameFacts,
    candidate_names,
)
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.sidecar import Sidecar, write_sidecar
from imagen.domain.size import Size
from imagen.engine.numbering import Numbering
from imagen.formats.container import ImageFacts, NotAnImage, read_facts
from imagen.ports.images import ImageEditor
from imagen.ports.storage import Storage

MAX_NAMES_TRIED = 100_000


class FinishedImage(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes as they will be stored, but for the note inside.

    Attributes:
        content: The file.
        facts: What it is.
        notes: What was done to it.
        losses: What it lost by that, and somebody may miss.
        trouble: Why it is still as it came, if it was to be redrawn.
    """

    content: bytes
    facts: ImageFacts
    notes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    error: StorageError | None = None


class StoreImage(msgspec.Struct, frozen=True, kw_only=True):
    """Finishes images and puts them where they belong; never drops one.

    Attributes:
        storage: Where they belong.
        rescues: Where they go when that fails, the first that works.
        editor: Redraws what has to be in another format or at another size.
        place: Which place that is, what the files are called there, and what goes with
            them.
        numbering: Shared by those who store there at once; None asks the storage alone.
    """

    storage: Storage
    rescues: tuple[Storage, ...]
    editor: ImageEditor
    place: OutputTarget = OutputTarget()
    numbering: Numbering | None = None

    def read_facts(self, content: bytes, *, backend: str) -> ImageFacts:
        """Return what the bytes are.

        Raises:
            BackendError: they are no whole image.
        """
        try:
            return read_facts(content)
        except NotAnImage as why:
            raise BackendError(
                f"{backend} sent {len(content)} bytes that are no whole image: {why}."
            ) from why

    def finish(
        self, content: bytes, facts: ImageFacts, *, fit: Fit | None, size: Size
    ) -> FinishedImage:
        """Return the bytes in the format of the file's name, and fitted if need be."""
        wanted = self.place.destination.media_type or facts.media_type
        misfit = fit is not None and (facts.width, facts.height) != size.sides
        if wanted == facts.media_type and not misfit:
            return FinishedImage(content=content, facts=facts)
        if wanted not in EXTENSIONS or wanted == "image/gif":
            wanted = "image/png"
        try:
            redrawn = self.editor.redraw(
                content, media_type=wanted, fit=fit if misfit else None, size=size
            )
            redrawn_facts = read_facts(redrawn)
        except Exception as error:  # noqa: BLE001 - whatever it is, the image is kept
            return FinishedImage(
                content=content,
                facts=facts,
                notes=(f"it could not be made {wanted}",),
                error=_as_storage_error(error),
            )
        done = [f"{fit} from {facts.width}x{facts.height} to {size}"] if misfit else []
        if wanted != facts.media_type:
            done.append(f"converted from {facts.media_type} to {wanted}")
        lost = "the C2PA provenance of the original is lost"
        return FinishedImage(
            content=redrawn,
            facts=redrawn_facts,
            notes=(*done, "whatever else the original file said is not in this one"),
            losses=(lost,) if facts.signed else (),
        )

    def save(
        self,
        finished: FinishedImage,
        sidecar: Sidecar,
        *,
        number: int,
        count: int,
        at: datetime,
        again: bool = False,
    ) -> StoredImage | FailedImage:
        """Store the image where it belongs, or else where it is safe.

        With `again`, it may be stored already by a process that has died since; then
        that is where it is, and nothing that lies there now is replaced.

        Raises:
            Exception: the note cannot be written down; nothing is stored yet.
        """
        content = finished.content
        if self.place.metadata:
            content = embed_metadata(content, finished.facts, sidecar)
        image = StoredImage(
            number=number,
            location="",
            content=content,
            facts=finished.facts,
            sidecar=msgspec.structs.replace(
                sidecar, bytes=len(content), sha256=sha256(content).hexdigest()
            ),
        )
        note = write_sidecar(image.sidecar) if self.place.sidecar else None
        facts = NameFacts(
            at=at,
            prompt=sidecar.prompt,
            seed=sidecar.seed,
            backend=sidecar.backend,
            extension=EXTENSIONS[finished.facts.media_type],
        )
        trouble = finished.error
        if trouble is None:
            try:
                return self._save(
                    self.storage,
                    self.place.destination,
                    image,
                    note,
                    facts=facts,
                    count=count,
                    again=again,
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, the image is kept
                trouble = _as_storage_error(error)
        return self._rescue(image, note, facts, trouble)

    def _save(
        self,
        storage: Storage,
        destination: Destination,
        image: StoredImage,
        note: bytes | None,
        *,
        facts: NameFacts,
        count: int,
        again: bool = False,
    ) -> StoredImage:
        names = destination.names(facts, number=image.number, count=count)
        replace = destination.name is not None and not again
        if again and destination.name is not None:
            names = candidate_names(next(names))
        elif self.numbering is not None and destination.name is None and not again:
            names = self.numbering.names(next(names))
        for name in islice(names, MAX_NAMES_TRIED):
            if again and (found := _found(storage, name, image)):
                return found
            try:
                location = storage.save(
                    name,
                    image.content,
                    media_type=image.facts.media_type,
                    sidecar=note,
                    replace=replace,
                    again=again,
                )
            except NameTaken:
                continue
            return msgspec.structs.replace(image, location=location)
        raise StorageError(f"No free name was found after {MAX_NAMES_TRIED} tries.")

    def rescue_bare(
        self,
        content: bytes,
        facts: ImageFacts,
        *,
        name: str,
        number: int,
        why: Exception,
    ) -> FailedImage:
        """Store an image for which not even a note could be written."""
        trouble = f"A fault of our own ({type(why).__name__}: {why}) came between."
        for storage in self.rescues:
            try:
                location = storage.save(
                    f"{name}.{EXTENSIONS[facts.media_type]}",
                    content,
                    media_type=facts.media_type,
                )
            except Exception:  # noqa: BLE001, S112 - then the next one
                continue
            error = StorageError(
                f"{trouble} The image is safe at {location}.", rescued_at=location
            )
            return FailedImage(number=number, error=error)
        return FailedImage(number=number, error=StorageError(trouble))

    def _rescue(
        self,
        image: StoredImage,
        note: bytes | None,
        facts: NameFacts,
        trouble: StorageError,
    ) -> FailedImage:
        for storage in self.rescues:
            try:
                rescued = self._save(
                    storage, Destination(), image, note, facts=facts, count=1
                )
            except Exception:  # noqa: BLE001, S112 - then the next one
                continue
            error = StorageError(
                f"{trouble.message} The image is safe at {rescued.location}.",
                hint=trouble.hint,
                rescued_at=rescued.location,
            )
            return FailedImage(number=image.number, error=error, rescued=rescued)
        error = StorageError(
            f"{trouble.message} No other place could take the image either.",
            hint=trouble.hint,
        )
        return FailedImage(number=image.number, error=error)


def _found(storage: Storage, name: str, image: StoredImage) -> StoredImage | None:
    """Return the image as it lies under the name already, by the id in its note."""
    note, content = storage.read(name + SIDECAR_SUFFIX), storage.read(name)
    if note is None or content is None:
        return None
    try:
        sidecar = msgspec.json.decode(note, type=Sidecar)
        facts = read_facts(content)
    except (msgspec.MsgspecError, NotAnImage):
        return None
    if sidecar.id != image.sidecar.id:
        return None
    location = storage.save(
        name, content, media_type=facts.media_type, sidecar=note, again=True
    )
    return StoredImage(
        number=image.number,
        location=location,
        content=content,
        facts=facts,
        sidecar=sidecar,
    )


def _as_storage_error(error: Exception) -> StorageError:
    if isinstance(error, StorageError):
        return error
    return StorageError(
        f"The image could not be stored: {type(error).__name__}: {error}."
    )
