"""Find an image by path, id or `last`, with all its metadata."""

import re
from hashlib import sha256
from posixpath import basename

import msgspec

from imagen.domain.errors import InvalidRequest, JournalError
from imagen.domain.history import HistoryEntry
from imagen.domain.inspection import compare_with_sidecar
from imagen.domain.metadata.embedded import EmbeddedMetadata
from imagen.domain.metadata.reader import read_embedded_metadata
from imagen.domain.naming import SIDECAR_SUFFIX
from imagen.domain.sidecar import Sidecar, read_sidecar
from imagen.formats.container import NotAnImage
from imagen.ports.files import ReadFile
from imagen.ports.history import History

LAST = "last"
STREAM = "-"
"""The location in the history of an image that was written to standard output."""

_UNREADABLE = "The history cannot be read; run `imagen history` to see why."

_ID = re.compile(r"[0-9a-f-]{1,36}", re.ASCII | re.IGNORECASE)


class FoundImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image file and all its metadata.

    Attributes:
        location: Where the file is, or was.
        content: The whole file; None if it is missing.
        sha256: The hash of the content; "" without content.
        metadata: The metadata in the file; None without content.
        sidecar: The sidecar beside the file, which may describe other content.
        warnings: Which metadata could not be read, and why, without paths.
        missing_reason: Why the content is missing, in a sentence.
    """

    location: str
    content: bytes | None = None
    sha256: str = ""
    metadata: EmbeddedMetadata | None = None
    sidecar: Sidecar | None = None
    entry: HistoryEntry | None = None
    warnings: tuple[str, ...] = ()
    missing_reason: str = ""

    @property
    def media_type(self) -> str:
        """The media type of the file; "" without content."""
        return self.metadata.facts.media_type if self.metadata else ""

    @property
    def embedded(self) -> Sidecar | None:
        """The sidecar that imagen has embedded in the file."""
        recipes = self.metadata.recipes if self.metadata else ()
        return next((each.sidecar for each in recipes if each.sidecar), None)

    @property
    def best_sidecar(self) -> Sidecar | None:
        """The most complete sidecar that describes this image.

        None if imagen did not make it. `metadata` may then have that of another tool.
        """
        recorded = self.entry.sidecar if self.entry else None
        embedded = self.embedded
        agreement = compare_with_sidecar(self.sidecar, self.sha256, embedded)
        if agreement in {"same", "changed"}:
            return self.sidecar
        return recorded or embedded or self.sidecar


class FindImage(msgspec.Struct, frozen=True, kw_only=True):
    """Finds an image by its path, its id, a unique prefix of its id, or `last`.

    A file takes precedence over an id of the same spelling. `last` is always the newest
    image of this machine; a file of that name is `./last`.
    """

    read: ReadFile
    history: History

    def run(self, name: str) -> FoundImage:
        """Return the image with that name, with its content unless that is missing.

        Raises:
            InvalidRequest: the name matches no image, or several, or the file is not an
                image in a supported format.
            JournalError: the history is needed, and cannot be read.
        """
        content = self.read(name) if name not in {"", LAST} else None
        if content is not None:
            found = self._read_metadata(name, content)
            entry, warnings = self._look_up(found)
            warnings = found.warnings + warnings
            return msgspec.structs.replace(found, entry=entry, warnings=warnings)
        entry = self.history.get(name) if name == LAST or _ID.fullmatch(name) else None
        if entry is None:
            raise _unknown(name)
        return self._from_entry(entry)

    def load(self, name: str) -> tuple[FoundImage, bytes]:
        """Return the image with that name, and its content.

        Raises:
            InvalidRequest: as in `run`, or the file is missing.
        """
        found = self.run(name)
        if found.content is None:
            raise InvalidRequest(found.missing_reason)
        return found, found.content

    def _from_entry(self, entry: HistoryEntry) -> FoundImage:
        location, note = entry.location, entry.sidecar

        def missing(why: str) -> FoundImage:
            reason = f"The file of image {note.id} is missing: {why}."
            return FoundImage(location=location, entry=entry, missing_reason=reason)

        if location == STREAM:
            return missing("it was written to standard output")
        try:
            content = self.read(location)
        except InvalidRequest as error:
            return missing(error.message.removesuffix("."))
        if content is None:
            return missing(f"{location} does not exist")
        try:
            found = self._read_metadata(location, content)
        except InvalidRequest:
            return missing(f"{location} is not an image any more")
        known = {each.id for each in (found.sidecar, found.embedded) if each}
        if found.sha256 != note.sha256 and note.id not in known:
            return missing(f"{location} is another image now")
        return msgspec.structs.replace(found, entry=entry)

    def _read_metadata(self, location: str, content: bytes) -> FoundImage:
        try:
            making = read_embedded_metadata(content)
        except NotAnImage as why:
            raise InvalidRequest(f"{location} is not a complete image: {why}.") from why
        sidecar, warnings = self._read_sidecar(location)
        return FoundImage(
            location=location,
            content=content,
            sha256=sha256(content).hexdigest(),
            metadata=making,
            sidecar=sidecar,
            warnings=warnings,
        )

    def _read_sidecar(self, location: str) -> tuple[Sidecar | None, tuple[str, ...]]:
        name = location + SIDECAR_SUFFIX
        try:
            content = self.read(name)
            return (None if content is None else read_sidecar(content)), ()
        except InvalidRequest as error:
            return None, (error.message.replace(name, basename(name)),)
        except ValueError as error:
            return None, (f"{basename(name)} is not a sidecar of imagen: {error}.",)

    def _look_up(
        self, found: FoundImage
    ) -> tuple[HistoryEntry | None, tuple[str, ...]]:
        """Return the history entry with the same id, or else with the same content."""
        note = found.best_sidecar
        try:
            if note is None:
                entries = self.history.find()
                same = (e for e in entries if e.sidecar.sha256 == found.sha256)
                return next(same, None), ()
            entry = self.history.get(note.id)
            return (entry if entry and entry.sidecar.id == note.id else None), ()
        except JournalError:
            # The file and its own metadata are still useful.
            return None, (_UNREADABLE,)
        except InvalidRequest:
            # The history does not have the id, but several that begin with it.
            return None, ()


def _unknown(name: str) -> InvalidRequest:
    if not name:
        return InvalidRequest("The name of the image is empty.")
    if name == LAST:
        return InvalidRequest("No image was made on this machine yet.")
    suffix = ", and no image with this id" if _ID.fullmatch(name) else ""
    return InvalidRequest(
        f"No such file: {name}{suffix}.",
        hint="Run `imagen history` to list the images of this machine.",
    )
