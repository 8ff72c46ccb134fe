"""The catalog of models: the built-in table, and descriptions read from the API."""

import re
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from imagen.adapters.backends.replicate.models import Model, known_models
from imagen.adapters.remote.models.schema import read_fields
from imagen.adapters.system.private_files import write_private_file
from imagen.domain.errors import InvalidRequest
from imagen.ports.clock import Clock

DEFAULT_URL = "https://api.replicate.com/v1"
CACHE_LIFETIME = timedelta(days=1)
"""The age up to which a description in the cache is used."""

_NAME = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)(?::([0-9a-f]{64}))?")
_FORMAT_VERSION = 1
"""The version of the cache files; files of another version are ignored."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The model or deployment that makes a prediction.

    Attributes:
        name: `owner/name` of the model or deployment.
        version: The version of the model that is required; "" for the latest.
        deployment: Whether it is a deployment.
    """

    name: str
    version: str = ""
    deployment: bool = False

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.version else self.name

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `owner/name` or `owner/name:version`."""
        found = _NAME.fullmatch(text)
        if found is None:
            raise InvalidRequest(
                f"{text!r} is not the name of a Replicate model.",
                hint="Use owner/name, such as black-forest-labs/flux-schnell.",
            )
        return cls(name=f"{found[1]}/{found[2]}", version=found[3] or "")


class ModelVersion(msgspec.Struct, frozen=True):
    """A version of a model, as the API describes it."""

    id: str = ""
    openapi_schema: object = None


class ModelPage(msgspec.Struct, frozen=True):
    """A model, as the API describes it."""

    owner: object = ""
    name: object = ""
    latest_version: ModelVersion | None = None
    is_official: object = None
    default_example: object = None

    @property
    def full_name(self) -> str:
        """`owner/name` in lower case; "/" if it is missing."""
        return f"{self.owner}/{self.name}".lower()

    @property
    def version(self) -> ModelVersion:
        """The latest version; empty if there is none."""
        return self.latest_version or ModelVersion()


class ModelDescription(msgspec.Struct, frozen=True, kw_only=True):
    """Replicate's description of a model.

    Attributes:
        openapi_schema: The schema of its inputs.
        version: The latest version, or the requested one; "" if it has none.
        official: Whether Replicate maintains the model; None if it does not say.
        examples: URLs of the outputs of its example.
    """

    openapi_schema: object = None
    version: str = ""
    official: bool | None = None
    examples: tuple[str, ...] = ()


class _CachedDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A description in a cache file."""

    form: int
    url: str
    name: str
    read_at: Annotated[datetime, Meta(tz=True)]
    description: ModelDescription


class ModelCatalog:
    """The known models, in memory and in cache files for the next process.

    Attributes:
        clock: The clock, for the age of the cache files.
    """

    def __init__(self, url: str, *, folder: Path | None, clock: Clock) -> None:
        """Create an empty catalog for one API; `folder` is for the cache files."""
        self._url = url
        self._folder = folder
        self.clock = clock
        self._lock = Lock()
        self._known: dict[Target, Model] = {}

    def get(self, target: Target) -> Model | None:
        """Return the model if it is known without a request."""
        with self._lock:
            if target in self._known:
                return self._known[target]
        # The cache before the table: a description is read only when the table does not
        # have the model or turned out to be outdated.
        cached = self._read_cache(target)
        return _find_in_table(target) if cached is None else self._cache(target, cached)

    def update(self, target: Target, description: ModelDescription) -> Model:
        """Replace what is known of a model by a new description."""
        self._write_cache(target, description)
        return self._cache(target, description)

    def _cache(self, target: Target, description: ModelDescription) -> Model:
        table = _find_in_table(target)
        model = Model(
            fields=read_fields(description.openapi_schema),
            pixels=table.pixels if table else {},
            version=description.version,
            official=description.official,
            examples=description.examples,
        )
        with self._lock:
            self._known[target] = model
        return model

    def _cache_path(self, target: Target) -> Path | None:
        if self._folder is None:
            return None
        kind = "deployment" if target.deployment else "model"
        name = str(target).replace("/", "--").replace(":", "--")
        return self._folder / "replicate" / f"{kind}--{name}.json"

    def _read_cache(self, target: Target) -> ModelDescription | None:
        """Return the description in the cache file, unless it is invalid or too old."""
        path = self._cache_path(target)
        if path is None:
            return None
        try:
            cached = msgspec.json.decode(path.read_bytes(), type=_CachedDescription)
        except (OSError, msgspec.DecodeError):
            return None
        identity = (cached.form, cached.url, cached.name)
        age = self.clock.now() - cached.read_at
        if (
            identity == (_FORMAT_VERSION, self._url, str(target))
            and timedelta() <= age < CACHE_LIFETIME
        ):
            return cached.description
        return None

    def _write_cache(self, target: Target, description: ModelDescription) -> None:
        """Write the description to its cache file; without effect if that fails."""
        path = self._cache_path(target)
        if path is None:
            return
        cached = _CachedDescription(
            form=_FORMAT_VERSION,
            url=self._url,
            name=str(target),
            read_at=self.clock.now(),
            description=description,
        )
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private_file(path, msgspec.json.encode(cached))


def _find_in_table(target: Target) -> Model | None:
    # A specific version is not looked up: its inputs may differ from the table's.
    if target.version or target.deployment:
        return None
    return known_models().get(target.name)
