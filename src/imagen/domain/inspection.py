"""The description of an image file from all sources, compared with each other."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from imagen.domain.content_credentials import ContentCredentials
from imagen.domain.metadata.embedded import Recipe
from imagen.domain.sidecar import Sidecar, select_embedded_fields

Agreement: TypeAlias = Literal["none", "same", "changed", "other"]
"""Relation of a sidecar to a file: no sidecar; a sidecar of exactly these bytes; of the
same image with other bytes; of another image, as far as that can be determined."""


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """The description of an image from its file, its sidecar and the history.

    Attributes:
        media_type: Media type of the content.
        bytes: Size of the file.
        sha256: Hash of the file.
        agreement: Relation of the sidecar file to the image file.
        history_agreement: Relation of the history entry to the image file.
        differing: Fields with different values in the sidecar file and in the embedded
            metadata, if both describe the same image.
        provenance: The C2PA manifest; None for none.
        recipes, source_type, texts, warnings: As in `EmbeddedMetadata`.
        sidecar: Content of the sidecar file.
        history: Sidecar in the history.
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


def compare_with_sidecar(
    sidecar: Sidecar | None, sha256: str, embedded: Sidecar | None
) -> Agreement:
    """Return the relation of a sidecar to a file."""
    if sidecar is None:
        return "none"
    if sidecar.sha256 == sha256:
        return "same"
    # Without embedded metadata only the hash identifies the image.
    return "changed" if embedded is not None and embedded.id == sidecar.id else "other"


def list_differing_fields(
    sidecar: Sidecar | None, embedded: Sidecar | None
) -> tuple[str, ...]:
    """Return the fields with different values, if both describe the same image."""
    if sidecar is None or embedded is None or sidecar.id != embedded.id:
        return ()
    ours, theirs = select_embedded_fields(sidecar), select_embedded_fields(embedded)
    return tuple(key for key in ours if ours[key] != theirs[key])
