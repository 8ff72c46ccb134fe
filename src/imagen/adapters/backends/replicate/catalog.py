"""What is known of models: the table, what was read before, and what can be asked."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Self

import msgspec

from imagen.adapters.backends.replicate.inputs import ModelInputs, build_model_inputs
from imagen.adapters.backends.replicate.models import find_known_model
from imagen.adapters.backends.replicate.schema import Field, read_fields
from imagen.adapters.backends.replicate.sizes import Pixels
from imagen.domain.errors import InvalidRequest
from imagen.ports.clock import Clock

DEFAULT_URL = "https://api.replicate.com/v1"
CACHE_LIFETIME = timedelta(days=1)
"""How long a description that was read is believed."""

_NAME = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)(?::([0-9a-f]{64}))?")
_FORMAT_VERSION = 1
"""Of the files; one of another form is not read."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a prediction is asked of.

    Attributes:
        name: `owner/name` of a model, or of a deployment.
        version: The only version of the model that will do; "" takes what there is.
        deployment: Whether it is one, and no model.
    """

    name: str
    version: str = ""
    deployment: bool = False

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.version else self.name

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `owner/name` or `owner/name:version`.

        Raises:
            InvalidRequest: it is written differently.
        """
        found = _NAME.fullmatch(text)
        if found is None:
            raise InvalidRequest(
                f"{text!r} is no model of Replicate.",
                hint="Write owner/name, such as black-forest-labs/flux-schnell.",
            )
        return cls(name=f"{found[1]}/{found[2]}", version=found[3] or "")


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one model.

    Attributes:
        fields: Its inputs; none when they are not known.
        pixels: The sizes that are known to come out.
        version: The version to ask for, if it is known.
        official: Whether it is called by its name; None when nobody says.
    """

    fields: tuple[Field, ...] = ()
    pixels: Pixels = {}
    version: str = ""
    official: bool | None = None

    def build_inputs(self, own: Mapping[str, object]) -> ModelInputs:
        """Return what it takes, with what the config says of that."""
        return build_model_inputs(self.fields, pixels=self.pixels, configured=own)


class ConfiguredInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What the config wants to be sent with every job.

    Attributes:
        target: To whom.
        values: By the model's own names.
    """

    target: Target
    values: Mapping[str, object] = {}

    def for_target(self, target: Target, model: Model) -> Mapping[str, object]:
        """Return what goes to this model; another takes only what it knows."""
        if target == self.target:
            return self.values
        names = {field.name for field in model.fields}
        return {name: value for name, value in self.values.items() if name in names}


class ModelDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What Replicate says of a model.

    Attributes:
        openapi_schema: How its inputs are described.
        version: Its latest version, or the one that was asked for; "" if it has none.
        official: Whether Replicate keeps it running; None when it does not say.
    """

    openapi_schema: object = None
    version: str = ""
    official: bool | None = None


class _CachedDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A description in a file."""

    form: int
    url: str
    name: str
    read_at: datetime
    description: ModelDescription


class ModelCatalog:
    """Remembers what is known of models, here and in files for the next process."""

    def __init__(self, url: str, *, folder: Path | None, clock: Clock) -> None:
        """Remember nothing yet.

        Args:
            url: Whose models they are.
            folder: Where the files are; it need not be there.
            clock: Tells how old they are.
        """
        self._url = url
        self._folder = folder
        self._clock = clock
        self._lock = Lock()
        self._known: dict[Target, Model] = {}

    def get(self, target: Target) -> Model | None:
        """Return what is known without asking anybody."""
        with self._lock:
            if target in self._known:
                return self._known[target]
        kept = self._read_cache(
            target
        )  # first: it was read because the table was wrong
        return _find_in_table(target) if kept is None else self._cache(target, kept)

    def update(self, target: Target, description: ModelDescription) -> Model:
        """Take in what Replicate says, instead of what was known."""
        self._write_cache(target, description)
        return self._cache(target, description)

    def _cache(self, target: Target, description: ModelDescription) -> Model:
        table = _find_in_table(target)
        model = Model(
            fields=read_fields(description.openapi_schema),
            pixels=table.pixels if table else {},
            version=description.version,
            official=description.official,
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
        """Return what a file says that is whole, ours, and not too old."""
        path = self._cache_path(target)
        if path is None:
            return None
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_CachedDescription)
        except (OSError, msgspec.DecodeError):
            return None
        ours = (kept.form, kept.url, kept.name) == (
            _FORMAT_VERSION,
            self._url,
            str(target),
        )
        try:
            age = self._clock.now() - kept.read_at
        except TypeError:  # a time without a zone
            return None
        return (
            kept.description if ours and timedelta() <= age < CACHE_LIFETIME else None
        )

    def _write_cache(self, target: Target, description: ModelDescription) -> None:
        """Keep it for the next process, if that can be done; all of it or nothing."""
        path = self._cache_path(target)
        if path is None:
            return
        kept = _CachedDescription(
            form=_FORMAT_VERSION,
            url=self._url,
            name=str(target),
            read_at=self._clock.now(),
            description=description,
        )
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_atomically(path, msgspec.json.encode(kept))


def _write_atomically(path: Path, content: bytes) -> None:
    """Write all of a file or nothing, whoever reads or writes it meanwhile."""
    from tempfile import NamedTemporaryFile  # noqa: PLC0415 - rare

    with NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        new = Path(file.name)
        try:
            file.write(content)
            file.flush()
            new.replace(path)
        except OSError:
            new.unlink()
            raise


def _find_in_table(target: Target) -> Model | None:
    """Return a model of the table; a version of one may take other inputs."""
    found = (
        None if target.version or target.deployment else find_known_model(target.name)
    )
    if found is None:
        return None
    return Model(
        fields=found.fields,
        pixels=found.pixels,
        official=found.official,
    )
