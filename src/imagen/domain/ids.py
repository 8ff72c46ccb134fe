"""Ids of images and calls that sort by time: UUID version 7 (RFC 9562)."""

from datetime import datetime

from imagen.domain.seed import RandomInt


def new_id(now: datetime, random_int: RandomInt) -> str:
    """Return a UUIDv7: 48 bits of milliseconds since 1970 and 74 random bits."""
    return _build_id(now, high=random_int(1 << 12), low=random_int(1 << 62))


def derive_id(call_id: str, *, created_at: datetime, position: int) -> str:
    """Return the id of an output of a call: the same in every process."""
    from hashlib import sha256  # noqa: PLC0415 - loads OpenSSL, for `imagen usage` too

    digest = int.from_bytes(sha256(f"{call_id}/{position}".encode()).digest())
    return _build_id(created_at, high=digest >> 244, low=digest % (1 << 62))


def _build_id(now: datetime, *, high: int, low: int) -> str:
    # `uuid.uuid7` needs Python 3.14, and accepts neither a time nor a source of
    # randomness.
    milliseconds = int(now.timestamp() * 1000)
    value = (milliseconds << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low
    digits = f"{value:032x}"
    parts = digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]
    return "-".join(parts)
