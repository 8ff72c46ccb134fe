"""The copy of an image in the cloud."""

import msgspec

from imagen.domain.media import EXTENSIONS
from imagen.domain.naming import slugify
from imagen.domain.sidecar import Sidecar


class CloudImage(msgspec.Struct, frozen=True, kw_only=True):
    """The copy of an image in the cloud.

    Attributes:
        owner: Id of the owner, the only one who can read the copy.
        path: Path of the bytes in the bucket: `OWNER/ID-SLUG.EXT`.
    """

    owner: str
    path: str
    sidecar: Sidecar


def build_cloud_image(sidecar: Sidecar, *, owner: str) -> CloudImage:
    """Return the cloud copy of an image, with its path."""
    # The database compares the path with the owner's UUID, which it writes in lower
    # case.
    owner = owner.lower()
    extension = EXTENSIONS.get(sidecar.mime_type, "bin")
    path = f"{owner}/{sidecar.id}-{slugify(sidecar.prompt)}.{extension}"
    return CloudImage(owner=owner, path=path, sidecar=sidecar)
