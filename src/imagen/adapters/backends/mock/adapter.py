"""Makes a picture here and now, with knobs to rehearse what can go wrong elsewhere."""

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
from imagen.domain.money.cost import FREE
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.seed import LARGEST_SEED
from imagen.domain.size import SizeRule
from imagen.ports.backend import (
    Adapter,
    BackendContext,
    ImageBackend,
    JobContext,
    Readiness,
)

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

ERRORS: dict[Failure, Callable[[str], ImagenError]] = {
    "refused": Refused,
    "throttled": lambda message: Throttled(message, retry_after=1.0),
    "unavailable": Unavailable,
    "unauthorized": Unauthorized,
    "out_of_credit": OutOfCredit,
    "backend_error": BackendError,
    "unfinished": Unfinished,
}
_BEFORE_START = {"unavailable", "unauthorized", "out_of_credit", "throttled"}


class MockOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The mock's own block of the config."""

    delay: Annotated[
        float,
        Meta(ge=0, le=ONE_DAY, description="Seconds that one image takes."),
    ] = 0.0
    fail: Annotated[
        Failure, Meta(description="A failure to rehearse instead of an image.")
    ] = "none"
    without: Annotated[
        tuple[Literal["seed", "steps", "negative"], ...],
        Meta(
            description="Parameters to be ignorant of, as some backends are.",
            examples=[["seed", "negative"]],
        ),
    ] = ()
    size_multiple: Annotated[
        int, Meta(ge=1, le=1024, description="Sides are multiples of this many pixels.")
    ] = 1


class MockBackend:
    """The same prompt, seed, size and steps always give the same picture."""

    def __init__(self, options: MockOptions, *, name: str) -> None:
        self._options = options
        self._name = name

    def __repr__(self) -> str:
        return f"MockBackend({self._name!r})"

    def capabilities(self) -> Capabilities:
        """Everything, unless the options say otherwise."""
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
                "fail": "a failure to rehearse",
            },
            may_cost=False,
        )

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Take the steps, then paint."""
        options = _merge_options(self._options, job)
        _raise_simulated(options.fail, self._name, before=True)
        steps = DEFAULT_STEPS if job.steps is None else job.steps
        ticks = min(steps, MAX_PROGRESS_REPORTS)
        for tick in range(1, ticks + 1):
            context.sleep(options.delay / ticks)
            done = steps * tick // ticks
            context.progress(done / steps, "painting", steps=steps)
        if options.fail == "silent":
            context.sleep(ONE_DAY)
        if options.fail == "deaf":  # as a backend that breaks its word to the context
            Event().wait(ONE_DAY)
        _raise_simulated(options.fail, self._name, before=False)
        context.sleep(0)
        image = GeneratedImage(
            content=_draw_png(job, steps, options.fail),
            media_type="image/png",
            seed=job.seed,
        )
        return Generated(
            images=(image,) * job.count, model="mock", steps=steps, cost=FREE
        )

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        """Always there, unless a failure is staged that a check would find."""
        context.sleep(0)
        fail = self._options.fail
        if fail in _BEFORE_START:
            return (Readiness(name="staged", ready=False, note=f"fail: {fail}"),)
        return (Readiness(name="built in", ready=True),)


def _merge_options(options: MockOptions, job: ImageJob) -> MockOptions:
    if not job.options:
        return options
    try:
        return msgspec.convert(
            {**msgspec.structs.asdict(options), **job.options}, MockOptions
        )
    except msgspec.ValidationError as error:
        wrong = ", ".join(f"{name}={value}" for name, value in job.options.items())
        raise InvalidRequest(
            f"The mock cannot take {wrong}.",
            hint="delay is a number of seconds from 0 on; fail is one of "
            + ", ".join(get_args(Failure))
            + ".",
        ) from error


def _raise_simulated(fail: Failure, name: str, *, before: bool) -> None:
    if fail in ERRORS and (fail in _BEFORE_START) is before:
        raise ERRORS[fail](f"{name}: staged by `fail: {fail}`.")


def _draw_png(job: ImageJob, steps: int, fail: Failure) -> bytes:
    if fail == "no_image":
        return b"<!doctype html><title>502 Bad Gateway</title>"
    from imagen.adapters.backends.mock.picture import (  # noqa: PLC0415 - costs Pillow
        encode_png,
        paint,
    )

    picture = paint(
        prompt=job.prompt,
        negative=job.negative,
        seed=job.number if job.seed is None else job.seed,
        width=job.size.width,
        height=job.size.height,
        steps=steps,
    )
    content = encode_png(picture)
    return content[: len(content) // 2] if fail == "truncated" else content


def create(options: MockOptions, context: BackendContext) -> ImageBackend:
    """Build the backend; it needs nothing."""
    return MockBackend(options, name=context.name)


adapter = Adapter(
    summary="A picture from the words themselves: offline, free, at once.",
    options=MockOptions,
    create=create,
    multiprocess=True,
)
