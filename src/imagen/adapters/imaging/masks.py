"""Masks in black and white, for models that do not read transparency."""

from msgspec.structs import replace
from PIL import ImageOps

from imagen.adapters.imaging.pixels import UNREADABLE, encode_image, open_image
from imagen.domain.errors import InvalidRequest
from imagen.domain.reference import ReferenceImage


def paint_mask(mask: ReferenceImage, *, white: bool) -> ReferenceImage:
    """Return a mask that is white, or black, where it was transparent.

    imagen's masks are transparent where the image is to be redrawn. A mask without
    transparency is assumed to have the model's own form, and returned as it is.

    Raises:
        InvalidRequest: it cannot be decoded.
    """
    try:
        with open_image(mask.content) as image:
            if not image.has_transparency_data:
                return mask
            kept = image.convert("RGBA").getchannel("A")
    except UNREADABLE as error:
        raise InvalidRequest(f"The mask {mask.name} cannot be read.") from error
    content = encode_image(ImageOps.invert(kept) if white else kept, "PNG")
    return replace(mask, name="mask.png", media_type="image/png", content=content)
