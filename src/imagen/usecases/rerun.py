"""Make an image again: what it was made with, and from, and whether it is the same."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from posixpath import basename, dirname, join

import msgspec

from imagen.domain.errors import InvalidRequest, JournalError
from imagen.domain.instance import Instance
from imagen.domain.media import WRITABLE
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import GenerationRequest
from imagen.domain.rerun import (
    Overrides,
    Provenance,
    build_rerun_request,
    choose_backend,
    provenance_from_file,
    provenance_from_sidecar,
)
from imagen.domain.result import StoredImage
from imagen.domain.sidecar import Change, Reference
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.files import ListImages, ReadFile
from imagen.ports.history import History
from imagen.ports.images import ImageEditor
from imagen.ports.pixels import ComparePixels
from imagen.usecases.find import FindImage, FoundImage
from imagen.usecases.generate import GenerateImages


class RerunSource(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is to be made again.

    Attributes:
        found: Its file, and all that is said of it.
        origin: How it was made, by whoever knows best.
        backend: The instance that makes it again, unless another one is chosen.
        replaced: In whose place that stands, if it is not the one that made it.
        notes: What is to be said of that, each a sentence.
    """

    image: FoundImage
    provenance: Provenance
    backend: str
    replaced: Change | None = None
    notes: tuple[str, ...] = ()

    def media_type_for(self, backend: str) -> str | None:
        """Return the media type to ask that backend for; None leaves it its own.

        It was asked for that one, or sent it unasked; of another nobody knows.
        """
        note = self.image.best_sidecar
        if note is None or backend != self.provenance.backend:
            return None
        return note.mime_type if note.mime_type in WRITABLE.values() else None


class PrepareRerun(msgspec.Struct, frozen=True, kw_only=True):
    """Turns an image back into a request.

    Attributes:
        find: Finds the image.
        read: Reads files.
        images_in: Lists the images of a folder.
        history: What was made on this machine.
        instances: The backends of the config.
        default: The one that is used unless another is named.
        folders: Where images usually are.
    """

    find: FindImage
    read: ReadFile
    images_in: ListImages
    history: History
    instances: Mapping[str, Instance]
    default: str
    folders: Sequence[str] = ()

    def find_source(self, name: str) -> RerunSource:
        """Find out how the image was made, and what would make it again.

        Raises:
            InvalidRequest: there is no such image, or nobody says how it was made.
            JournalError: the history cannot be read, and is needed.
        """
        found = self.find.run(name)
        origin = _origin_of(found)
        if origin is None:
            raise InvalidRequest(
                f"Nothing says how {name} was made.",
                hint=f"`imagen inspect {name}` shows what it does say.",
            )
        backend, replaced = choose_backend(origin, self.instances, default=self.default)
        return RerunSource(
            image=found,
            provenance=origin,
            backend=backend,
            replaced=replaced,
            notes=(*found.warnings, *_doubts(found)),
        )

    def build_request(
        self, source: RerunSource, overrides: Overrides, *, maker: GenerateImages
    ) -> GenerationRequest:
        """Return the request that makes it again on the maker's backend.

        Raises:
            InvalidRequest: an image that it was made from is not found.
        """
        origin, location = source.provenance, source.image.location
        images = () if overrides.images is not None else origin.references
        mask = None if overrides.mask is not None else origin.mask
        instance = maker.instance
        return build_rerun_request(
            origin,
            overrides,
            instance=instance,
            capabilities_of=maker.capabilities,
            images=[self._reference(each, location) for each in images],
            mask=None if mask is None else self._reference(mask, location),
            replaced=source.replaced if instance.name == source.backend else None,
            notes=source.notes,
        )

    def _reference(self, wanted: Reference, location: str) -> ReferenceImage:
        for path in self._places(wanted, location):
            try:
                content = self.read(path)
                if content is None or sha256(content).hexdigest() != wanted.sha256:
                    continue
                facts = read_facts(content)
            except (InvalidRequest, NotAnImage):
                continue
            return ReferenceImage(
                name=wanted.name,
                sha256=wanted.sha256,
                media_type=facts.media_type,
                content=content,
            )
        raise InvalidRequest(
            f"The image was made from {wanted.name} (sha256 {wanted.sha256[:12]}...), "
            "which is not found by its content.",
            hint="Put it beside the image, or give one with --image.",
        )

    def _places(self, wanted: Reference, location: str) -> Iterator[str]:
        """Yield where a reference may be, the likeliest first."""
        folders = list(dict.fromkeys([dirname(location), *self.folders]))
        for folder in folders:
            yield join(folder, basename(wanted.name))
        try:
            for entry in self.history.find():
                if wanted.sha256 in {entry.sidecar.sha256, entry.sidecar.source_sha256}:
                    yield entry.location
        except JournalError:
            pass  # the folders are still there
        for folder in folders:
            yield from self.images_in(folder)


class VerifyImage(msgspec.Struct, frozen=True, kw_only=True):
    """Says whether an image that was made again shows the same.

    Attributes:
        compare: Compares what files show.
        editor: Redraws an image in the format of another.
    """

    compare: ComparePixels
    editor: ImageEditor

    def run(self, before: bytes, now: StoredImage) -> str:
        """Return how the new image differs; "" when every pixel is equal.

        What was stored in another format is compared as it would be in that of the
        old file, for a JPEG is never equal to what it was made from.

        Raises:
            StorageError: one of them cannot be decoded.
        """
        content, media_type = now.content, read_facts(before).media_type
        if media_type == "image/jpeg" != now.facts.media_type:
            content = self.editor.redraw(
                content, media_type=media_type, fit=None, size=None
            )
        return self.compare(before, content)


def _origin_of(found: FoundImage) -> Provenance | None:
    if found.best_sidecar is not None:
        return provenance_from_sidecar(found.best_sidecar)
    return None if found.metadata is None else provenance_from_file(found.metadata)


def _doubts(found: FoundImage) -> Iterator[str]:
    """Yield a sentence if what is said may be of another image."""
    note = found.best_sidecar
    if note is None or not (note.sha256 and found.sha256):
        return
    inside = found.embedded.id if found.embedded else ""
    if note.sha256 != found.sha256 and note.id != inside:
        yield f"{basename(found.location)} is not the file that its sidecar describes"
