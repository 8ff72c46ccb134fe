"""The backends, as OpenAI's clients know models."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import ImagenError
from imagen.server.errors import ErrorResponse, to_error_response
from imagen.server.http.errors import REFUSALS
from imagen.server.jobs.service import ServerContext
from imagen.settings.model import BackendSettings


class ModelCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend understands of a request.

    Attributes:
        sizes: The only ones there are; empty: any within the bounds.
        multiple: Both sides are multiples of this many pixels.
        smallest: The shortest side.
        largest: The longest side.
        seed: Whether the same picture can be made again.
        negative_prompt: Whether it can keep things out of the picture.
        num_inference_steps: Whether the number of steps can be chosen.
        edits: How many images it takes to change; 0: none.
        mask: Whether it takes a mask.
        parameters: Of its own; null: any.
        may_cost: Whether it may cost money.
    """

    sizes: tuple[str, ...]
    multiple: int
    smallest: int
    largest: int
    seed: bool
    negative_prompt: bool
    num_inference_steps: bool
    edits: int
    mask: bool
    parameters: tuple[str, ...] | None
    may_cost: bool


class ModelData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A backend, or one of its models; what is not OpenAI's is ours."""

    id: str
    created: int
    owned_by: str
    object: Literal["model"]
    capabilities: ModelCapabilities | None = None
    default: bool = False
    trouble: str = ""


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, the default one first."""

    data: tuple[ModelData, ...]
    object: Literal["list"] = "list"


@get("/v1/models", responses=REFUSALS, tags=["models"])
async def list_models(workshop: NamedDependency[ServerContext]) -> ModelList:
    """List what can be asked for as `model`."""
    models = await workshop.in_thread(lambda: build_model_list(workshop))
    return ModelList(data=models)


@get("/v1/models/{model:path}", responses=REFUSALS, tags=["models"])
async def get_model(
    model: FromPath[str], workshop: NamedDependency[ServerContext]
) -> ModelData:
    """Describe one of them."""
    name = model.removeprefix("/")
    models = await workshop.in_thread(lambda: build_model_list(workshop))
    for found in models:
        if found.id == name:
            return found
    raise ErrorResponse(
        404, f"There is no model {name[:80]!r} here.", code="model_not_found"
    )


def build_model_list(workshop: ServerContext) -> tuple[ModelData, ...]:
    """Return what can be asked for as `model`, the default one first."""
    return tuple(_models(workshop))


def _models(workshop: ServerContext) -> Iterator[ModelData]:
    settings = workshop.settings
    default = settings.default_backend
    for name in sorted(settings.backends, key=lambda name: name != default):
        yield from _models_of(
            settings.backends[name], workshop, default=name == default
        )


def _models_of(
    chosen: BackendSettings, workshop: ServerContext, *, default: bool
) -> Iterator[ModelData]:
    name, adapter = chosen.instance.name, chosen.instance.adapter
    created = int(workshop.began.timestamp())
    try:
        can = workshop.backend(name).capabilities()
    except ImagenError as error:
        yield ModelData(
            id=name,
            object="model",
            created=created,
            owned_by=adapter,
            default=default,
            trouble=to_error_response(error).problem.message,
        )
        return
    may_cost = can.may_cost or chosen.instance.price is not None
    abilities = _abilities(can, may_cost=may_cost)
    for each in (name, *(f"{name}/{model}" for model in can.models or ())):
        yield ModelData(
            id=each,
            object="model",
            created=created,
            owned_by=adapter,
            capabilities=abilities,
            default=default and each == name,
        )


def _abilities(can: Capabilities, *, may_cost: bool) -> ModelCapabilities:
    return ModelCapabilities(
        sizes=tuple(map(str, can.sizes.choices)),
        multiple=can.sizes.multiple,
        smallest=can.sizes.smallest,
        largest=can.sizes.largest,
        seed=can.largest_seed is not None,
        negative_prompt=can.negative,
        num_inference_steps=can.steps,
        edits=can.references,
        mask=can.mask,
        parameters=None if can.parameters is None else tuple(can.parameters),
        may_cost=may_cost,
    )


routes: Sequence[Any] = (list_models, get_model)
