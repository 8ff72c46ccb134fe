"""Generate an image again from its metadata, and compare the result."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from posixpath import basename, dirname, join

import msgspec

from imagen.domain.errors import InvalidRequest, JournalError
from imagen.domain.instance import Instance
from imagen.domain.media import WRITABLE
from imagen.domain.reference import ReferenceImage, check_reference_size
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
from imagen.domain.style import Style
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.files import ListImages, ReadFile
from imagen.ports.history import History
from imagen.ports.images import ComparePixels, ImageEditor
from imagen.usecases.find import FindImage, FoundImage
from imagen.usecases.generate import GenerateImages


class RerunSource(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is to be generated again.

    Attributes:
        provenance: How the image was made, from the most complete metadata.
        backend: The backend to use.
        replaced: The change from the original backend, unless the user chose another.
        notes: Warnings for the user, each a sentence.
    """

    image: FoundImage
    provenance: Provenance
    backend: str
    replaced: Change | None = None
    notes: tuple[str, ...] = ()

    @property
    def media_type(self) -> str | None:
        """The media type to request from the backend; None for its default.

        The original backend is known to return the type of the image. Another one may
        not support it.
        """
        note = self.image.best_sidecar
        if note is None or self.backend != self.provenance.backend:
            return None
        return note.mime_type if note.mime_type in WRITABLE.values() else None


class PrepareRerun(msgspec.Struct, frozen=True, kw_only=True):
    """Builds a request from the metadata of an image.

    Attributes:
        default: The default backend; None if there is none.
        styles: The styles by name.
        folders: The folders in which reference images are searched.
    """

    find: FindImage
    read: ReadFile
    images_in: ListImages
    history: History
    instances: Mapping[str, Instance]
    default: str | None
    styles: Mapping[str, Style] = {}
    folders: Sequence[str] = ()

    def find_source(self, name: str, *, backend: str | None = None) -> RerunSource:
        """Return the image with its provenance, and the backend to use.

        Args:
            backend: The backend that the user chose; None for that of the image.

        Raises:
            InvalidRequest: no such image exists, it has no usable metadata, or there
                is no backend for it.
        """
        found = self.find.run(name)
        provenance = None
        if found.best_sidecar is not None:
            provenance = provenance_from_sidecar(found.best_sidecar)
        elif found.metadata is not None:
            provenance = provenance_from_file(found.metadata)
        if provenance is None:
            raise InvalidRequest(
                f"No metadata says how {name} was made.",
                hint=f"Run `imagen inspect {name}` to see its metadata.",
            )
        replaced = None
        if backend is None:
            backend, replaced = choose_backend(
                provenance, self.instances, default=self.default
            )
        return RerunSource(
            image=found,
            provenance=provenance,
            backend=backend,
            replaced=replaced,
            notes=(*found.warnings, *_doubts(found)),
        )

    def build_request(
        self, source: RerunSource, overrides: Overrides, *, maker: GenerateImages
    ) -> GenerationRequest:
        """Return the request for the backend of `maker`.

        Raises:
            InvalidRequest: a reference image of the original request is not found.
        """
        provenance, location = source.provenance, source.image.location
        images = () if "images" in overrides else provenance.references
        mask = None if "mask" in overrides else provenance.mask
        return build_rerun_request(
            provenance,
            overrides,
            instance=maker.instance,
            capabilities_of=maker.capabilities,
            images=[self.load_reference(each, location) for each in images],
            mask=None if mask is None else self.load_reference(mask, location),
            replaced=source.replaced,
            styles=self.styles,
            notes=source.notes,
        )

    def load_reference(
        self, reference: Reference | ReferenceImage, location: str
    ) -> ReferenceImage:
        """Return a reference image with its content.

        Args:
            reference: Its name and SHA-256.
            location: The path of an image that was made from it.

        Raises:
            InvalidRequest: no file with that content is found.
        """
        # Recognized by its content, not by its name, which may have changed since.
        for path in self._candidate_paths(reference, location):
            try:
                content = self.read(path)
                if content is None or sha256(content).hexdigest() != reference.sha256:
                    continue
                facts = read_facts(content)
            except (InvalidRequest, NotAnImage):
                continue
            check_reference_size(reference.name, facts.width, facts.height)
            return ReferenceImage(
                name=reference.name,
                sha256=reference.sha256,
                media_type=facts.media_type,
                content=content,
            )
        raise InvalidRequest(
            f"The image was made from {reference.name} (sha256 "
            f"{reference.sha256[:12]}...), and no file with that content was found.",
            hint="Put it into the folder of the image, or give one with --image.",
        )

    def _candidate_paths(
        self, reference: Reference | ReferenceImage, location: str
    ) -> Iterator[str]:
        """Yield the paths where a reference image may be, the most likely first."""
        folders = list(dict.fromkeys([dirname(location), *self.folders]))
        for folder in folders:
            yield join(folder, basename(reference.name))
        try:
            for entry in self.history.find():
                note = entry.sidecar
                if reference.sha256 in {note.sha256, note.source_sha256}:
                    yield entry.location
        except JournalError:
            # The folders may still have the image.
            pass
        for folder in folders:
            yield from self.images_in(folder)


def compare_images(
    original: bytes, new: StoredImage, *, compare: ComparePixels, editor: ImageEditor
) -> str:
    """Return how the new image differs; "" if all pixels are equal.

    If the original is a JPEG and the new image is not, the new image is converted
    first, because JPEG changes the pixels.

    Raises:
        StorageError: one of the images cannot be decoded.
    """
    content, media_type = new.content, read_facts(original).media_type
    if media_type == "image/jpeg" != new.facts.media_type:
        content = editor.redraw(content, media_type=media_type, fit=None, size=None)
    return compare(original, content)


def _doubts(found: FoundImage) -> Iterator[str]:
    """Yield a warning if the metadata may describe another image."""
    note = found.best_sidecar
    if note is None or not (note.sha256 and found.sha256):
        return
    inside = found.embedded.id if found.embedded else ""
    if note.sha256 != found.sha256 and note.id != inside:
        yield f"{basename(found.location)} is not the file that its sidecar describes"
