"""Make the images of a request, and store each with its sidecar."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING

import msgspec

from imagen.domain import events
from imagen.domain.call import Call
from imagen.domain.capabilities import Capabilities
from imagen.domain.estimate import estimate_job_cost
from imagen.domain.ids import new_id
from imagen.domain.instance import Instance
from imagen.domain.job import GenerationPlan, ImageJob
from imagen.domain.money.budget import (
    Budget,
    BudgetLimit,
    check_price,
    current_limits,
)
from imagen.domain.money.price import PriceOf, no_price
from imagen.domain.plan import plan_images
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import GenerationRequest
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.domain.seed import RandomInt
from imagen.engine.attempt import RetryPolicy
from imagen.engine.call import PreparedCall, run_calls
from imagen.engine.cancellation import Cancellation
from imagen.engine.job_context import LiveRunningJobContext, RunningJobContext
from imagen.engine.persist import PersistImages
from imagen.engine.recorder import CallRecorder, Recorder, close_on_error
from imagen.engine.store import StoreImage
from imagen.ports.backend import ImageBackend, PerModelBackend, WarmupBackend
from imagen.ports.clock import Clock

if TYPE_CHECKING:
    from imagen.domain.shutdown import ShutdownOf


class GenerateImages(msgspec.Struct, frozen=True, kw_only=True):
    """The use case that makes images and spends money; the only one.

    Attributes:
        origin: "serve" for a request to the server, else "".
        live: Whether to request previews of unfinished images.
        before_calls: Called with the recorded calls before the first one is made; if it
            raises, none is made.
        inline: Whether to make a single call in the caller's thread.
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
    shutdown_of: "ShutdownOf | None" = None
    budgets: tuple[Budget, ...] = ()
    retry: RetryPolicy = RetryPolicy()
    live: bool = False
    before_calls: Callable[[Sequence[Call]], object] | None = None
    inline: bool = False
    listen: events.Listener = events.ignore_event

    def capabilities(self, model: str = "") -> Capabilities:
        """Return the backend's capabilities with a model; "" is its default model."""
        if not isinstance(self.backend, PerModelBackend):
            return self.backend.capabilities()
        context = RunningJobContext(number=1, clock=self.clock, listen=self.listen)
        return self.backend.capabilities_of(model, context)

    def plan(self, request: GenerationRequest) -> GenerationPlan:
        """Plan the calls of a request, without sending anything.

        Raises:
            InvalidRequest: a value is invalid, or not supported by the backend.
            OverBudget: the request exceeds `max_cost` or the limit of a single call.
        """
        self.check_target(count=request.count or 1)
        capabilities = self.capabilities(request.model or "")
        if request.images:
            from imagen.usecases.references import (  # noqa: PLC0415 - not for all
                prepare_references,
            )

            request = prepare_references(
                request,
                backend=self.instance.name,
                capabilities=capabilities,
                load_editor=self.store.load_editor,
            )
        plan = plan_images(
            request,
            instance=self.instance,
            capabilities=capabilities,
            random_int=self.random_int,
            now=self.clock.now(),
            media_type=self.store.place.destination.media_type,
            price_of=self.price_of,
            shutdown_of=self.shutdown_of,
        )
        if request.count is None:
            self.check_target(count=plan.count)
        if plan.may_cost or request.max_cost is not None:
            check_price(
                self.budgets if plan.may_cost else (),
                calls=[estimate_job_cost(plan, job).micros for job in plan.jobs],
                max_cost=request.max_cost,
            )
        return plan

    def check_target(self, *, count: int) -> None:
        """Check whether this number of images can be stored at the target.

        Raises:
            InvalidRequest: a name is too long, has an unsupported extension, or points
                outside of the folder; or a stream would get several images.
        """
        target = self.store.place
        target.check_count(count)
        target.destination.check(
            at=self.clock.now(),
            backend=self.instance.name,
            count=count,
            sidecar=target.sidecar,
        )

    def check_budget(self, plan: GenerationPlan, calls: Sequence[Call]) -> None:
        """Check calls of the plan against the budgets, without a lasting reservation.

        Raises:
            OverBudget: a budget would be exceeded.
            JournalError: the journal cannot be read or written.
        """
        if plan.may_cost and self.budgets:
            # Only the journal's transaction can compare with the ledger and the open
            # calls at one moment, so the check reserves and closes at once.
            for record in self.records.begin(calls, limits=self.limits(plan)):
                record.close(None)

    def outcomes(
        self,
        plan: GenerationPlan,
        cancellation: Cancellation,
        *,
        calls: Sequence[Call] | None = None,
    ) -> Iterator[StoredImage | FailedImage]:
        """Execute a plan, and yield the result of each image as soon as it is known.

        A failed image does not affect the others.

        Args:
            calls: The calls to make, if not all; also those of an interrupted plan for
                the same request.

        Raises:
            InvalidRequest, OverBudget, JournalError, Unauthorized, Misconfigured:
                nothing was sent.
        """
        self.prepare()
        if calls is None:
            calls = self.build_calls(plan)
        calls = self.store.examine_old_files(calls)
        records = self.records.begin(calls, limits=self.limits(plan))
        with close_on_error(records):
            if self.before_calls is not None:
                self.before_calls([record.call for record in records])
            prepared = self.prepare_calls(records, plan.jobs)
            images = sum(call.job.count for call in calls)
            self.listen(
                events.Planned(
                    backend=self.instance.name, images=images, may_cost=plan.may_cost
                )
            )
            for warning in plan.parameter_report.warnings():
                self.listen(events.Warned(message=warning))
            can_show = self.live and self.capabilities(plan.request.model or "").live
            if self.live and not can_show:
                self._warn("does not support previews of unfinished images.")
        try:
            yield from run_calls(
                [(prepared, self.instance.concurrency)],
                cancellation=cancellation,
                clock=self.clock,
                inline=self.inline,
            )
            if can_show and not any(call.context.previews for call in prepared):
                self._warn("sent no preview.")
        finally:
            # Also if the caller is interrupted, and closes the generator.
            self.listen(events.Finished())

    def _warn(self, message: str) -> None:
        self.listen(events.Warned(message=f"{self.instance.name} {message}"))

    def prepare(self) -> None:
        """Let the backend load what it needs, before a call is recorded.

        Raises:
            Unauthorized, Misconfigured: the backend could send nothing.
        """
        if isinstance(self.backend, WarmupBackend):
            self.backend.prepare()

    def limits(self, plan: GenerationPlan) -> tuple[BudgetLimit, ...]:
        """Return the budget limits that apply to the calls of a plan now."""
        now = self.clock.now().astimezone(UTC)
        return current_limits(self.budgets, now=now) if plan.may_cost else ()

    def build_calls(self, plan: GenerationPlan) -> list[Call]:
        """Return the calls of a plan."""
        now = self.clock.now().astimezone(UTC)
        return [
            Call(
                id=new_id(now, self.random_int),
                created_at=now,
                plan=_reduce_plan(plan, job),
                target=self.store.place,
                image_ids=tuple(new_id(now, self.random_int) for _ in range(job.count)),
                caller=self.caller,
                origin=self.origin,
                may_cost=plan.may_cost,
                reserved=estimate_job_cost(plan, job).micros,
            )
            for job in plan.jobs
        ]

    def prepare_calls(
        self, records: Sequence[CallRecorder], jobs: Sequence[ImageJob]
    ) -> list[PreparedCall]:
        """Return recorded calls, ready to be made.

        Args:
            jobs: Jobs with the content of all reference images.
        """
        content = {
            image.sha256: image
            for job in jobs
            for image in (*job.images, *((job.mask,) if job.mask else ()))
        }
        kind = LiveRunningJobContext if self.live else RunningJobContext
        persist = PersistImages(
            store=self.store, records=self.records, listen=self.listen
        )
        return [
            PreparedCall(
                backend=self.backend,
                persist=persist,
                clock=self.clock,
                retry=self.retry,
                listen=self.listen,
                job=_add_content(record.call.job, content),
                record=record,
                context=kind(
                    number=record.call.job.number,
                    clock=self.clock,
                    listen=self.listen,
                    record=record,
                ),
            )
            for record in records
        ]


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of a command, and how they are made.

    Attributes:
        calls: All calls of a new run.
        send: Makes calls, of this run or of an interrupted one.
        max_cost: Maximum cost of what is sent, in micro-dollars; None is unlimited.
    """

    calls: Sequence[Call]
    send: Callable[[Sequence[Call], Cancellation], Iterator[StoredImage | FailedImage]]
    max_cost: int | None = None

    @property
    def images(self) -> int:
        """The number of requested images."""
        return sum(call.job.count for call in self.calls)

    @property
    def may_cost(self) -> bool:
        """True if a call may cost money."""
        return any(call.may_cost for call in self.calls)

    def run(
        self, calls: Sequence[Call], cancellation: Cancellation
    ) -> Generator[StoredImage | FailedImage]:
        """Check the cost of calls, and make them.

        Raises:
            OverBudget: the calls may cost more than `max_cost`.
        """
        self.check_price(calls)
        yield from self.send(calls, cancellation)

    def check_price(self, calls: Sequence[Call]) -> None:
        """Check the cost of calls.

        Raises:
            OverBudget: the calls may cost more than `max_cost`.
        """
        if self.max_cost is not None:
            costs = [call.reserved if call.may_cost else 0 for call in calls]
            check_price((), calls=costs, max_cost=self.max_cost)


def build_report(outcomes: Iterable[StoredImage | FailedImage]) -> GenerationReport:
    """Return the outcomes by kind, in the order of their numbers."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.number)
    return GenerationReport(
        stored=tuple(image for image in ordered if isinstance(image, StoredImage)),
        failed=tuple(image for image in ordered if isinstance(image, FailedImage)),
    )


def _add_content(job: ImageJob, content: Mapping[str, ReferenceImage]) -> ImageJob:
    """Return the job with the content of its reference images, by SHA-256."""
    return msgspec.structs.replace(
        job,
        images=tuple(content[image.sha256] for image in job.images),
        mask=None if job.mask is None else content[job.mask.sha256],
    )


def _reduce_plan(plan: GenerationPlan, job: ImageJob) -> GenerationPlan:
    """Return the plan of this one call, without the content of reference images."""
    # The journal writes the plan of every call to the disk before it is sent.
    replace = msgspec.structs.replace
    images = tuple(replace(image, content=b"") for image in job.images)
    mask = None if job.mask is None else replace(job.mask, content=b"")
    return replace(
        plan,
        jobs=(replace(job, images=images, mask=mask),),
        request=replace(plan.request, images=images, mask=mask),
    )
