"""Prepare the reference images of a request for a backend."""

from collections.abc import Callable
from hashlib import sha256

from msgspec.structs import replace

from imagen.domain.errors import InvalidRequest, StorageError
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import GenerationRequest
from imagen.domain.sidecar import Change
from imagen.formats.container import NotAnImage, read_facts
from imagen.formats.details import read_details
from imagen.ports.images import ImageEditor


def prepare_references(
    request: GenerationRequest,
    *,
    honours_orientation: bool,
    load_editor: Callable[[], ImageEditor],
) -> GenerationRequest:
    """Return the request with upright images where the backend may not turn them.

    Raises:
        InvalidRequest: the mask is displayed at another size than the first image, or
            an image that must be turned cannot be decoded.
    """
    mask = request.mask
    if mask is not None:
        sizes = [_read_displayed_size(each) for each in (request.images[0], mask)]
        if None not in sizes and sizes[0] != sizes[1]:
            image, of_mask = ("x".join(map(str, size)) for size in sizes if size)
            raise InvalidRequest(
                f"The mask {mask.name} is {of_mask}, and the image "
                f"{request.images[0].name} is {image}.",
                hint="Give a mask of the size of the image.",
            )
    elif honours_orientation:
        return request
    turned: list[str] = []

    def turn(image: ReferenceImage) -> ReferenceImage:
        if not (orientation := read_details(image.content).orientation):
            return image
        turned.append(f"{orientation} of {image.name}")
        try:
            content = load_editor().redraw(
                image.content, media_type=image.media_type, fit=None, size=None
            )
        except StorageError as error:
            raise InvalidRequest(
                f"{image.name} cannot be turned upright: {error.message}",
                hint="Save it without an EXIF orientation.",
            ) from error
        return replace(image, content=content, sent_sha256=sha256(content).hexdigest())

    images = tuple(map(turn, request.images))
    mask = None if mask is None else turn(mask)
    if not turned:
        return request
    change = Change(
        requested=", ".join(turned),
        used="upright",
        reason="the backend might not turn the pixels as the file says",
    )
    dropped = request.dropped
    adjusted = {**dropped.adjusted, "orientation": change}
    return replace(
        request, images=images, mask=mask, dropped=replace(dropped, adjusted=adjusted)
    )


def _read_displayed_size(image: ReferenceImage) -> tuple[int, int] | None:
    try:
        facts = read_facts(image.content)
    except NotAnImage:
        return None
    return read_details(image.content).displayed(facts.width, facts.height)
