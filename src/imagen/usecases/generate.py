"""Make the images that somebody asked for, and store each with how it was made."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC

import msgspec

from imagen.domain import events
from imagen.domain.call import Call, Received, classify_failure, usage_row
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import Cancelled, ImagenError
from imagen.domain.estimate import estimate_job_cost
from imagen.domain.ids import new_id
from imagen.domain.instance import Instance
from imagen.domain.money.budget import (
    Budget,
    BudgetLimit,
    check_price,
    current_limits,
    format_micros,
)
from imagen.domain.money.cost import Cost
from imagen.domain.money.price import PriceOf, calculate_cost, no_price
from imagen.domain.plan import GenerationPlan, ImageJob, plan_images
from imagen.domain.request import GenerationRequest
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.domain.retry import RetryPolicy
from imagen.domain.seed import RandomInt
from imagen.engine.attempt import attempt
from imagen.engine.cancellation import Cancellation
from imagen.engine.job_context import LiveRunningJobContext, RunningJobContext
from imagen.engine.persist import PersistImages
from imagen.engine.recorder import CallRecorder, Recorder
from imagen.engine.store import StoreImage
from imagen.engine.thread_pool import run_task_groups
from imagen.ports.backend import ImageBackend, PerModelBackend, WarmupBackend
from imagen.ports.clock import Clock


def ignore_calls(calls: Sequence[Call]) -> None:
    """Take no notice of what is about to be made."""


class GenerateImages(msgspec.Struct, frozen=True, kw_only=True):
    """The one use case that spends money.

    Attributes:
        instance: What the config says of the backend.
        backend: What makes the images.
        store: What puts them where they belong.
        records: What is written down of every call.
        clock: The time.
        draw: The dice.
        caller: Who is asking.
        origin: Through which door.
        price_of: Looks up what a provider charges.
        budgets: What limits the spending on this backend.
        retry: When to ask again.
        live: Whether pictures are wanted of an image while it is made.
        begun: Told of the calls that are about to be made; if it raises, none is.
        here: Whether a single call is made in the thread that asks for its outcome.
        listen: Hears what happens.
    """

    instance: Instance
    backend: ImageBackend
    store: StoreImage
    records: Recorder
    clock: Clock
    random_int: RandomInt
    caller: str = ""
    origin: str = ""
    price_of: PriceOf = no_price
    budgets: tuple[Budget, ...] = ()
    retry: RetryPolicy = RetryPolicy()
    live: bool = False
    before_calls: Callable[[Sequence[Call]], object] = ignore_calls
    inline: bool = False
    listen: events.Listener = events.ignore_event

    def capabilities(self, model: str = "") -> Capabilities:
        """Return what the backend can do with a model; with "" with its own."""
        if not isinstance(self.backend, PerModelBackend):
            return self.backend.capabilities()
        context = RunningJobContext(number=1, clock=self.clock, listen=self.listen)
        return self.backend.capabilities_of(model, context)

    def plan(self, request: GenerationRequest) -> GenerationPlan:
        """Decide everything, send nothing.

        Raises:
            InvalidRequest: something makes no sense, here or to the backend.
            OverBudget: it costs too much for any day.
        """
        self.check_target(count=request.count)
        plan = plan_images(
            request,
            instance=self.instance,
            capabilities=self.capabilities(request.model or ""),
            random_int=self.random_int,
            now=self.clock.now(),
            media_type=self.store.place.destination.media_type,
            price_of=self.price_of,
        )
        if plan.may_cost or request.max_cost is not None:
            check_price(
                self.budgets if plan.may_cost else (),
                calls=[estimate_job_cost(plan, job).micros for job in plan.jobs],
                max_cost=request.max_cost,
            )
        return plan

    def check_target(self, *, count: int) -> None:
        """Find out what is wrong with the names of so many images.

        Raises:
            InvalidRequest: they are too long, no image's, or out of the folder.
        """
        place = self.store.place
        place.destination.check(
            at=self.clock.now(),
            backend=self.instance.name,
            count=count,
            sidecar=place.sidecar,
        )

    def check_budget(self, plan: GenerationPlan) -> None:
        """Find out whether the plan could be carried out now, and reserve nothing.

        Raises:
            OverBudget: it could not.
            JournalError: that cannot be told.
        """
        if plan.may_cost and self.budgets:
            for record in self._reserve(plan):
                record.close(None)

    def run(
        self, request: GenerationRequest, *, cancellation: Cancellation | None = None
    ) -> GenerationReport:
        """Make and store all the images, and return what became of them, in order.

        Raises:
            InvalidRequest, OverBudget, JournalError: nothing was sent.
        """
        plan = self.plan(request)
        outcomes = list(self.outcomes(plan, cancellation or Cancellation()))
        outcomes.sort(key=lambda outcome: outcome.number)
        return GenerationReport(
            stored=tuple(image for image in outcomes if isinstance(image, StoredImage)),
            failed=tuple(image for image in outcomes if isinstance(image, FailedImage)),
        )

    def outcomes(
        self, plan: GenerationPlan, cancellation: Cancellation
    ) -> Iterator[StoredImage | FailedImage]:
        """Carry out a plan, and yield what becomes of each image once it is known.

        One that fails does not keep the others from being made.

        Raises:
            OverBudget, JournalError, Unauthorized, Misconfigured: nothing was sent.
        """
        self.prepare()
        works = self.prepare_calls(self._begin(plan), plan.jobs)
        count = plan.request.count
        self.listen(events.Planned(backend=self.instance.name, images=count))
        for warning in plan.parameter_report.warnings():
            self.listen(events.Warned(message=warning))
        can_show = self.live and self.capabilities(plan.request.model or "").live
        if self.live and not can_show:
            self._warn("sends no pictures of an image while it makes it.")
        yield from run_calls(
            [(works, self.instance.concurrency)],
            cancellation=cancellation,
            clock=self.clock,
            inline=self.inline,
        )
        if can_show and not any(_shown(work.context) for work in works):
            self._warn("sent no picture while it worked.")
        self.listen(events.Finished())

    def _warn(self, words: str) -> None:
        self.listen(events.Warned(message=f"{self.instance.name} {words}"))

    def _begin(self, plan: GenerationPlan) -> list[CallRecorder]:
        records = self._reserve(plan)
        try:
            self.before_calls([record.call for record in records])
        except BaseException:
            for record in records:
                record.close(None)
            raise
        return records

    def _reserve(self, plan: GenerationPlan) -> list[CallRecorder]:
        """Reserve what the calls may cost, and write down that they are intended."""
        calls, limits = self.build_calls(plan)
        return self.records.begin(calls, limits=limits)

    def prepare(self) -> None:
        """Have the backend find out what would keep it from working.

        Raises:
            Unauthorized, Misconfigured: it could not work.
        """
        if isinstance(self.backend, WarmupBackend):
            self.backend.prepare()

    def build_calls(
        self, plan: GenerationPlan
    ) -> tuple[list[Call], tuple[BudgetLimit, ...]]:
        """Return the calls of a plan, and the limits that they are under now."""
        now = self.clock.now().astimezone(UTC)
        calls = [
            Call(
                id=new_id(now, self.random_int),
                created_at=now,
                plan=_only(job, plan),
                target=self.store.place,
                image_ids=tuple(new_id(now, self.random_int) for _ in range(job.count)),
                caller=self.caller,
                origin=self.origin,
                may_cost=plan.may_cost,
                reserved=estimate_job_cost(plan, job).micros,
            )
            for job in plan.jobs
        ]
        return calls, current_limits(self.budgets, now=now) if plan.may_cost else ()

    def prepare_calls(
        self, records: Sequence[CallRecorder], jobs: Sequence[ImageJob]
    ) -> "list[PreparedCall]":
        """Return what is to be done for calls that are begun.

        Args:
            records: What is written down of each call.
            jobs: What each asks for, contents of references included.
        """
        kind = LiveRunningJobContext if self.live else RunningJobContext
        return [
            PreparedCall(
                maker=self,
                job=job,
                record=record,
                context=kind(
                    number=job.number,
                    clock=self.clock,
                    listen=self.listen,
                    record=record,
                ),
            )
            for job, record in zip(jobs, records, strict=True)
        ]

    @property
    def persist(self) -> PersistImages:
        """What stores the images."""
        return PersistImages(store=self.store, records=self.records, listen=self.listen)

    def run_call(
        self, job: ImageJob, record: CallRecorder, context: RunningJobContext
    ) -> list[StoredImage | FailedImage]:
        """Make one call, and keep what it returns; whatever fails is an outcome."""
        began = self.clock.monotonic()
        try:
            context.sleep(0)
            self.listen(events.Started(number=job.number))
            generated = attempt(
                self.backend,
                job,
                context=context,
                clock=self.clock,
                listen=self.listen,
                retry=self.retry,
                may_cost=record.call.may_cost,
            )
            received = Received(
                generated=generated,
                at=self.clock.now(),
                latency_ms=self._milliseconds_since(began),
            )
            record.mark_received(received)
        except BaseException as error:  # noqa: BLE001 - one call takes no other along
            self._end(error, record, context, began)
            return [self.persist.fail(one, error) for one in _numbers(record.call)]
        try:
            return self.persist.run(record, received)
        except BaseException as error:  # noqa: BLE001 - what came makes no sense
            record.leave_open(f"{type(error).__name__}: {error}")
            return [self.persist.fail(one, error) for one in _numbers(record.call)]

    def _end(
        self,
        error: BaseException,
        record: CallRecorder,
        context: RunningJobContext,
        began: float,
    ) -> None:
        """Write down what is certain of a call that failed, and say what to do."""
        call, fate = record.call, classify_failure(error, sent=context.sent)
        if fate == "open" and (call.may_cost or not isinstance(error, Cancelled)):
            record.leave_open(str(error))
            _advise(error, _open_words(record))
        elif fate == "free" or not call.may_cost:
            record.close(None)
        else:
            used = error.used if isinstance(error, ImagenError) else None
            cost = Cost() if used is None else calculate_cost(call.plan.price, used)
            record.close(
                usage_row(
                    call,
                    status="cancelled" if isinstance(error, Cancelled) else "failed",
                    cost=cost,
                    latency_ms=self._milliseconds_since(began),
                )
            )
            _advise(error, _cost_words(call, cost))

    def _milliseconds_since(self, began: float) -> int:
        return round((self.clock.monotonic() - began) * 1000)


class PreparedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that is begun, and is to be made."""

    maker: GenerateImages
    job: ImageJob
    record: CallRecorder
    context: RunningJobContext

    def run(self) -> list[StoredImage | FailedImage]:
        """Make it."""
        return self.maker.run_call(self.job, self.record, self.context)

    def given_up(self, number: int) -> FailedImage:
        """Return the outcome of an image of which nothing was heard in time."""
        late = Cancelled("Cancelled, without an answer in time.")
        if self.context.sent:
            _advise(late, _open_words(self.record))
        return self.maker.persist.fail(number, late)


def run_calls(
    groups: Sequence[tuple[Sequence[PreparedCall], int]],
    *,
    cancellation: Cancellation,
    clock: Clock,
    inline: bool = False,
) -> Iterator[StoredImage | FailedImage]:
    """Make all the calls, each crew so many at once, and yield what becomes of them."""
    works = [work for crew, _ in groups for work in crew]
    for work in works:
        cancellation.on_cancel(work.context.stop)
    missing = {number: work for work in works for number in _numbers(work.record.call)}
    tasks = [([work.run for work in crew], at_once) for crew, at_once in groups]
    with closing(
        run_task_groups(tasks, cancellation=cancellation, clock=clock, inline=inline)
    ) as calls:
        for made in calls:
            for outcome in made:
                missing.pop(outcome.number, None)
            yield from made
    for number in sorted(missing):
        yield missing[number].given_up(number)


def _only(job: ImageJob, plan: GenerationPlan) -> GenerationPlan:
    """Return the plan of this one call, light enough to be written down."""
    bare = msgspec.structs.replace
    images = tuple(bare(image, content=b"") for image in job.images)
    mask = None if job.mask is None else bare(job.mask, content=b"")
    return bare(
        plan,
        jobs=(bare(job, images=images, mask=mask),),
        request=bare(plan.request, images=images, mask=mask),
    )


def _shown(context: RunningJobContext) -> int:
    return context.previews if isinstance(context, LiveRunningJobContext) else 0


def _numbers(call: Call) -> range:
    return range(call.job.number, call.job.number + call.job.count)


def _advise(error: BaseException, words: str) -> None:
    if isinstance(error, ImagenError):
        error.hint = " ".join(filter(None, (error.hint, words)))


def _open_words(record: CallRecorder) -> str:
    """Say what a call that is not over may cost, and how it is finished."""
    call = record.call
    if not call.may_cost:
        bill = ""
    elif call.reserved is None:
        bill = "It may have been billed."
    else:
        bill = f"It may have been billed, with {format_micros(call.reserved)}."
    more = f"`imagen resume {call.id}` finishes it; do not repeat it."
    return " ".join(filter(None, (bill, more if record.is_recorded else "")))


def _cost_words(call: Call, cost: Cost) -> str:
    """Say what a call cost that is over, without an image."""
    if cost.micros is not None:
        return f"It cost {format_micros(cost.micros)}."
    if call.reserved is None:
        return "What it cost is not known."
    return f"What it cost is not known; an image costs {format_micros(call.reserved)}."
