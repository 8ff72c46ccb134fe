"""The gallery's routes for generating: choices, cost estimates, reruns."""

from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Literal

import msgspec
from litestar import Request, post
from litestar import get as get_route
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from imagen.bootstrap.generation import build_generate, build_rerun
from imagen.bootstrap.output import OutputOptions
from imagen.bootstrap.parameters import RerunParameters
from imagen.bootstrap.requests import build_overrides
from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import InvalidRequest
from imagen.domain.estimate import Estimate, estimate_plan
from imagen.domain.history import HistoryEntry
from imagen.server.gallery.jobs import build_key, submit
from imagen.server.gallery.library import ImageLibrary
from imagen.server.gallery.pictures import PATH
from imagen.server.http.images import KeyHeader
from imagen.server.http.models import ModelData, build_model_list
from imagen.server.http.request_mapping import (
    build_work_item,
    check_limits,
    normalize_fields,
)
from imagen.server.http.schemas import GenerationFields, Name
from imagen.server.jobs.board import JobView
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.job import JobRequest
from imagen.server.jobs.service import ServerContext
from imagen.server.workers.work_item import WorkItem


class StyleChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A style of the config."""

    name: str
    prompt: str
    negative: str
    size: str | None


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the form, with limits for images and for characters."""

    models: tuple[ModelData, ...]
    styles: tuple[StyleChoice, ...]
    most: int
    longest: int


class CostEstimate(Estimate, frozen=True, kw_only=True):
    """The request as it would be sent, and its cost."""

    may_cost: bool


class RerunFields(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a rerun.

    Attributes:
        seed: `same` for the seed of the image, `new` for a random seed.
        prompt, style, negative_prompt: In place of those of the image.
    """

    seed: Literal["same", "new"] = "same"
    prompt: str | None = None
    style: Name | None = None
    negative_prompt: str | None = None


@get_route("/gallery/api/choices", include_in_schema=False)
async def get_choices(context: NamedDependency[ServerContext]) -> Choices:
    """List backends and styles."""
    settings = context.settings
    return Choices(
        models=await context.in_thread(lambda: build_model_list(context)),
        styles=tuple(
            StyleChoice(
                name=name,
                prompt=style.prompt,
                negative=style.negative,
                size=None if style.size is None else str(style.size),
            )
            for name, style in settings.styles.items()
        ),
        most=settings.serve.count,
        longest=settings.serve.prompt,
    )


@post("/gallery/api/estimate", include_in_schema=False, status_code=200)
async def estimate(
    data: JSONBody[GenerationFields],
    request: Request[Any, Any, Any],
    context: NamedDependency[ServerContext],
) -> CostEstimate:
    """Estimate the cost of a request; no budget is reserved."""
    fields = normalize_fields(data)
    check_limits(fields, context.settings.serve)
    runtime, caller = context.runtime, request.user
    return await context.in_thread(
        lambda: _estimate(build_work_item(fields, runtime, caller=caller), runtime)
    )


@post(PATH + "/{image_id:str}/again/estimate", include_in_schema=False, status_code=200)
async def estimate_rerun(
    image_id: FromPath[str],
    data: JSONBody[RerunFields],
    request: Request[Any, Any, Any],
    context: NamedDependency[ServerContext],
    library: NamedDependency[ImageLibrary],
) -> CostEstimate:
    """Estimate the cost of a rerun."""
    entry = await library.entry(image_id)
    runtime, caller = context.runtime, request.user
    return await context.in_thread(
        lambda: _estimate(_build_rerun_item(entry, data, caller, runtime), runtime)
    )


@post(PATH + "/{image_id:str}/again", include_in_schema=False, status_code=202)
async def rerun_image(
    image_id: FromPath[str],
    data: JSONBody[RerunFields],
    request: Request[Any, Any, Any],
    dispatcher: NamedDependency[RequestDispatcher],
    library: NamedDependency[ImageLibrary],
    idempotency_key: KeyHeader = None,
) -> JobView:
    """Start a job that makes an image again, as `imagen rerun` does, once per key."""
    content = sha256(msgspec.json.encode(["again", image_id, data])).hexdigest()
    key = build_key(request, idempotency_key, content)
    if (found := dispatcher.board.find(key)) is not None:
        return found
    entry = await library.entry(image_id)
    context, caller = dispatcher.context, request.user
    item = await context.in_thread(
        lambda: _build_rerun_item(entry, data, caller, context.runtime)
    )
    asked = JobRequest(
        backend=item.backend,
        build_item=lambda: item,
        caller=caller,
        key=key,
        detached=True,
        live=True,
        prompt=item.request.prompt,
    )
    return await submit(asked, request, dispatcher)


def _build_rerun_item(
    entry: HistoryEntry, rerun: RerunFields, caller: str, runtime: Runtime
) -> WorkItem:
    """Return the work item that generates an image again; reads reference images.

    Raises:
        InvalidRequest: the parameters of the image are unknown, its backend or the
            style does not exist, or a reference image is missing.
        ErrorResponse: a text is too long (422).
    """
    texts = GenerationFields(
        prompt=rerun.prompt or entry.sidecar.prompt,
        negative_prompt=rerun.negative_prompt,
    )
    check_limits(texts, runtime.settings.serve)
    use_case = build_rerun(runtime, pipes=False)
    with _without_hints():
        source = use_case.find_source(entry.sidecar.id)
    output = OutputOptions(format=source.media_type)
    maker = build_generate(runtime, source.backend, output=output, caller=caller)
    parameters: RerunParameters = {
        "prompt": rerun.prompt,
        "style": rerun.style,
        "negative": rerun.negative_prompt,
        "seed": 0 if rerun.seed == "new" else None,
    }
    with _without_hints():
        overrides = build_overrides(runtime, parameters, count=1)
        request = use_case.build_request(source, overrides, maker=maker)
    return WorkItem(
        backend=source.backend, request=request, caller=caller, output=output, live=True
    )


@contextmanager
def _without_hints() -> Generator[None]:
    # The hints of the use case are about the command line: `--image`, `imagen inspect`.
    try:
        yield
    except InvalidRequest as error:
        error.hint = ""
        raise


def _estimate(item: WorkItem, runtime: Runtime) -> CostEstimate:
    use_case = build_generate(
        runtime, item.backend, output=item.output, caller=item.caller
    )
    plan = use_case.plan(item.resolve(use_case))
    cost = msgspec.structs.asdict(estimate_plan(plan))
    return CostEstimate(may_cost=plan.may_cost, **cost)
