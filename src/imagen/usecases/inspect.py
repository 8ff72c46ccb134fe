"""Report all metadata of an image: in the file, the sidecar and the history."""

from imagen.domain.errors import InvalidRequest
from imagen.domain.inspection import (
    Inspection,
    compare_with_sidecar,
    list_differing_fields,
)
from imagen.ports.content_credentials import CheckProvenance
from imagen.usecases.find import FindImage


def inspect_image(name: str, *, find: FindImage, check: CheckProvenance) -> Inspection:
    """Return the metadata of the image with that name.

    Raises:
        InvalidRequest: no such image exists, or its file is missing.
    """
    found, content = find.load(name)
    metadata, embedded = found.metadata, found.embedded
    if metadata is None:
        raise InvalidRequest(found.missing_reason)
    facts = metadata.facts
    history = found.entry.sidecar if found.entry else None
    return Inspection(
        path=found.location,
        media_type=facts.media_type,
        width=facts.width,
        height=facts.height,
        bytes=len(content),
        sha256=found.sha256,
        agreement=compare_with_sidecar(found.sidecar, found.sha256, embedded),
        history_agreement=compare_with_sidecar(history, found.sha256, embedded),
        differing=list_differing_fields(found.sidecar, embedded),
        source_type=metadata.source_type,
        provenance=check(content, facts.media_type) if facts.signed else None,
        recipes=metadata.recipes,
        sidecar=found.sidecar,
        history=history,
        texts=metadata.texts,
        warnings=(*metadata.warnings, *found.warnings),
    )
