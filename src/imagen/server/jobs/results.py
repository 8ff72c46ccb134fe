"""The stored images and warnings of a finished request."""

from typing import TypeAlias

import msgspec

from imagen.domain.result import GenerationReport, StoredImage
from imagen.domain.sidecar import Sidecar
from imagen.server.errors import to_error_response


class StoredOutput(msgspec.Struct, frozen=True, kw_only=True):
    """An image of the history, with its bytes."""

    sidecar: Sidecar
    content: bytes


Output: TypeAlias = StoredImage | StoredOutput
"""An image of this or of an earlier request."""


class RequestResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a request.

    Attributes:
        images: At least one image, in the order of their numbers.
        warnings: Differences from the request, such as ignored parameters.
        replayed: True if an earlier request with the same key generated the images.
    """

    images: tuple[Output, ...]
    warnings: tuple[str, ...] = ()
    replayed: bool = False


def build_result(report: GenerationReport) -> RequestResult:
    """Return the stored images of a report, including rescued ones.

    Raises:
        BaseException: the first error, if no image was stored at all.
    """
    rescued = [failed.rescued for failed in report.failed if failed.rescued]
    stored = sorted([*report.stored, *rescued], key=lambda image: image.number)
    if not stored:
        raise report.failed[0].error
    warnings = [w for image in stored for w in image.sidecar.warnings]
    warnings += [
        f"image {failed.number} is missing: "
        f"{to_error_response(failed.error).details.message}"
        for failed in report.failed
        if failed.rescued is None
    ]
    return RequestResult(images=tuple(stored), warnings=tuple(dict.fromkeys(warnings)))
