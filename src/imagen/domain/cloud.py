"""The copy of an image in the cloud."""

import msgspec

from imagen.domain.media import EXTENSIONS
from imagen.domain.naming import slugify
from imagen.domain.sidecar import Sidecar


class CloudImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image as its owner has it in the cloud.

    Attributes:
        owner: The id of the owner, who alone can read it.
        path: Where its bytes are in the bucket: `OWNER/ID-SLUG.EXT`.
        sidecar: How it was made.
    """

    owner: str
    path: str
    sidecar: Sidecar


def build_cloud_image(sidecar: Sidecar, *, owner: str) -> CloudImage:
    """Return what the image is to be called in the cloud."""
    owner = owner.lower()  # as the database writes it, which compares the path with it
    extension = EXTENSIONS.get(sidecar.mime_type, "bin")
    path = f"{owner}/{sidecar.id}-{slugify(sidecar.prompt)}.{extension}"
    return CloudImage(owner=owner, path=path, sidecar=sidecar)
