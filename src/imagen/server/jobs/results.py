"""The stored images and warnings that a request ended with."""

from collections.abc import Sequence

import msgspec

from imagen.domain.result import GenerationReport, StoredImage
from imagen.domain.sidecar import Sidecar
from imagen.server.errors import to_error_response


class StoredOutput(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is stored."""

    sidecar: Sidecar
    content: bytes


class RequestResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a request.

    Attributes:
        images: At least one, in their order.
        warnings: What is not as it was asked for.
        replayed: Whether it was made for an earlier request with the same key.
    """

    images: tuple[StoredOutput, ...]
    warnings: tuple[str, ...] = ()
    replayed: bool = False


def build_result(report: GenerationReport) -> RequestResult:
    """Return the images that were made, wherever they are stored.

    Raises:
        BaseException: why there is not a single one.
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
    return RequestResult(
        images=tuple(map(load_stored_output, stored)),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def load_stored_output(image: StoredImage) -> StoredOutput:
    """Return what a client needs of a stored image."""
    return StoredOutput(sidecar=image.sidecar, content=image.content)


def collect_warnings(images: Sequence[StoredOutput]) -> tuple[str, ...]:
    """Return what the sidecars say that is not as it was asked for."""
    return tuple(dict.fromkeys(w for each in images for w in each.sidecar.warnings))
