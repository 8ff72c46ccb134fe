"""The endpoints of a model: one for each provider that serves it, as OpenRouter says.

A provider describes each parameter as an enum, a range or a boolean; other kinds may
come, and are passed on without a check.
"""

from collections.abc import Iterable, Mapping
from itertools import chain

import msgspec

from imagen.adapters.backends.openrouter.prices import read_price
from imagen.adapters.remote.json_values import as_line, as_list, as_mapping, as_number
from imagen.adapters.remote.models.schema import Field
from imagen.domain.errors import InvalidRequest
from imagen.domain.money.price import Price

NEGATIVE = ("negative_prompt",)
STEPS = ("num_inference_steps", "steps")
"""The names of providers for what imagen has flags for."""

_LONGEST = 200


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One provider of a model.

    Attributes:
        tag: The name that selects the endpoint.
        slug: The name under which the provider gets options of its own.
        parameters: The parameters of the API that the provider takes.
        options: The options of its own that it takes.
        price: The most expensive price that may apply; None if tokens are charged, or
            if there is none.
    """

    tag: str
    slug: str
    parameters: Mapping[str, Field] = {}
    options: tuple[str, ...] = ()
    price: Price | None = None

    def takes(self, name: str, value: object) -> bool:
        """Return whether the provider takes the parameter or option with this value."""
        if name not in self.parameters:
            return name in self.options
        try:
            self.parameters[name].convert(value)
        except InvalidRequest:
            return False
        return True

    def find(self, names: Iterable[str]) -> str:
        """Return the first of these options that the provider has; "" for none."""
        return next((name for name in names if name in self.options), "")


class ModelDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoints of a model."""

    endpoints: tuple[Endpoint, ...] = ()

    def serving(self, providers: Iterable[str]) -> tuple[Endpoint, ...]:
        """Return the endpoints of the providers, by tag or slug; all without names."""
        names = set(providers)
        return tuple(
            each
            for each in self.endpoints
            if not names or names & {each.tag, each.slug}
        )


def read_description(body: object, *, day: str) -> ModelDescription:
    """Return the endpoints in a response; what cannot be read is left out.

    Args:
        body: The response.
        day: The date of the response, for its prices.
    """
    found = (as_mapping(each) for each in as_list(as_mapping(body).get("endpoints")))
    return ModelDescription(
        endpoints=tuple(_read_endpoint(each, day) for each in found)
    )


def union(endpoints: Iterable[Endpoint]) -> Mapping[str, Field]:
    """Return the parameters that at least one of the endpoints takes."""
    found: dict[str, list[Field]] = {}
    for endpoint in endpoints:
        for name, field in endpoint.parameters.items():
            found.setdefault(name, []).append(field)
    return {name: _merge(fields) for name, fields in found.items()}


def common(endpoints: Iterable[Endpoint]) -> Mapping[str, Field]:
    """Return the parameters that every endpoint takes, with the values that all take.

    A parameter without such a value is left out.
    """
    endpoints = tuple(endpoints)
    shared: dict[str, Field] = {}
    for name, field in union(endpoints).items():
        if not all(name in each.parameters for each in endpoints):
            continue
        listed = dict.fromkeys(
            chain(*(each.parameters[name].choices for each in endpoints))
        )
        taken = tuple(
            choice
            for choice in listed
            if all(each.takes(name, choice) for each in endpoints)
        )
        if taken or not listed:
            shared[name] = msgspec.structs.replace(field, choices=taken)
    return shared


def _merge(fields: list[Field]) -> Field:
    """Return what at least one allows; any value if one states none."""
    choices = [each.choices for each in fields]
    lows = [each.lowest for each in fields if each.lowest is not None]
    highs = [each.highest for each in fields if each.highest is not None]
    every = len(fields)
    return Field(
        name=fields[0].name,
        kind="number" if all(each.kind == "number" for each in fields) else "any",
        choices=tuple(dict.fromkeys(chain(*choices))) if all(choices) else (),
        lowest=min(lows) if len(lows) == every else None,
        highest=max(highs) if len(highs) == every else None,
    )


def _read_endpoint(found: Mapping[str, object], day: str) -> Endpoint:
    slug = as_line(found.get("provider_slug"), longest=_LONGEST)
    parameters = as_mapping(found.get("supported_parameters"))
    options = as_list(found.get("allowed_passthrough_parameters"))
    return Endpoint(
        tag=as_line(found.get("provider_tag"), longest=_LONGEST) or slug,
        slug=slug,
        parameters={name: _read_field(name, parameters[name]) for name in parameters},
        options=tuple(option for option in options if isinstance(option, str)),
        price=read_price(as_list(found.get("pricing")), day),
    )


def _read_field(name: str, found: object) -> Field:
    descriptor = as_mapping(found)
    is_range = descriptor.get("type") == "range"
    return Field(
        name=name,
        kind="number" if is_range else "any",
        choices=tuple(str(value) for value in as_list(descriptor.get("values"))),
        lowest=as_number(descriptor.get("min")),
        highest=as_number(descriptor.get("max")),
    )
