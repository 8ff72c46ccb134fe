"""What is made here: the choices there are, what a wish would cost, and reruns."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from litestar import Request, Response, post
from litestar import get as get_route
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from imagen.bootstrap.generation import RequestContext, build_generate, build_rerun
from imagen.bootstrap.output import OutputOptions
from imagen.domain.estimate import estimate_plan
from imagen.domain.events import ignore_event
from imagen.domain.rerun import Overrides
from imagen.domain.sidecar import Change
from imagen.server.gallery.library import ImageLibrary
from imagen.server.gallery.pictures import PATH
from imagen.server.gallery.rerun import RerunSpec, remove_hints
from imagen.server.http import request_mapping
from imagen.server.http.files import build_linker
from imagen.server.http.models import ModelData, build_model_list
from imagen.server.http.schemas import MAX_PARTIAL_IMAGES, GenerationFields
from imagen.server.http.sse import EventBuilder, stream_events
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.service import ServerContext
from imagen.server.workers.work_item import WorkItem


class StyleChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A style of the config."""

    name: str
    prompt: str
    negative: str
    size: str | None


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What can be asked for here.

    Attributes:
        most: Images at once.
        longest: Characters of a prompt.
    """

    models: tuple[ModelData, ...]
    styles: tuple[StyleChoice, ...]
    most: int
    longest: int


class CostEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent, and what it would cost; None is unknown, never 0."""

    backend: str
    model: str
    images: int
    calls: int
    prompt_sent: str
    negative: str
    size: str
    cost_usd: float | None
    may_cost: bool
    ignored: Mapping[str, str]
    adjusted: Mapping[str, Change]


class RerunFields(msgspec.Struct, frozen=True, kw_only=True):
    """How an image is made again.

    Attributes:
        seed: The same, or one that is drawn anew.
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
    """Say what would be sent and what it would cost; nothing is reserved."""
    settings = context.settings
    request_mapping.check_limits(data, settings.serve)
    backend, model = request_mapping.backend_and_model(settings, data.model)
    item = WorkItem(
        backend=backend,
        ask=request_mapping.GenerateSpec(fields=data, model=model),
        count=data.n or 1,
        caller=request.user,
        wish=request_mapping.build_output_options(data),
    )
    return await context.in_thread(lambda: _estimate(item, context))


@post(PATH + "/{image_id:str}/again/estimate", include_in_schema=False, status_code=200)
async def estimate_rerun(
    image_id: FromPath[str],
    data: JSONBody[RerunFields],
    request: Request[Any, Any, Any],
    context: NamedDependency[ServerContext],
    library: NamedDependency[ImageLibrary],
) -> CostEstimate:
    """Say what making an image again would cost."""
    entry = await library.entry(image_id)

    def run() -> CostEstimate:
        item = _build_rerun_item(entry.sidecar.id, data, request.user, context)
        return _estimate(item, context)

    return await context.in_thread(run)


@post(PATH + "/{image_id:str}/again", include_in_schema=False, status_code=200)
async def rerun_image(
    image_id: FromPath[str],
    data: JSONBody[RerunFields],
    request: Request[Any, Any, Any],
    dispatcher: NamedDependency[RequestDispatcher],
    library: NamedDependency[ImageLibrary],
) -> Response[Any]:
    """Make an image again, as `imagen rerun` does, and tell how far it is."""
    context = dispatcher.context
    entry = await library.entry(image_id)
    item = await context.in_thread(
        lambda: _build_rerun_item(entry.sidecar.id, data, request.user, context)
    )
    job = dispatcher.submit(item, key=None, detached=False, live=True)
    events = EventBuilder(
        kind="image_generation",
        response_format="url",
        link=build_linker(request, context),
        started_at=context.now(),
        partial=MAX_PARTIAL_IMAGES,
    )
    return await stream_events(job, dispatcher, events)


def _build_rerun_item(
    image_id: str, rerun: RerunFields, caller: str, context: ServerContext
) -> WorkItem:
    """Return the order for what made an image.

    Raises:
        InvalidRequest: nobody knows how it was made, or its backend is gone.
    """
    use_case = build_rerun(context.runtime, pipes=False)
    with remove_hints():
        past = use_case.look(image_id)
    overrides = Overrides(seed=0 if rerun.seed == "new" else None)
    return WorkItem(
        backend=past.backend,
        ask=RerunSpec(past=past, overrides=overrides),
        caller=caller,
        wish=OutputOptions(format=past.format_on(past.backend)),
        live=True,
    )


def _estimate(item: WorkItem, context: ServerContext) -> CostEstimate:
    use_case = build_generate(
        context.runtime,
        item.backend,
        output=item.wish,
        count=item.count,
        listen=ignore_event,
        context=RequestContext(caller=item.caller),
    )
    plan = use_case.plan(item.ask.request(use_case, context.runtime))
    cost = estimate_plan(plan)
    return CostEstimate(
        backend=cost.backend,
        model=cost.model,
        images=cost.images,
        calls=cost.calls,
        prompt_sent=cost.prompt_sent,
        negative=cost.negative,
        size=cost.size,
        cost_usd=cost.cost_usd,
        may_cost=plan.may_cost,
        ignored=cost.ignored,
        adjusted=cost.adjusted,
    )


routes: Sequence[Any] = (get_choices, estimate, estimate_rerun, rerun_image)
