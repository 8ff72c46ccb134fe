"""The mock backend: draws a picture locally, and simulates failures on request.

A short example of an adapter. The picture comes from `painter` and `scene`, which need
not be read for that.
"""

from collections.abc import Callable
from threading import Event
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import (
    BackendError,
    ImagenError,
    InvalidRequest,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import FREE
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.seed import LARGEST_SEED
from imagen.domain.size import SizeRule
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend, Readiness
from imagen.ports.job_context import JobContext

DEFAULT_STEPS = 20
MAX_PROGRESS_REPORTS = 1000
ONE_DAY = 86400.0

Failure = Literal[
    "none",
    "refused",
    "throttled",
    "unavailable",
    "unauthorized",
    "out_of_credit",
    "backend_error",
    "unfinished",
    "no_image",
    "truncated",
    "silent",
    "deaf",
]

# A real vendor raises these before it accepts the job, and the others while it works.
_BEFORE_START: dict[Failure, Callable[[str], ImagenError]] = {
    "throttled": lambda message: Throttled(message, retry_after=1.0),
    "unavailable": Unavailable,
    "unauthorized": Unauthorized,
    "out_of_credit": OutOfCredit,
}
_WHILE_WORKING: dict[Failure, Callable[[str], ImagenError]] = {
    "refused": Refused,
    "backend_error": BackendError,
    "unfinished": Unfinished,
}


class MockOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The options of the mock in the config."""

    delay: Annotated[
        float,
        Meta(ge=0, le=ONE_DAY, description="Seconds that one image takes."),
    ] = 0.0
    fail: Annotated[
        Failure, Meta(description="A failure to simulate instead of an image.")
    ] = "none"
    without: Annotated[
        tuple[Literal["seed", "steps", "negative"], ...],
        Meta(
            description="Parameters that are not supported, as with some backends.",
            examples=[["seed", "negative"]],
        ),
    ] = ()
    size_multiple: Annotated[
        int, Meta(ge=1, le=1024, description="Sides are multiples of this many pixels.")
    ] = 1


class MockBackend:
    """A backend whose picture depends only on prompt, seed, size and steps."""

    def __init__(self, options: MockOptions, *, name: str) -> None:
        self._options = options
        self._name = name

    def capabilities(self) -> Capabilities:
        """Return support for every parameter that the options do not switch off."""
        without = self._options.without
        return Capabilities(
            model="mock",
            sizes=SizeRule(multiple=self._options.size_multiple),
            largest_seed=None if "seed" in without else LARGEST_SEED,
            negative="negative" not in without,
            steps="steps" not in without,
            formats=("image/png",),
            parameters={
                "delay": "seconds that one image takes",
                "fail": "a failure to simulate",
            },
            may_cost=False,
        )

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Report progress step by step, then draw the picture."""
        options = _merge_options(self._options, job)
        failure = f"{self._name}: failure simulated by `fail: {options.fail}`."
        if error := _BEFORE_START.get(options.fail):
            raise error(failure)
        steps = DEFAULT_STEPS if job.steps is None else job.steps
        # A job can have more steps than are worth an event each.
        ticks = min(steps, MAX_PROGRESS_REPORTS)
        for tick in range(1, ticks + 1):
            context.sleep(options.delay / ticks)
            done = steps * tick // ticks
            context.progress(done / steps, "painting", steps=steps)
        if options.fail == "silent":
            context.sleep(ONE_DAY)
        # `deaf` breaks the port's promise on purpose: it waits without the context, so
        # it cannot be cancelled, and shows what the core does with such a backend.
        if options.fail == "deaf":
            Event().wait(ONE_DAY)
        if error := _WHILE_WORKING.get(options.fail):
            raise error(failure)
        context.sleep(0)
        content = _draw_png(job, steps)
        if options.fail == "no_image":
            content = b"<!doctype html><title>502 Bad Gateway</title>"
        if options.fail == "truncated":
            content = content[: len(content) // 2]
        image = GeneratedImage(content=content, media_type="image/png", seed=job.seed)
        return Generated(
            images=(image,) * job.count,
            model="mock",
            steps=steps,
            cost=FREE,
            source_type="algorithmicMedia",
        )

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        """Return ready, unless the options simulate a failure that a check can find."""
        context.sleep(0)
        fail = self._options.fail
        if fail in _BEFORE_START:
            note = f"fail: {fail}"
            return (Readiness(name="simulated failure", ready=False, note=note),)
        return (Readiness(name="built in", ready=True),)


def _merge_options(options: MockOptions, job: ImageJob) -> MockOptions:
    """Return the config's options with those of the job, which take precedence."""
    try:
        return msgspec.convert(
            {**msgspec.structs.asdict(options), **job.options}, MockOptions
        )
    except msgspec.ValidationError as error:
        wrong = ", ".join(f"{name}={value}" for name, value in job.options.items())
        raise InvalidRequest(
            f"Invalid parameter of the mock: {wrong}.",
            hint="delay must be a number of seconds from 0 to 86400; fail must be one"
            f" of {', '.join(get_args(Failure))}.",
        ) from error


def _draw_png(job: ImageJob, steps: int) -> bytes:
    # Every command that reads the config loads this module; only drawing needs Pillow.
    from imagen.adapters.backends.mock.painter import encode_png, paint  # noqa: PLC0415

    picture = paint(
        prompt=job.prompt,
        negative=job.negative,
        seed=job.number if job.seed is None else job.seed,
        width=job.size.width,
        height=job.size.height,
        steps=steps,
    )
    return encode_png(picture)


def create(options: MockOptions, context: BackendContext) -> ImageBackend:
    """Return the backend."""
    return MockBackend(options, name=context.name)


adapter = Adapter(
    summary="A picture drawn from the prompt: offline, free, instant.",
    options=MockOptions,
    create=create,
    multiprocess=True,
)
