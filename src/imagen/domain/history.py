"""The history of the images that were made on this machine."""

from datetime import datetime

import msgspec

from imagen.domain.sidecar import Sidecar


class Position(msgspec.Struct, frozen=True, order=True):
    """A position in the sort order of the history; an image need not exist there.

    Attributes:
        image_id: Id of the image, for images of the same time.
    """

    made: datetime
    image_id: str


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A stored image with its location and its sidecar.

    Attributes:
        location: The location that the storage returned.
        sidecar: The sidecar, even if no sidecar file was stored.
        owner: Owner of the copy in the cloud; "" for no copy.
    """

    location: str
    sidecar: Sidecar
    owner: str = ""

    @property
    def position(self) -> Position:
        """The position of the image in the sort order.

        Raises:
            ValueError: the sidecar has no valid `created_at`.
        """
        return Position(self.sidecar.made, self.sidecar.id.lower())
