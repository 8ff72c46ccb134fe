"""Pending images and usage rows, made without generating them."""

import hashlib
import zlib
from datetime import UTC, datetime

import msgspec
from tests.contract_internal.samples import sample_entry
from tests.integration.supabase.machine import Machine

from imagen.domain.history import HistoryEntry
from imagen.testing.samples import sample_id, sample_row


def png(number: int) -> bytes:
    """Return a small picture of one colour, another for each number."""
    body = b"\0" + number.to_bytes(3, "big")

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        length, checksum = len(content), zlib.crc32(checked)
        return length.to_bytes(4, "big") + checked + checksum.to_bytes(4, "big")

    header = bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def add_pending(machine: Machine, *, rows: int = 0, images: int = 0) -> None:
    """Record this many usage rows and images without delivering them."""
    now = datetime.now(UTC)
    with machine.accounts() as (ledger, history, spool):
        ledger.record([sample_row(number, at=now) for number in range(rows)])
        for number in range(images):
            spool.write(sample_id(number), png(number))
        history.add(
            [_drawn(number, machine.owner, png(number)) for number in range(images)]
        )


def add_pending_file(machine: Machine, content: bytes, media_type: str) -> None:
    """Record an image of any format without delivering it."""
    entry = _drawn(1, machine.owner, content, media_type)
    with machine.accounts() as (_, history, spool):
        spool.write(entry.sidecar.id, content)
        history.add([entry])


def _drawn(
    number: int, owner: str, content: bytes, media_type: str = "image/png"
) -> HistoryEntry:
    entry = sample_entry(number)
    sidecar = msgspec.structs.replace(
        entry.sidecar,
        mime_type=media_type,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        width=1,
        height=1,
    )
    return msgspec.structs.replace(entry, sidecar=sidecar, owner=owner)
