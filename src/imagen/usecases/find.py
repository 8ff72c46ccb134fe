"""From the name of an image, however it is called, to its file and every note."""

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
"""What history calls the place of an image that went to standard output."""

_UNREAD = "The history cannot be read; `imagen history` says why."

_ID = re.compile(r"[0-9a-f-]{1,36}", re.ASCII | re.IGNORECASE)


class FoundImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image file, and everything that is said about it in the places there are.

    Attributes:
        location: Where the file is, or was.
        content: The whole file; None when it is not there any more.
        sha256: Of the content; "" without one.
        making: What the file itself says; None without one.
        sidecar: The note beside it, whether or not it is about these bytes.
        entry: What the history of this machine remembers of it.
        warnings: Which note could not be read, and why; none says where it is.
        gone: Why there is no content, in a sentence.
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
        """What the file is; "" without one."""
        return self.metadata.facts.media_type if self.metadata else ""

    @property
    def embedded(self) -> Sidecar | None:
        """Imagen's own note inside the file."""
        recipes = self.metadata.recipes if self.metadata else ()
        return next((each.sidecar for each in recipes if each.sidecar), None)

    @property
    def best_sidecar(self) -> Sidecar | None:
        """The note that knows most of those that are about this image.

        None when no note of imagen's is known; another tool's words may be in `making`.
        """
        remembered = self.entry.sidecar if self.entry else None
        inside = self.embedded
        if compare_with_sidecar(self.sidecar, self.sha256, inside) in {
            "same",
            "changed",
        }:
            return self.sidecar
        return remembered or inside or self.sidecar


class FindImage(msgspec.Struct, frozen=True, kw_only=True):
    """Finds an image by its path, its id, a unique beginning of its id, or `last`.

    A file goes before an id that is written the same; `last` is always the newest
    image of this machine, and a file of that name is `./last`.

    Attributes:
        read: Reads files.
        history: What was made on this machine.
    """

    read: ReadFile
    history: History

    def run(self, name: str) -> FoundImage:
        """Return the image of that name, with its file if that is still there.

        Raises:
            InvalidRequest: there is none of that name, or several; or it is no image
                of a format that imagen reads.
            JournalError: the history cannot be read, and is needed.
        """
        content = self.read(name) if name not in {"", LAST} else None
        if content is not None:
            return self._of_path(name, content)
        entry = self.history.get(name) if name == LAST or _ID.fullmatch(name) else None
        if entry is None:
            raise _unknown(name)
        return self._of_entry(entry)

    def load(self, name: str) -> tuple[FoundImage, bytes]:
        """Return the image of that name, and its content.

        Raises:
            InvalidRequest: as in `run`, or its file is not there any more.
            JournalError: the history cannot be read, and is needed.
        """
        found = self.run(name)
        if found.content is None:
            raise InvalidRequest(found.missing_reason)
        return found, found.content

    def _of_path(self, location: str, content: bytes) -> FoundImage:
        found = self._described(location, content)
        entry, warnings = self._remembered(found)
        return msgspec.structs.replace(
            found, entry=entry, warnings=found.warnings + warnings
        )

    def _of_entry(self, entry: HistoryEntry) -> FoundImage:
        location, note = entry.location, entry.sidecar

        def without(why: str) -> FoundImage:
            gone = f"The file of image {note.id} is gone: {why}."
            return FoundImage(location=location, entry=entry, missing_reason=gone)

        if location == STREAM:
            return without("it went to standard output")
        try:
            content = self.read(location)
        except InvalidRequest as error:
            return without(error.message.removesuffix("."))
        if content is None:
            return without(f"it was at {location}")
        try:
            found = self._described(location, content)
        except InvalidRequest:
            return without(f"something else is at {location} now")
        known = {each.id for each in (found.sidecar, found.embedded) if each}
        if found.sha256 != note.sha256 and note.id not in known:
            return without(f"another image is at {location} now")
        return msgspec.structs.replace(found, entry=entry)

    def _described(self, location: str, content: bytes) -> FoundImage:
        try:
            making = read_embedded_metadata(content)
        except NotAnImage as why:
            raise InvalidRequest(f"{location} is no whole image: {why}.") from why
        sidecar, warnings = self._beside(location)
        return FoundImage(
            location=location,
            content=content,
            sha256=sha256(content).hexdigest(),
            metadata=making,
            sidecar=sidecar,
            warnings=warnings,
        )

    def _beside(self, location: str) -> tuple[Sidecar | None, tuple[str, ...]]:
        name = location + SIDECAR_SUFFIX
        try:
            content = self.read(name)
            return (None if content is None else read_sidecar(content)), ()
        except InvalidRequest as error:
            return None, (error.message.replace(name, basename(name)),)
        except ValueError as error:
            return None, (f"{basename(name)} is no sidecar of imagen's: {error}.",)

    def _remembered(
        self, found: FoundImage
    ) -> tuple[HistoryEntry | None, tuple[str, ...]]:
        """Look the image up by the id in a note about it, or else by its bytes."""
        note = found.best_sidecar
        try:
            if note is None:
                entries = self.history.find()
                same = (e for e in entries if e.sidecar.sha256 == found.sha256)
                return next(same, None), ()
            entry = self.history.get(note.id)
            return (entry if entry and entry.sidecar.id == note.id else None), ()
        except JournalError:  # the file is there, and says what it says
            return None, (_UNREAD,)
        except InvalidRequest:  # its id is only the beginning of others'
            return None, ()


def _unknown(name: str) -> InvalidRequest:
    if not name:
        return InvalidRequest("The name of the image is empty.")
    if name == LAST:
        return InvalidRequest("No image was made here yet.")
    what = "and no image with such an id" if _ID.fullmatch(name) else ""
    return InvalidRequest(
        " ".join(filter(None, (f"There is no file {name}", what))) + ".",
        hint="`imagen history` lists the images that were made here.",
    )
