"""Report all metadata of an image: in the file, the sidecar and the history."""

from imagen.domain.errors import InvalidRequest
from imagen.domain.inspection import Inspection, build_inspection
from imagen.ports.content_credentials import CheckProvenance
from imagen.usecases.find import FindImage


def inspect_image(name: str, *, find: FindImage, check: CheckProvenance) -> Inspection:
    """Return the metadata of the image with that name.

    Raises:
        InvalidRequest: no such image exists, or its file is missing.
    """
    found, content = find.load(name)
    if found.metadata is None:
        raise InvalidRequest(found.missing_reason)
    signed = found.metadata.facts.signed
    return build_inspection(
        path=found.location,
        content=content,
        sha256=found.sha256,
        metadata=found.metadata,
        sidecar=found.sidecar,
        history=found.entry.sidecar if found.entry else None,
        provenance=check(content, found.media_type) if signed else None,
        warnings=found.warnings,
    )
