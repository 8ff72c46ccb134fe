"""The models of fal: a table of well-known ones, and descriptions read from fal.

The inputs in the table are those of fal's own client of 2026-11, without the limits
that it does not state. fal's API has the inputs, unit and price of each model (OpenAPI
of 2026-08-21).
"""

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from functools import cache, cached_property
from math import ceil
from threading import Lock

import msgspec

from imagen.adapters.remote.json_values import as_mapping
from imagen.adapters.remote.models.cache import DescriptionCache
from imagen.adapters.remote.models.images import (
    build_data_uri,
    check_content,
    prepare_mask,
)
from imagen.adapters.remote.models.inputs import (
    AttachedImages,
    ModelInputs,
    build_model_inputs,
)
from imagen.adapters.remote.models.matching import SentInputs, describe_sent
from imagen.adapters.remote.models.schema import Field, read_fields
from imagen.adapters.remote.models.table import ModelTable, load_model_table
from imagen.adapters.remote.vendor import Exchange, HttpRequest
from imagen.domain.capabilities import Capabilities
from imagen.domain.consumption import Used
from imagen.domain.errors import ImagenError, InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import MICROS, Cost
from imagen.domain.money.price import ListedPrice, Price, Rate, Unit

PROVIDER = "fal"
"""The name in the price table."""

_UNITS: Mapping[str, Unit] = {
    "image": "per_image",
    "megapixel": "per_megapixel",
    "second": "per_second",
    "compute second": "per_second",
    "request": "per_call",
}
_CHECKER = "enable_safety_checker"
_HIDDEN = {"sync_mode"}
"""Inputs that are never sent: the result of `sync_mode` is kept nowhere."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """fal's description of a model.

    Attributes:
        openapi: The OpenAPI schema of its endpoint.
        category: Such as `text-to-image`.
        deprecated: Whether fal calls it deprecated.
        unit: What is charged, in fal's word; "" if unknown.
        unit_usd: Price of one unit for this account; None if unknown.
        read_on: The day on which this was read.
    """

    openapi: object = None
    category: str = ""
    deprecated: bool = False
    unit: str = ""
    unit_usd: Decimal | None = None
    read_on: str = ""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model, as far as it is known.

    Attributes:
        name: Its endpoint, such as `fal-ai/flux/dev`.
        fields: Its inputs; empty if they are unknown.
        details: The rest of its description.
        configured: The inputs that the config sets for every job.
    """

    name: str
    fields: tuple[Field, ...] = ()
    details: Description = Description()
    configured: Mapping[str, object] = {}

    @property
    def inputs(self) -> ModelInputs:
        """The inputs, with the config's values as their defaults."""
        return build_model_inputs(self.fields, configured=self.configured)

    def capabilities(self) -> Capabilities:
        """Return the capabilities of the model."""
        return msgspec.structs.replace(
            self.inputs.capabilities(self.name, models=None, provider=PROVIDER),
            prices=self._list_prices(),
            output_type="video/mp4" if self.details.category.endswith("-video") else "",
        )

    def fill(self, job: ImageJob) -> Mapping[str, object]:
        """Return the values of the inputs for a job.

        Raises:
            InvalidRequest: the model does not support something in the job.
        """
        inputs = self.inputs
        for image in job.images:
            check_content(image)
        mask = prepare_mask(job.mask, inputs) if job.mask else None
        attached = AttachedImages(
            images=tuple(map(build_data_uri, job.images)),
            mask=build_data_uri(mask) if mask else None,
        )
        return inputs.build_payload(job, self.configured, attached)

    def describe_sent(self, job: ImageJob) -> SentInputs | None:
        """Return the inputs of a job; None if the content of its mask is missing."""
        return describe_sent(job, self.inputs, self.configured)

    def is_checked(self, job: ImageJob) -> bool:
        """Return whether fal makes an unsafe image of this job black."""
        return {**self.configured, **job.options}.get(_CHECKER) is not False

    def calculate_cost(self, units: float | None) -> Cost:
        """Return the cost of the units that fal charges; unknown without a price."""
        usd = self.details.unit_usd
        if usd is None or units is None:
            return Cost()
        return Cost(micros=ceil(usd * Decimal(str(units)) * MICROS), source="metered")

    def measure(self, units: float | None, *, images: int) -> Used:
        """Return the consumption, with the units that fal charges if it names them."""
        match self._unit:
            case "per_image" if units is not None:
                return Used(images=ceil(units))
            case "per_megapixel" if units is not None:
                return Used(images=images, megapixels=units)
            case "per_second":
                return Used(images=images, seconds=units)
            case _:
                return Used(images=images)

    @property
    def _unit(self) -> Unit | None:
        return _UNITS.get(self.details.unit.lower().removesuffix("s"))

    def _list_prices(self) -> tuple[ListedPrice, ...]:
        """Return the price that fal states, if its unit is known before the call."""
        usd, unit = self.details.unit_usd, self._unit
        if usd is None or unit is None:
            return ()
        source, rates = "api.fal.ai/v1/models/pricing", (Rate(unit=unit, usd=usd),)
        price = Price(rates=rates, as_of=self.details.read_on, source=source)
        return (
            ListedPrice(provider=PROVIDER, model=self.name, price=price, default=True),
        )


class ModelCatalog:
    """The known models, in memory and in cache files for the next process.

    Attributes:
        default: The name of the default model.
        url: The URL of fal's API about models and requests.
        clock: The clock.
    """

    def __init__(
        self,
        files: DescriptionCache[Description],
        *,
        url: str,
        default: str,
        configured: Mapping[str, object],
    ) -> None:
        """Create an empty catalog.

        Args:
            files: The cache files.
            url: The URL of fal's API about models and requests.
            default: The name of the default model.
            configured: The inputs that the config sets for every job.
        """
        self.default, self.url, self.clock = default, url, files.clock
        self._files = files
        self._configured = configured
        self._lock = Lock()
        self._known: dict[str, Model] = {}

    @cached_property
    def capabilities(self) -> Capabilities:
        """The capabilities of the default model, as they were known at first."""
        # The port promises the same answer every time, and a description that is read
        # later would change it.
        return (self.get(self.default) or Model(name=self.default)).capabilities()

    def get(self, name: str) -> Model | None:
        """Return the model if it is known without a request."""
        name = name or self.default
        with self._lock:
            if name in self._known:
                return self._known[name]
        cached = self._files.read(f"model/{name}")
        if cached is not None:
            return self._keep(name, cached)
        table = _load_table()
        if name not in table.models:
            return None
        details = Description(unit=table.models[name].unit)
        return self._add(name, table.read_fields(name), details)

    def load(self, name: str) -> Exchange[Model]:
        """Return the model, from memory or else from the API."""
        known = self.get(name)
        return known if known is not None else (yield from self.reload(name))

    def reload(self, name: str) -> Exchange[Model]:
        """Read the description of a model from the API, and keep it.

        Raises:
            InvalidRequest: fal has no such model.
        """
        name = name or self.default
        query = {"endpoint_id": name}
        response = yield HttpRequest(
            path=f"{self.url}/models", query={**query, "expand": "openapi-3.0"}
        )
        listed = [e for e in response.json(_Models).models if e.endpoint_id == name]
        if not listed:
            raise InvalidRequest(f"fal has no model {name}.")
        price = _ListedUnit()
        # Without it, the price table and the config may have the price.
        with suppress(ImagenError):
            response = yield HttpRequest(path=f"{self.url}/models/pricing", query=query)
            found = (e for e in response.json(_Prices).prices if e.endpoint_id == name)
            price = next(found, price)
        description = Description(
            openapi=listed[0].openapi,
            category=listed[0].metadata.category,
            deprecated=listed[0].metadata.status == "deprecated",
            unit=price.unit,
            unit_usd=price.unit_price if price.currency == "USD" else None,
            read_on=self.clock.now().date().isoformat(),
        )
        self._files.write(f"model/{name}", description)
        return self._keep(name, description)

    def check(self) -> Mapping[str, Exchange[str]]:
        """Return the checks of the key and of the default model."""
        return {"fal": self._check_key(), f"model {self.default}": self._check_model()}

    def _check_key(self) -> Exchange[str]:
        query = {"endpoint_id": self.default}
        yield HttpRequest(path=f"{self.url}/models/pricing", query=query)
        return ""

    def _check_model(self) -> Exchange[str]:
        model = yield from self.reload(self.default)
        return "deprecated by fal" if model.details.deprecated else ""

    def _keep(self, name: str, description: Description) -> Model:
        schema = description.openapi
        fields = read_fields(schema, name=_find_input(schema))
        details = msgspec.structs.replace(description, openapi=None)
        return self._add(name, fields, details)

    def _add(self, name: str, fields: tuple[Field, ...], details: Description) -> Model:
        model = Model(
            name=name,
            fields=tuple(field for field in fields if field.name not in _HIDDEN),
            details=details,
            configured=self._choose_configured(name, fields),
        )
        with self._lock:
            self._known[name] = model
        return model

    def _choose_configured(
        self, name: str, fields: tuple[Field, ...]
    ) -> Mapping[str, object]:
        """Return the inputs in the config; for another model, those that it knows."""
        if name == self.default:
            return self._configured
        names = {field.name for field in fields}
        return {key: self._configured[key] for key in self._configured.keys() & names}


class _Metadata(msgspec.Struct, frozen=True):
    category: str = ""
    status: str = ""


class _ListedModel(msgspec.Struct, frozen=True):
    endpoint_id: str
    metadata: _Metadata = _Metadata()
    openapi: object = None


class _Models(msgspec.Struct, frozen=True):
    models: tuple[_ListedModel, ...]


class _ListedUnit(msgspec.Struct, frozen=True):
    endpoint_id: str = ""
    unit_price: Decimal | None = None
    unit: str = ""
    currency: str = ""


class _Prices(msgspec.Struct, frozen=True):
    prices: tuple[_ListedUnit, ...]


@cache
def _load_table() -> ModelTable:
    return load_model_table(__file__)


def _find_input(openapi: object) -> str:
    """Return the name of the schema of the inputs of an endpoint."""
    for path in as_mapping(as_mapping(openapi).get("paths")).values():
        found: object = path
        for step in ("post", "requestBody", "content", "application/json", "schema"):
            found = as_mapping(found).get(step)
        reference = as_mapping(found).get("$ref")
        if isinstance(reference, str):
            return reference.rpartition("/")[2]
    return "Input"
