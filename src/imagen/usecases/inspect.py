"""Report all metadata of an image: in the file, the sidecar and the history."""

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.inspection import Inspection, build_inspection
from imagen.ports.content_credentials import CheckProvenance
from imagen.usecases.find import FindImage


class InspectImage(msgspec.Struct, frozen=True, kw_only=True):
    """Reads and compares all metadata of an image."""

    find: FindImage
    check: CheckProvenance

    def run(self, name: str) -> Inspection:
        """Return the metadata of the image with that name.

        Raises:
            InvalidRequest: no such image exists, or its file is missing.
        """
        found, content = self.find.load(name)
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
            provenance=self.check(content, found.media_type) if signed else None,
            warnings=found.warnings,
        )
