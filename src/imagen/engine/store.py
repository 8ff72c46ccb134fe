"""Write the file of an image, or rescue it to another place."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from hashlib import sha256
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

import msgspec

from imagen.domain.call import Call, FileVersion, OutputTarget
from imagen.domain.errors import BackendError, NameTaken, StorageError
from imagen.domain.fit import Fit, describe_unfitted
from imagen.domain.media import EXTENSIONS, SVG
from imagen.domain.metadata.writer import embed_metadata
from imagen.domain.naming import (
    SIDECAR_SUFFIX,
    Destination,
    NameFacts,
    add_number,
)
from imagen.domain.result import AI_GENERATED, FailedImage, StoredImage
from imagen.domain.sidecar import Sidecar, write_sidecar
from imagen.domain.size import Size
from imagen.formats.container import ImageFacts, NotAnImage, read_facts

if TYPE_CHECKING:
    from imagen.engine.old_files import OldFiles
    from imagen.ports.images import ImageEditor
    from imagen.ports.storage import Storage

MAX_NAMES_TRIED = 100_000

_MAX_REMEMBERED = 10_000
"""File names that are remembered; the oldest are dropped."""


class FinishedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image in its final format and size, without embedded metadata.

    Attributes:
        losses: The information that the image has lost by that.
        unfitted: Why the image was not fitted to the requested size; "" if it was.
        error: Why the image could not be converted, if it should have been.
    """

    content: bytes
    facts: ImageFacts
    notes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    unfitted: str = ""
    error: StorageError | None = None


class Numbering:
    """Gives each request for the same file name a different number, from any thread.

    Without it, many requests with the same name in the same second would each try all
    the names that the others have just taken.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._lock = Lock()

    def names(self, name: str) -> Iterator[str]:
        """Yield the name, then the name with `-2`, `-3`, and so on, each once."""
        while True:
            number = self._next(name)
            yield name if number == 1 else add_number(name, number)

    def _next(self, name: str) -> int:
        with self._lock:
            number = self._last.get(name, 0) + 1
            self._last[name] = number
            if len(self._last) > _MAX_REMEMBERED:
                del self._last[next(iter(self._last))]
            return number


class StoreImage(msgspec.Struct, frozen=True, kw_only=True):
    """Converts, names and stores images, and never drops one.

    Attributes:
        load_editor: Called when there is something to edit, because it imports Pillow.
        rescues: Other places, in order, for images that the destination does not take.
        extras: The place for images beyond the requested ones; None uses `storage`.
        numbering: Shared by all that store images there at the same time; None relies
            on the storage to report names that are taken.
        old_files: The files that are replaced if the user names the new ones.
    """

    storage: "Storage"
    rescues: "tuple[Storage, ...]"
    load_editor: Callable[[], "ImageEditor"]
    place: OutputTarget = OutputTarget()
    extras: "Storage | None" = None
    numbering: Numbering | None = None
    old_files: "OldFiles | None" = None

    def examine_old_files(self, calls: Sequence[Call]) -> list[Call]:
        """Return the calls with the existing files that their images replace.

        Raises:
            InvalidRequest: one of them cannot be moved to the trash.
        """
        old_files = self.old_files
        return [old_files.examine(each) if old_files else each for each in calls]

    def read_facts(
        self, content: bytes, *, backend: str, sides: tuple[int, int] | None = None
    ) -> ImageFacts:
        """Return the format and size of an image.

        Args:
            sides: Width and height of an SVG that states none.

        Raises:
            BackendError: the bytes are not a complete image.
        """
        try:
            return read_facts(content, svg_sides=sides)
        except NotAnImage as why:
            raise BackendError(
                f"{backend} returned {len(content)} bytes that are not a complete "
                f"image: {why}."
            ) from why

    def finish(
        self,
        content: bytes,
        facts: ImageFacts,
        *,
        fit: Fit | None,
        size: Size,
        upscale: bool = False,
    ) -> FinishedImage:
        """Convert an image to the format of the file name, and to the requested size.

        Args:
            fit: How to fit another size to the requested one; None leaves the size.
            upscale: Whether an image may be enlarged more than twice.
        """
        media_type = self.place.destination.media_type or facts.media_type
        sides, unfitted = (facts.width, facts.height), ""
        misfit = fit is not None and sides != size.sides
        if fit and not upscale and fit.enlarges_too_much(sides, to=size.sides):
            unfitted, misfit = describe_unfitted(sides, size), False
        if media_type == facts.media_type and not misfit:
            return FinishedImage(content=content, facts=facts, unfitted=unfitted)
        if facts.media_type == SVG:
            # A template takes its extension from the image, a name has its own.
            named = self.place.destination.name is not None
            return FinishedImage(
                content=content,
                facts=facts,
                notes=("an SVG image cannot be converted or fitted",),
                unfitted=unfitted or ("it is an SVG image" if misfit else ""),
                error=StorageError("An SVG image cannot be converted or fitted.")
                if named
                else None,
            )
        if media_type not in EXTENSIONS or media_type == "image/gif":
            media_type = "image/png"
        try:
            redrawn = self.load_editor().redraw(
                content, media_type=media_type, fit=fit if misfit else None, size=size
            )
            redrawn_facts = read_facts(redrawn)
        except Exception as error:  # noqa: BLE001 - the image is stored anyway
            return FinishedImage(
                content=content,
                facts=facts,
                notes=(f"it could not be converted to {media_type}",),
                unfitted=unfitted or ("it could not be decoded" if misfit else ""),
                error=_as_storage_error(error),
            )
        changes = (
            [f"{fit} from {facts.width}x{facts.height} to {size}"] if misfit else []
        )
        if media_type != facts.media_type:
            changes.append(f"converted from {facts.media_type} to {media_type}")
        return FinishedImage(
            content=redrawn,
            facts=redrawn_facts,
            notes=(*changes, "other metadata of the original file was not copied"),
            losses=tuple(_list_losses(content, facts)),
            unfitted=unfitted,
        )

    def save(
        self,
        finished: FinishedImage,
        sidecar: Sidecar,
        *,
        number: int,
        count: int,
        at: datetime,
        source_type: str = AI_GENERATED,
        again: bool = False,
        replaces: FileVersion | None = None,
    ) -> StoredImage | FailedImage:
        """Store an image at the destination, or rescue it to another place.

        Args:
            source_type: How it was made, in IPTC's words (`Generated.source_type`).
            again: Whether a process that has died may have stored the image already. It
                is looked for then.
            replaces: The existing file of that name that is moved to the trash. No
                other file is replaced.

        Raises:
            Exception: the metadata cannot be encoded; nothing is stored yet.
        """
        content = finished.content
        if self.place.metadata:
            content = embed_metadata(
                content, finished.facts, sidecar, source_type=source_type
            )
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
        storage_error = finished.error
        if storage_error is None:
            try:
                return self._save(
                    self.extras if sidecar.extra and self.extras else self.storage,
                    self.place.destination,
                    image,
                    note,
                    facts=facts,
                    count=count,
                    again=again,
                    replaces=replaces,
                )
            except Exception as error:  # noqa: BLE001 - the image is stored anyway
                storage_error = _as_storage_error(error)
        return self._rescue(image, note, facts, storage_error)

    def _save(
        self,
        storage: "Storage",
        destination: Destination,
        image: StoredImage,
        note: bytes | None,
        *,
        facts: NameFacts,
        count: int,
        again: bool = False,
        replaces: FileVersion | None = None,
    ) -> StoredImage:
        names = destination.names(facts, number=image.number, count=count)
        if image.sidecar.extra:
            names = destination.extra_names(facts, count=count)
        if self.numbering is not None and destination.name is None and not again:
            names = self.numbering.names(next(names))
        for name in islice(names, MAX_NAMES_TRIED):
            if again and (found := _find_stored(storage, name, image)):
                return found
            try:
                with self._replacing(name, replaces):
                    location = storage.save(
                        name,
                        image.content,
                        media_type=image.facts.media_type,
                        sidecar=note,
                        again=again,
                    )
            except NameTaken:
                replaces = None
                continue
            return msgspec.structs.replace(image, location=location)
        raise StorageError(f"No free name was found after {MAX_NAMES_TRIED} tries.")

    def _replacing(
        self, name: str, version: FileVersion | None
    ) -> AbstractContextManager[None]:
        if version is None or self.old_files is None:
            return nullcontext()
        return self.old_files.replacing(name, version)

    def rescue_bytes(
        self, content: bytes, *, name: str, number: int, problem: str
    ) -> FailedImage:
        """Rescue the unchanged output of a backend, without metadata.

        Args:
            name: The name of the file without its extension, for this output only.
            problem: Why the output is not stored as an image, in a sentence.
        """
        from imagen.formats.file_type import guess_file_type  # noqa: PLC0415 - rare

        media_type, extension = guess_file_type(content)
        for storage in self.rescues:
            try:
                location = storage.save(
                    f"{name}.{extension}", content, media_type=media_type, again=True
                )
            except Exception:  # noqa: BLE001, S112 - try the next place
                continue
            rescued = StorageError(
                f"{problem} The file is safe at {location}.", rescued_at=location
            )
            return FailedImage(number=number, error=rescued)
        return FailedImage(number=number, error=StorageError(problem))

    def _rescue(
        self,
        image: StoredImage,
        note: bytes | None,
        facts: NameFacts,
        storage_error: StorageError,
    ) -> FailedImage:
        for storage in self.rescues:
            try:
                rescued = self._save(
                    storage, Destination(), image, note, facts=facts, count=1
                )
            except Exception:  # noqa: BLE001, S112 - try the next place
                continue
            error = StorageError(
                f"{storage_error.message} The image is safe at {rescued.location}.",
                hint=storage_error.hint,
                rescued_at=rescued.location,
            )
            return FailedImage(number=image.number, error=error, rescued=rescued)
        error = StorageError(
            f"{storage_error.message} It could not be stored in another place either.",
            hint=storage_error.hint,
        )
        return FailedImage(number=image.number, error=error)


def _list_losses(content: bytes, facts: ImageFacts) -> Iterator[str]:
    """Yield what an image loses when its pixels are encoded again."""
    from imagen.formats.details import read_details  # noqa: PLC0415 - not for all

    details = read_details(content)
    if facts.signed:
        yield "the C2PA provenance of the original is lost"
    if details.frames > 1:
        yield f"only the first of its {details.frames} frames is kept"
    if details.depth > 8:  # noqa: PLR2004 - what is written
        yield f"its {details.depth} bits per channel became 8"


def _find_stored(
    storage: "Storage", name: str, image: StoredImage
) -> StoredImage | None:
    """Return the stored image of that name, if its sidecar has the same id."""
    # Compared by the id, not by the bytes: they contain metadata, which this process
    # may write differently from the one that died.
    note, content = storage.read(name + SIDECAR_SUFFIX), storage.read(name)
    if note is None or content is None:
        return None
    try:
        sidecar = msgspec.json.decode(note, type=Sidecar)
        facts = read_facts(content, svg_sides=(sidecar.width, sidecar.height))
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
