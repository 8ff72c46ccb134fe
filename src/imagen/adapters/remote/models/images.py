"""Reference images and masks in the form that a model accepts."""

from base64 import b64encode
from hashlib import sha256

from imagen.adapters.remote.models.inputs import ModelInputs, mask_is_inverted
from imagen.domain.errors import InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.reference import ReferenceImage

MAX_INLINE_BYTES = 256_000
"""The size up to which an image is part of the request; larger ones are uploaded."""


def check_content(reference: ReferenceImage) -> None:
    """Raise InvalidRequest if the content of a reference image or mask is missing."""
    if not reference.content:
        raise InvalidRequest(
            f"The content of the reference image {reference.name} is missing."
        )


def build_data_uri(image: ReferenceImage) -> str:
    """Return an image as a data URI."""
    return f"data:{image.media_type};base64,{encode_base64(image)}"


def encode_base64(image: ReferenceImage) -> str:
    """Return the content of an image as Base64."""
    return b64encode(image.content).decode()


def prepare_mask(mask: ReferenceImage, inputs: ModelInputs) -> ReferenceImage:
    """Return a mask in black and white, as the model expects it."""
    check_content(mask)
    if inputs.mask is None:
        return mask
    from imagen.adapters.imaging.masks import paint_mask  # noqa: PLC0415 - Pillow

    return paint_mask(mask, white=not mask_is_inverted(inputs.mask))


def compute_digests(job: ImageJob, inputs: ModelInputs) -> dict[str, list[str]] | None:
    """Return the SHA-256 digests of the images that the job sends, by input.

    Returns:
        None if they are unknown, because the content of the mask is missing.
    """
    digests: dict[str, list[str]] = {}
    if inputs.images and job.images:
        digests[inputs.images.name] = [image.content_sha256 for image in job.images]
    if inputs.mask and job.mask:
        # The digest in the job is that of the user's mask; the model got it converted.
        if not job.mask.content:
            return None
        content = prepare_mask(job.mask, inputs).content
        digests[inputs.mask.name] = [sha256(content).hexdigest()]
    return digests
