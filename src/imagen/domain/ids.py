"""Ids of images and calls that sort by time: UUID version 7 (RFC 9562)."""

from datetime import datetime

from imagen.domain.seed import RandomInt


def new_id(now: datetime, random_int: RandomInt) -> str:
    """Return a UUIDv7: 48 bits of milliseconds since 1970 and 74 random bits."""
    # `uuid.uuid7` needs Python 3.14, and accepts neither a time nor a source of
    # randomness.
    milliseconds = int(now.timestamp() * 1000)
    high, low = random_int(1 << 12), random_int(1 << 62)
    value = (milliseconds << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low
    digits = f"{value:032x}"
    parts = digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]
    return "-".join(parts)
