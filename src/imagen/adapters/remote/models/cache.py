"""Cache files with the descriptions of models, which save a request to the vendor."""

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from imagen.adapters.system.private_files import write_private_file
from imagen.ports.clock import Clock

CACHE_LIFETIME = timedelta(days=1)
"""The age up to which a description in the cache is used."""

_FORMAT_VERSION = 1
"""The version of the cache files; files of another version are ignored."""

DescriptionT = TypeVar("DescriptionT", bound=msgspec.Struct)


class _CachedDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a cache file."""

    form: int
    url: str
    name: str
    read_at: Annotated[datetime, Meta(tz=True)]
    description: msgspec.Raw


class DescriptionCache(Generic[DescriptionT]):
    """The descriptions that were read from one API, for the next process.

    Attributes:
        clock: The clock, for the age of the files.
    """

    def __init__(
        self,
        kind: type[DescriptionT],
        *,
        url: str,
        folder: Path | None,
        clock: Clock,
    ) -> None:
        """Prepare the cache; nothing is read yet.

        Args:
            kind: The type of a description.
            url: The base URL of the API.
            folder: The folder for the files; None for no files.
            clock: The clock, for the age of the files.
        """
        self.clock = clock
        self._kind = kind
        self._url = url
        self._folder = folder

    def read(self, name: str) -> DescriptionT | None:
        """Return the description with that name, unless it is invalid or too old."""
        path = self._find_path(name)
        if path is None:
            return None
        try:
            cached = msgspec.json.decode(path.read_bytes(), type=_CachedDescription)
            description = msgspec.json.decode(cached.description, type=self._kind)
        except (OSError, msgspec.DecodeError):
            return None
        identity = (cached.form, cached.url, cached.name)
        age = self.clock.now() - cached.read_at
        if (
            identity == (_FORMAT_VERSION, self._url, name)
            and timedelta() <= age < CACHE_LIFETIME
        ):
            return description
        return None

    def write(self, name: str, description: DescriptionT) -> None:
        """Write the description to its file; without effect if that fails."""
        path = self._find_path(name)
        if path is None:
            return
        cached = _CachedDescription(
            form=_FORMAT_VERSION,
            url=self._url,
            name=name,
            read_at=self.clock.now(),
            description=msgspec.Raw(msgspec.json.encode(description)),
        )
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private_file(path, msgspec.json.encode(cached))

    def _find_path(self, name: str) -> Path | None:
        file = name.replace("/", "--").replace(":", "--")
        return None if self._folder is None else self._folder / f"{file}.json"
