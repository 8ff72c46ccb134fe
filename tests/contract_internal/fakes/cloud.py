"""Fakes of the shared ledger and the cloud."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from hashlib import sha256

from imagen.adapters.database.connection import Database
from imagen.adapters.database.ledger import SqliteLedger
from imagen.domain.cloud import CloudImage
from imagen.domain.errors import BackendError, ImagenError, InvalidRequest, Refused
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal


class LocalSharedLedger(SqliteLedger):
    """A shared ledger in a database of this machine.

    Attributes:
        trouble: An error that every method raises; None for a working ledger.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.trouble: ImagenError | None = None

    def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
        """Store new rows; return the ids and reasons of invalid ones."""
        self._check()
        invalid = [row for row in rows if _is_invalid(row)]
        refused = {row.id: "The number of images is negative." for row in invalid}
        self.record([row for row in rows if row.id not in refused])
        return refused

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Return the rows, the newest first."""
        self._check()
        return super().rows(since=since)

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Return totals grouped by the dimensions."""
        self._check()
        return super().totals(by, since=since)

    def close(self) -> None:
        """Do nothing."""

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class MemoryCloud:
    """A cloud in two dictionaries.

    Attributes:
        objects: The files, by their path.
        kept: The images, by id.
        trouble: An error that every method raises; None for a working cloud.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.kept: dict[str, CloudImage] = {}
        self.trouble: ImagenError | None = None

    def upload(self, image: CloudImage, content: bytes) -> None:
        """Store the file and the image, each once."""
        self._check()
        if not content or not image.sidecar.mime_type.startswith("image/"):
            raise Refused("The file is not an image.")
        self.objects.setdefault(image.path, content)
        self.kept.setdefault(image.sidecar.id, image)

    def find(self, owner: str, *, limit: int | None = None) -> Iterator[CloudImage]:
        """Return the owner's images, the newest first."""
        self._check()
        mine = [image for image in self.kept.values() if image.owner == owner]
        mine.sort(key=lambda image: (image.sidecar.created_at, image.sidecar.id))
        return iter(mine[::-1][:limit])

    def get(self, owner: str, name: str) -> CloudImage | None:
        """Return the image of an id or a unique prefix."""
        start = name.lower() or "none"
        found = [each for each in self.find(owner) if each.sidecar.id.startswith(start)]
        if len(found) > 1:
            raise InvalidRequest(
                f"{len(found)} images have an id that begins {name!r}."
            )
        return found[0] if found else None

    def download(self, image: CloudImage) -> bytes:
        """Return the file if its hash is the one in the sidecar."""
        self._check()
        content = self.objects.get(image.path, b"")
        if sha256(content).hexdigest() != image.sidecar.sha256:
            raise BackendError("The copy is missing or has another hash.")
        return content

    def close(self) -> None:
        """Do nothing."""

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble


def _is_invalid(row: UsageRow) -> bool:
    return row.images < 0
