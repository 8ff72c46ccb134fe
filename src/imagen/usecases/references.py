"""Prepare the reference images of a request for a backend."""

from collections.abc import Callable
from hashlib import sha256

from msgspec.structs import replace

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest, StorageError, Unsupported
from imagen.domain.reference import ReferenceImage, ReferenceLimits
from imagen.domain.request import GenerationRequest
from imagen.domain.sidecar import Change
from imagen.formats.container import NotAnImage, read_facts
from imagen.formats.details import read_details
from imagen.ports.images import ImageEditor

_TARGETS = ("image/png", "image/webp", "image/jpeg")
"""The formats that imagen converts to, those without loss first."""


def prepare_references(
    request: GenerationRequest,
    *,
    backend: str,
    capabilities: Capabilities,
    load_editor: Callable[[], ImageEditor],
) -> GenerationRequest:
    """Return the request with images that the backend takes, and a report of changes.

    Images are turned upright where the backend may not turn them, and converted where
    it does not take their format.

    Raises:
        InvalidRequest: the mask is displayed at another size than the first image, or
            an image that must be changed cannot be decoded.
        Unsupported: the backend takes no image of this size, format or shape.
    """
    preparation = _Preparation(
        backend,
        load_editor=load_editor,
        upright=request.mask is not None or not capabilities.orientation,
    )
    mask = request.mask
    if mask is not None:
        _check_mask(mask, request.images[0])
        mask = preparation.prepare(mask, capabilities.mask_limits)
    limits = capabilities.reference_limits
    images = tuple(preparation.prepare(each, limits) for each in request.images)
    total = sum(len(each.content) for each in (*images, *((mask,) if mask else ())))
    if limits.max_total_bytes is not None and total > limits.max_total_bytes:
        raise Unsupported(
            f"{backend} takes {limits.max_total_bytes / 1e6:g} MB of images at most,"
            f" not {total / 1e6:.3g} MB.",
            hint="Make the images smaller, or give fewer.",
        )
    dropped = request.dropped
    adjusted = {**dropped.adjusted, **preparation.changes()}
    return replace(
        request, images=images, mask=mask, dropped=replace(dropped, adjusted=adjusted)
    )


class _Preparation:
    """Changes images where necessary, and collects what was changed."""

    def __init__(
        self, backend: str, *, load_editor: Callable[[], ImageEditor], upright: bool
    ) -> None:
        self._backend = backend
        self._load_editor = load_editor
        self._upright = upright
        self._turned: list[str] = []
        self._converted: dict[str, str] = {}

    def prepare(self, image: ReferenceImage, limits: ReferenceLimits) -> ReferenceImage:
        """Return the image as the backend takes it.

        Raises:
            InvalidRequest: the image must be changed, and cannot be decoded.
            Unsupported: the backend takes no such image.
        """
        details = read_details(image.content)
        turned = self._upright and details.orientation
        taken = limits.allows_type(image.media_type)
        if turned:
            self._turned.append(f"{details.orientation} of {image.name}")
        if turned or not taken:
            image = self._redraw(image, limits)
        if not taken:
            frames = f" of {details.frames} frames" if details.frames > 1 else ""
            self._converted[f"{image.name}{frames}"] = image.media_type
        try:
            facts = read_facts(image.content)
        except NotAnImage:
            return image
        sides = facts.width, facts.height
        if excess := limits.describe_excess(*sides, size=len(image.content)):
            raise Unsupported(
                f"{self._backend} {excess}; {image.name} has {sides[0]}x{sides[1]}"
                f" pixels and {len(image.content) / 1e6:.3g} MB.",
                hint="Resize it, or save it as JPEG or WebP.",
            )
        return image

    def _redraw(self, image: ReferenceImage, limits: ReferenceLimits) -> ReferenceImage:
        """Return the image upright, in its own format or another that is taken."""
        targets = [each for each in _TARGETS if limits.allows_type(each)]
        media_type = image.media_type
        if media_type not in targets:
            if not targets:
                raise Unsupported(
                    f"{self._backend} takes no {media_type} such as {image.name}.",
                    hint=f"Convert it to {' or '.join(limits.formats)}.",
                )
            media_type = targets[0]
        what, hint = "turned upright", "Save it without an EXIF orientation."
        if media_type != image.media_type:
            what, hint = f"converted to {media_type}", "Convert it before."
        try:
            content = self._load_editor().redraw(
                image.content, media_type=media_type, fit=None, size=None
            )
        except StorageError as error:
            raise InvalidRequest(
                f"{image.name} cannot be {what}: {error.message}",
                hint=hint,
            ) from error
        return replace(
            image,
            content=content,
            media_type=media_type,
            sent_sha256=sha256(content).hexdigest(),
        )

    def changes(self) -> dict[str, Change]:
        """Return the report of what was changed."""
        changes: dict[str, Change] = {}
        if self._turned:
            changes["orientation"] = Change(
                requested=", ".join(self._turned),
                used="upright",
                reason="the backend might not turn the pixels as the file says",
            )
        if self._converted:
            changes["format"] = Change(
                requested=" and ".join(self._converted),
                used=" and ".join(dict.fromkeys(self._converted.values())),
                reason=f"{self._backend} does not take the format of the file",
            )
        return changes


def _check_mask(mask: ReferenceImage, image: ReferenceImage) -> None:
    sizes = [_read_displayed_size(each) for each in (image, mask)]
    if None not in sizes and sizes[0] != sizes[1]:
        of_image, of_mask = ("x".join(map(str, size)) for size in sizes if size)
        raise InvalidRequest(
            f"The mask {mask.name} is {of_mask}, and the image {image.name} is"
            f" {of_image}.",
            hint="Give a mask of the size of the image.",
        )


def _read_displayed_size(image: ReferenceImage) -> tuple[int, int] | None:
    try:
        facts = read_facts(image.content)
    except NotAnImage:
        return None
    return read_details(image.content).displayed(facts.width, facts.height)
