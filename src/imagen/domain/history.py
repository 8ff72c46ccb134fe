"""What was made on this machine."""

from datetime import UTC, datetime

import msgspec

from imagen.domain.sidecar import Sidecar


class Position(msgspec.Struct, frozen=True, order=True):
    """Where an image stands among the others, whether or not it is still there.

    Attributes:
        made: When it was made.
        image_id: Its id, which tells those of one moment apart.
    """

    made: datetime
    image_id: str


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

    @property
    def position(self) -> Position:
        """Where it stands among the others.

        Raises:
            ValueError: its note does not say when it was made.
        """
        made = datetime.fromisoformat(self.sidecar.created_at)
        made = made if made.tzinfo else made.replace(tzinfo=UTC)
        return Position(made, self.sidecar.id.lower())
