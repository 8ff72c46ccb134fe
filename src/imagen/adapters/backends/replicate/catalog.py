"""The catalog of models: the built-in table, and descriptions read from the API."""

import re
from pathlib import Path
from threading import Lock
from typing import Self

import msgspec

from imagen.adapters.backends.replicate.models import Model, known_models
from imagen.adapters.remote.models.cache import DescriptionCache
from imagen.adapters.remote.models.schema import read_fields
from imagen.domain.errors import InvalidRequest
from imagen.ports.clock import Clock

DEFAULT_URL = "https://api.replicate.com/v1"

_NAME = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)(?::([0-9a-f]{64}))?")


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


class ModelCatalog:
    """The known models, in memory and in cache files for the next process.

    Attributes:
        clock: The clock, for the age of the cache files.
    """

    def __init__(self, url: str, *, folder: Path | None, clock: Clock) -> None:
        """Create an empty catalog for one API; `folder` is for the cache files."""
        self.clock = clock
        folder = None if folder is None else folder / "replicate"
        self._files = DescriptionCache(
            ModelDescription, url=url, folder=folder, clock=clock
        )
        self._lock = Lock()
        self._known: dict[Target, Model] = {}

    def get(self, target: Target) -> Model | None:
        """Return the model if it is known without a request."""
        with self._lock:
            if target in self._known:
                return self._known[target]
        # The cache before the table: a description is read only when the table does not
        # have the model or turned out to be outdated.
        cached = self._files.read(_name_file(target))
        return _find_in_table(target) if cached is None else self._cache(target, cached)

    def update(self, target: Target, description: ModelDescription) -> Model:
        """Replace what is known of a model by a new description."""
        self._files.write(_name_file(target), description)
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


def _name_file(target: Target) -> str:
    kind = "deployment" if target.deployment else "model"
    return f"{kind}/{target}"


def _find_in_table(target: Target) -> Model | None:
    # A specific version is not looked up: its inputs may differ from the table's.
    if target.version or target.deployment:
        return None
    return known_models().get(target.name)
