"""The shared ledger and the cloud in memory: gone when the test is over."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from hashlib import sha256

from imagen.domain.cloud import CloudImage
from imagen.domain.errors import BackendError, ImagenError, InvalidRequest, Refused
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal
from imagen.testing.stores import MemoryLedger


class MemorySharedLedger(MemoryLedger):
    """A dictionary that rows are delivered to.

    Attributes:
        trouble: What is raised instead; None when all is well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trouble: ImagenError | None = None

    def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
        """Keep those that are not kept yet, and that make sense."""
        self._check()
        refused = {
            row.id: "It is of less than nothing." for row in rows if _is_invalid(row)
        }
        self.record([row for row in rows if row.id not in refused])
        return refused

    def rows(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Sort what there is."""
        self._check()
        return super().rows(since=since)

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Group what there is."""
        self._check()
        return super().totals(by, since=since)

    def close(self) -> None:
        """Hold nothing."""

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class MemoryCloud:
    """Two dictionaries.

    Attributes:
        objects: The bytes, by their path.
        kept: What they are, by the image's id.
        trouble: What is raised instead; None when all is well.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.kept: dict[str, CloudImage] = {}
        self.trouble: ImagenError | None = None

    def upload(self, image: CloudImage, content: bytes) -> None:
        """Keep both."""
        self._check()
        if not content or not image.sidecar.mime_type.startswith("image/"):
            raise Refused("It is no image.")
        self.objects.setdefault(image.path, content)
        self.kept.setdefault(image.sidecar.id, image)

    def find(self, owner: str, *, limit: int | None = None) -> Iterator[CloudImage]:
        """Look at each."""
        self._check()
        mine = [image for image in self.kept.values() if image.owner == owner]
        mine.sort(key=lambda image: (image.sidecar.created_at, image.sidecar.id))
        return iter(mine[::-1][:limit])

    def get(self, owner: str, name: str) -> CloudImage | None:
        """Look at each."""
        begin = name.lower() or "none"
        found = [each for each in self.find(owner) if each.sidecar.id.startswith(begin)]
        if len(found) > 1:
            raise InvalidRequest(f"{len(found)} images have an id like {name!r}.")
        return found[0] if found else None

    def download(self, image: CloudImage) -> bytes:
        """Look, and compare."""
        self._check()
        content = self.objects.get(image.path, b"")
        if sha256(content).hexdigest() != image.sidecar.sha256:
            raise BackendError("The copy is gone, or is not what was kept.")
        return content

    def close(self) -> None:
        """Hold nothing."""

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble


def _is_invalid(row: UsageRow) -> bool:
    return row.images < 0
