"""What is owed to the cloud, and what keeps it from getting there."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

Channel: TypeAlias = Literal["usage", "images"]

CHANNELS: tuple[Channel, ...] = ("usage", "images")
CHANNEL_LABELS: Mapping[Channel, str] = {"usage": "usage", "images": "cloud sync"}
"""How a person is told which one it is about."""

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is tried over a channel for a while, because the last attempt failed.

    Attributes:
        tries: How many attempts have failed since the last that did not.
        until: When the next may be made, UTC.
        trouble: What the last one failed of, in a sentence.
    """

    tries: int
    until: datetime
    trouble: str

    def holds(self, now: datetime) -> bool:
        """Say whether it still holds; not for long, even if the clock was set back."""
        return now < self.until <= now + LONGEST_PAUSE


class FailedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """Something that cannot be delivered as it is, and is kept.

    Attributes:
        id: Of the usage row, or of the image.
        trouble: Why not, in a sentence.
    """

    id: str
    trouble: str


class DeliveryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is not delivered over a channel.

    Attributes:
        owed: How much is still to be tried.
        aside: What was set aside.
        pause: Why nothing is tried for a while, if so.
    """

    pending: int
    failed: tuple[FailedDelivery, ...] = ()
    pause: Pause | None = None


def next_pause(before: Pause | None, trouble: str, *, now: datetime) -> Pause:
    """Return the pause after one more attempt that failed: each twice as long."""
    tries = 1 if before is None else before.tries + 1
    wait = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, 10))
    return Pause(tries=tries, until=now + wait, trouble=trouble)
