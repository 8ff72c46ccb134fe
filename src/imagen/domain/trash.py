"""Files in the trash."""

from datetime import datetime

import msgspec

from imagen.domain.history import HistoryEntry


class TrashedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file in the trash.

    Attributes:
        id: The id of the image; a new one if imagen has no record of the file.
        location: The absolute path that the file was moved from.
        at: The time at which it was moved, UTC.
        size: The size of the file in bytes.
        entry: The history entry; None if the history had none.
    """

    id: str
    location: str
    at: datetime
    size: int = 0
    entry: HistoryEntry | None = None
