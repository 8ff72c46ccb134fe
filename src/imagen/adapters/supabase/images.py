"""Copies of images: files in the bucket `imagen-generated`, rows in `imagen.images`."""

import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import UUID  # noqa: TID251 - only to format one

from imagen.adapters.supabase.client import BUCKET, SupabaseAccess, TimedRow
from imagen.domain.cloud import CloudImage
from imagen.domain.errors import BackendError, InvalidRequest, UnknownOwner
from imagen.domain.sidecar import Sidecar

if TYPE_CHECKING:
    from postgrest import SyncSelectRequestBuilder

TABLE = "imagen.images"
_COLUMNS = "id,created_at,owner_user_id,storage_path,sidecar"
# The columns that have the value of the field of that name.
_SHARED_COLUMNS = (
    *("id", "created_at", "prompt", "prompt_sha256", "backend", "model", "seed"),
    *("steps", "width", "height", "latency_ms", "mime_type", "bytes", "sha256"),
)
_BEGINNING = re.compile(r"[0-9a-f]{1,32}", re.ASCII)


class SupabaseCloud:
    """The copies of images in the storage of a Supabase project.

    File and row are named by the image's id, so sending them twice has no effect.
    """

    def __init__(self, access: SupabaseAccess) -> None:
        self._access = access

    def __repr__(self) -> str:
        return f"SupabaseCloud({self._access!r})"

    def upload(self, image: CloudImage, content: bytes) -> None:
        """Upload the file, then insert the row."""
        try:
            self._send(image, content)
        except UnknownOwner:
            # A file of a user that does not exist would have no owner who can read or
            # delete it. If the deletion fails too, the file does no harm.
            with suppress(Exception):
                self._access.storage().from_(BUCKET).remove([image.path])
            raise

    def _send(self, image: CloudImage, content: bytes) -> None:
        media_type = image.sidecar.mime_type
        # The file first: a process that dies in between leaves no row without a file.
        with self._access.translate_errors(f"The bucket {BUCKET}"):
            bucket = self._access.storage().from_(BUCKET)
            bucket.upload(
                image.path, content, {"content-type": media_type, "x-upsert": "true"}
            )
        self._access.insert(TABLE, [_to_row(image)])

    def find(self, owner: str, *, limit: int | None = None) -> Iterator[CloudImage]:
        """Yield the images page by page."""
        rows = self._access.read_newest(
            TABLE, _Row, lambda: self._select(owner), limit=limit
        )
        yield from map(_from_row, rows)

    def get(self, owner: str, name: str) -> CloudImage | None:
        """Return the image whose id begins with the name."""
        # A uuid column has no LIKE: a range finds the ids with this beginning, and the
        # second row shows that the beginning is ambiguous.
        begin = name.lower()
        digits = begin.replace("-", "")
        if not _BEGINNING.fullmatch(digits):
            return None
        first, last = (str(UUID(digits.ljust(32, digit))) for digit in "0f")
        query = self._select(owner).gte("id", first).lte("id", last)
        rows = self._access.read(TABLE, query.order("id").limit(2), _Row)
        rows = [row for row in rows if row.id.startswith(begin)]
        if len(rows) > 1:
            raise InvalidRequest(
                f"Several images have an id that begins with {name!r}.",
                hint="Use more characters of the id.",
            )
        return _from_row(rows[0]) if rows else None

    def download(self, image: CloudImage) -> bytes:
        """Download the file, and compare its hash with the sidecar's."""
        with self._access.translate_errors(f"The bucket {BUCKET}"):
            content = self._access.storage().from_(BUCKET).download(image.path)
            self._access.check_file_response()
        if sha256(content).hexdigest() != image.sidecar.sha256:
            raise BackendError(
                f"The copy of {image.sidecar.id} differs from the original (SHA-256)."
            )
        return content

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._access.close()

    def _select(self, owner: str) -> "SyncSelectRequestBuilder":
        return self._access.table(TABLE).select(_COLUMNS).eq("owner_user_id", owner)


class _Row(TimedRow):
    owner_user_id: str
    storage_path: str
    sidecar: Sidecar


def _to_row(image: CloudImage) -> dict[str, object]:
    sidecar = image.sidecar
    cost = sidecar.cost_usd
    return {
        **{name: getattr(sidecar, name) for name in _SHARED_COLUMNS},
        "owner_user_id": image.owner,
        "cost_usd": None if cost is None else str(Decimal(str(cost))),
        "storage_path": image.path,
        "sidecar": sidecar,
    }


def _from_row(row: _Row) -> CloudImage:
    return CloudImage(
        owner=row.owner_user_id, path=row.storage_path, sidecar=row.sidecar
    )
