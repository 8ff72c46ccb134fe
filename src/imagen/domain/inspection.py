"""Everything that is known of an image file, and whether it agrees."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from imagen.domain.content_credentials import ContentCredentials
from imagen.domain.metadata.embedded import EmbeddedMetadata, Recipe
from imagen.domain.sidecar import Sidecar, select_embedded_fields

Agreement: TypeAlias = Literal["none", "same", "changed", "other"]
"""Of a note with a file: there is no note; it is about these very bytes; about this
image, whose bytes were changed since; or, as far as can be told, about another."""


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a file, its sidecar and the history of this machine say of an image.

    Attributes:
        path: Where the file is.
        media_type: By what is inside.
        width: In pixels.
        height: In pixels.
        bytes: How many there are.
        sha256: Of them.
        agreement: How the sidecar agrees with the file.
        history_agreement: How the history of this machine does.
        differing: What the sidecar and the note inside do not agree on, if both are
            about this image.
        source_type: IPTC's DigitalSourceType, as a word of its vocabulary.
        provenance: The C2PA manifest; None when there is none.
        recipes: What each tool says inside the file; first the one that knows best.
        sidecar: The note beside it.
        history: The note in the history.
        texts: Everything that is said inside the file, by its place, as it is there.
        warnings: What could not be read, and why.
    """

    path: str
    media_type: str
    width: int
    height: int
    bytes: int
    sha256: str
    agreement: Agreement
    history_agreement: Agreement
    differing: tuple[str, ...] = ()
    source_type: str = ""
    provenance: ContentCredentials | None = None
    recipes: tuple[Recipe, ...] = ()
    sidecar: Sidecar | None = None
    history: Sidecar | None = None
    texts: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()


def build_inspection(
    *,
    path: str,
    content: bytes,
    sha256: str,
    metadata: EmbeddedMetadata,
    sidecar: Sidecar | None,
    history: Sidecar | None,
    provenance: ContentCredentials | None,
    warnings: tuple[str, ...] = (),
) -> Inspection:
    """Return what all of them say, compared."""
    notes = (recipe.sidecar for recipe in metadata.recipes)
    inside = next((note for note in notes if note is not None), None)
    return Inspection(
        path=path,
        media_type=metadata.facts.media_type,
        width=metadata.facts.width,
        height=metadata.facts.height,
        bytes=len(content),
        sha256=sha256,
        agreement=compare_with_sidecar(sidecar, sha256, inside),
        history_agreement=compare_with_sidecar(history, sha256, inside),
        differing=_differing(sidecar, inside),
        source_type=metadata.source_type,
        provenance=provenance,
        recipes=metadata.recipes,
        sidecar=sidecar,
        history=history,
        texts=metadata.texts,
        warnings=(*metadata.warnings, *warnings),
    )


def compare_with_sidecar(
    note: Sidecar | None, sha256: str, inside: Sidecar | None
) -> Agreement:
    """Return how a note agrees with a file that has these bytes and that note inside.

    A file with no note inside may be anything, so that only its bytes tell.
    """
    if note is None:
        return "none"
    if note.sha256 == sha256:
        return "same"
    return "changed" if inside is not None and inside.id == note.id else "other"


def _differing(sidecar: Sidecar | None, inside: Sidecar | None) -> tuple[str, ...]:
    if sidecar is None or inside is None or sidecar.id != inside.id:
        return ()
    beside, within = select_embedded_fields(sidecar), select_embedded_fields(inside)
    return tuple(key for key in beside if beside[key] != within[key])
