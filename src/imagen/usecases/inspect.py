"""Say everything that a file, its sidecar and the history say of an image."""

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.inspection import Inspection, build_inspection
from imagen.ports.content_credentials import CheckProvenance
from imagen.usecases.find import FindImage


class InspectImage(msgspec.Struct, frozen=True, kw_only=True):
    """Reads all there is about an image, and compares it.

    Attributes:
        find: Finds the images.
        check: Checks the C2PA manifest of a signed file.
    """

    find: FindImage
    check: CheckProvenance

    def run(self, name: str) -> Inspection:
        """Return all that is known of the image of that name.

        Raises:
            InvalidRequest: there is no such image, or its file is gone.
            JournalError: the history cannot be read, and is needed.
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
