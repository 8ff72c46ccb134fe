"""What was made on this machine."""

import msgspec

from imagen.domain.sidecar import Sidecar


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An image, where it was stored, and all that is known of how it was made.

    Attributes:
        location: As its storage called the place.
        sidecar: The note, whether or not one lies beside the image.
        owner: Whose copy of it belongs in the cloud; "" is nobody's.
    """

    location: str
    sidecar: Sidecar
    owner: str = ""
