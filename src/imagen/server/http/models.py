"""The routes that list backends as OpenAI models."""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import ImagenError
from imagen.server.errors import ErrorResponse, to_error_response
from imagen.server.http.request_mapping import find_target
from imagen.server.http.responses import READ_ERROR_RESPONSES
from imagen.server.jobs.service import ServerContext
from imagen.settings.model import BackendSettings, Settings


class ModelCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """The request parameters that a backend supports.

    Attributes:
        sizes: The only sizes; empty: any size within the bounds.
        multiple: Both sides must be multiples of this number of pixels.
        smallest: The minimum side in pixels.
        largest: The maximum side in pixels.
        seed: True if the same seed gives the same image.
        negative_prompt: True if `negative_prompt` is supported.
        num_inference_steps: True if the number of steps can be set.
        edits: The maximum number of reference images; 0: none.
        mask: True if a mask is supported.
        parameters: The names of backend-specific parameters; null: any.
        may_cost: True if a request may cost money.
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
    """A backend, or one of its models.

    `capabilities`, `default` and `trouble` are imagen's extensions of OpenAI's format.
    `trouble` is the reason why the backend cannot be used.
    """

    id: str
    created: int
    owned_by: str
    object: Literal["model"]
    capabilities: ModelCapabilities | None = None
    default: bool = False
    trouble: str = ""


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All models, those of the default backend first."""

    data: tuple[ModelData, ...]
    object: Literal["list"] = "list"


@get("/v1/models", responses=READ_ERROR_RESPONSES, tags=["models"])
async def list_models(context: NamedDependency[ServerContext]) -> ModelList:
    """List the values of `model`."""
    models = await context.in_thread(lambda: build_model_list(context))
    names = [name for name in context.settings.serve.models if "*" not in name]
    aliases = (_find_model(name, models, context.settings) for name in names)
    return ModelList(data=(*models, *filter(None, aliases)))


@get("/v1/models/{model:path}", responses=READ_ERROR_RESPONSES, tags=["models"])
async def get_model(
    model: FromPath[str], context: NamedDependency[ServerContext]
) -> ModelData:
    """Describe one model."""
    name = model.removeprefix("/")
    models = await context.in_thread(lambda: build_model_list(context))
    found = _find_model(name, models, context.settings)
    if found is None:
        raise ErrorResponse(
            404, f"Unknown model {name[:80]!r}.", code="model_not_found"
        )
    return found


def _find_model(
    name: str, models: Iterable[ModelData], settings: Settings
) -> ModelData | None:
    """Return the model of a name or alias; None if it is unknown."""
    target = find_target(settings, name)
    known = {model.id: model for model in models}
    found = known.get(name) or known.get(target or "")
    if found is None and target is not None and target != name:
        # A model that the backend does not list, because it takes any name.
        found = known.get(target.partition("/")[0])
    if found is None or found.id == name:
        return found
    return msgspec.structs.replace(found, id=name, default=False)


def build_model_list(context: ServerContext) -> tuple[ModelData, ...]:
    """Return the values of `model`, those of the default backend first."""
    backends, default = context.settings.backends, context.settings.default_backend
    names = sorted(backends, key=lambda name: name != default)
    return tuple(
        model for name in names for model in _models_of(backends[name], context)
    )


def _models_of(backend: BackendSettings, context: ServerContext) -> Iterator[ModelData]:
    name = backend.instance.name
    model = ModelData(
        id=name,
        object="model",
        created=int(context.started_at.timestamp()),
        owned_by=backend.instance.adapter,
        default=name == context.settings.default_backend,
    )
    known = context.workers.known
    try:
        stated = context.runtime.get_backend(name).capabilities()
    except ImagenError as error:
        reason = to_error_response(error).details.message
        yield msgspec.structs.replace(model, trouble=reason)
        return
    found = known.get((name, ""), stated)
    priced = backend.instance.price is not None
    usual = _describe(found, priced=priced)
    yield msgspec.structs.replace(model, capabilities=usual)
    for each in found.models or ():
        own = known.get((name, each))
        yield msgspec.structs.replace(
            model,
            id=f"{name}/{each}",
            default=False,
            capabilities=usual if own is None else _describe(own, priced=priced),
        )


def _describe(found: Capabilities, *, priced: bool) -> ModelCapabilities:
    return ModelCapabilities(
        sizes=tuple(map(str, found.sizes.choices)),
        multiple=found.sizes.multiple,
        smallest=found.sizes.smallest,
        largest=found.sizes.largest,
        seed=found.largest_seed is not None,
        negative_prompt=found.negative,
        num_inference_steps=found.steps,
        edits=found.references,
        mask=found.mask,
        parameters=None if found.parameters is None else tuple(found.parameters),
        may_cost=found.may_cost or priced,
    )
