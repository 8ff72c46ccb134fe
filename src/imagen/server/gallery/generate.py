"""The gallery's routes for generating: choices, cost estimates, reruns."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from litestar import Request, Response, post
from litestar import get as get_route
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from imagen.bootstrap.generation import build_generate, build_rerun
from imagen.bootstrap.output import OutputOptions
from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import InvalidRequest
from imagen.domain.estimate import Estimate, estimate_plan
from imagen.domain.history import HistoryEntry
from imagen.domain.rerun import Overrides
from imagen.server.gallery.library import ImageLibrary
from imagen.server.gallery.pictures import PATH
from imagen.server.http.delivery import watch_connection
from imagen.server.http.files import build_describer
from imagen.server.http.models import ModelData, build_model_list
from imagen.server.http.request_mapping import build_work_item, check_limits
from imagen.server.http.schemas import MAX_PARTIAL_IMAGES, GenerationFields
from imagen.server.http.sse import EventBuilder, stream_events
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
    """

    seed: Literal["same", "new"] = "same"


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
    check_limits(data, context.settings.serve)
    runtime, caller = context.runtime, request.user
    return await context.in_thread(
        lambda: _estimate(build_work_item(data, runtime, caller=caller), runtime)
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


@post(PATH + "/{image_id:str}/again", include_in_schema=False, status_code=200)
async def rerun_image(
    image_id: FromPath[str],
    data: JSONBody[RerunFields],
    request: Request[Any, Any, Any],
    dispatcher: NamedDependency[RequestDispatcher],
    library: NamedDependency[ImageLibrary],
) -> Response[Any]:
    """Rerun an image, as `imagen rerun` does, and stream the events."""
    entry = await library.entry(image_id)
    context, caller = dispatcher.context, request.user
    item = await context.in_thread(
        lambda: _build_rerun_item(entry, data, caller, context.runtime)
    )
    connection = watch_connection(request)
    asked = JobRequest(
        backend=item.backend,
        build_item=lambda: item,
        caller=caller,
        detached=True,
        live=True,
    )
    job = await dispatcher.submit(asked, connection)
    events = EventBuilder(
        kind="image_generation",
        describe=build_describer(request, context, "url"),
        started_at=context.now(),
        partial=MAX_PARTIAL_IMAGES,
    )
    await dispatcher.validate(job, connection)
    return stream_events(job, events)


def _build_rerun_item(
    entry: HistoryEntry, rerun: RerunFields, caller: str, runtime: Runtime
) -> WorkItem:
    """Return the work item that generates an image again; reads reference images.

    Raises:
        InvalidRequest: the parameters of the image are unknown, its backend no longer
            exists, or a reference image is missing.
    """
    use_case = build_rerun(runtime, pipes=False)
    with _without_hints():
        source = use_case.find_source(entry.sidecar.id)
    output = OutputOptions(format=source.media_type)
    maker = build_generate(runtime, source.backend, output=output, caller=caller)
    overrides: Overrides = {"count": 1}
    if rerun.seed == "new":
        overrides = {**overrides, "seed": 0}
    with _without_hints():
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
