"""The state of uploads to the cloud: pending, failed and paused."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

Channel: TypeAlias = Literal["usage", "images"]

CHANNEL_LABELS: Mapping[Channel, str] = {"usage": "usage", "images": "cloud sync"}
"""Name of each channel in messages."""

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A pause of all uploads over a channel after a failed attempt.

    Attributes:
        tries: Number of failed attempts since the last success.
        until: End of the pause, UTC.
    """

    tries: int
    until: datetime
    trouble: str

    def holds(self, now: datetime) -> bool:
        """Return whether the pause is in force."""
        # The upper bound ends a pause that a clock set back would make last for days.
        return now < self.until <= now + LONGEST_PAUSE


class FailedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A usage row or image that the cloud rejected permanently; it is kept locally."""

    id: str
    trouble: str


class DeliveryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The uploads of a channel that are not done, the pending ones by number."""

    pending: int
    failed: tuple[FailedDelivery, ...] = ()
    pause: Pause | None = None


def next_pause(before: Pause | None, trouble: str, *, now: datetime) -> Pause:
    """Return the pause after another failed attempt, twice as long as the last one."""
    tries = 1 if before is None else before.tries + 1
    wait = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, 10))
    return Pause(tries=tries, until=now + wait, trouble=trouble)
