"""Generate an image for every combination of parameters, under one budget."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import msgspec

from imagen.domain import events
from imagen.domain.call import Call
from imagen.domain.job import GenerationPlan
from imagen.domain.request import GenerationRequest
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.seed import LARGEST_DRAWN_SEED, choose_seed
from imagen.domain.sweep import SweepGrid, SweepPlan
from imagen.engine.call import run_calls
from imagen.engine.cancellation import Cancellation
from imagen.engine.recorder import CallRecorder, Recorder, close_on_error
from imagen.usecases.generate import GenerateImages


class SweepImages(msgspec.Struct, frozen=True, kw_only=True):
    """Generates the images of a sweep, on one backend or several.

    Attributes:
        makers: The use case for each backend, by name; all of them use `records`.
    """

    makers: Mapping[str, GenerateImages]
    records: Recorder
    listen: events.Listener = events.ignore_event

    def plan(
        self, grid: SweepGrid, requests: Sequence[tuple[str, GenerationRequest]]
    ) -> SweepPlan:
        """Plan all images, without sending anything.

        If no seed is requested, all images get the same random seed, so that they
        differ only in the other parameters.

        Args:
            requests: For each cell of the grid, the backend and the request for one
                image.

        Raises:
            InvalidRequest: a parameter is invalid, in general or for a backend.
            OverBudget: a call exceeds the limit of a single call.
        """
        seed = choose_seed(0, limit=LARGEST_DRAWN_SEED, random_int=self._any.random_int)
        plans = tuple(
            self._plan(backend, request, number=number, count=len(requests), seed=seed)
            for number, (backend, request) in enumerate(requests, start=1)
        )
        return SweepPlan(sweep=grid, cells=grid.cells(), plans=plans)

    def check_budget(self, plan: SweepPlan, calls: Sequence[Call]) -> None:
        """Check whether the budgets allow calls of the plan now; reserve nothing.

        Raises:
            OverBudget: a budget does not allow it.
            JournalError: the budgets cannot be checked.
        """
        for record in self._begin(plan, calls):
            record.close(None)

    def build_calls(self, plan: SweepPlan) -> list[Call]:
        """Return the calls of a plan."""
        return [
            call
            for each in plan.plans
            for call in self.makers[each.instance.name].build_calls(each)
        ]

    def outcomes(
        self,
        plan: SweepPlan,
        cancellation: Cancellation,
        *,
        calls: Sequence[Call],
        at_once: int | None = None,
    ) -> Iterator[StoredImage | FailedImage]:
        """Generate the images of a plan, and yield each outcome as soon as it is known.

        A failed image does not stop the others.

        Args:
            calls: The calls to make; also those of an interrupted plan for the same
                sweep.
            at_once: Calls at the same time, on all backends together; None uses the
                `concurrency` of each backend.

        Raises:
            InvalidRequest, OverBudget, JournalError, Unauthorized, Misconfigured:
                nothing was sent.
        """
        # Before anything is reserved: a backend that is not set up leaves no trace.
        for maker in self.makers.values():
            maker.prepare()
        calls = self._any.store.examine_old_files(calls)
        records = self._begin(plan, calls)
        jobs = [job for each in plan.plans for job in each.jobs]
        with close_on_error(records):
            self.listen(
                events.Planned(backend=", ".join(self.makers), images=len(calls))
            )
            for warning in plan.warnings():
                self.listen(events.Warned(message=warning))
            prepared = {
                name: maker.prepare_calls(
                    [each for each in records if each.call.plan.instance.name == name],
                    jobs,
                )
                for name, maker in self.makers.items()
            }
        if at_once is None:
            groups = [
                (prepared[name], maker.instance.concurrency)
                for name, maker in self.makers.items()
            ]
        else:
            in_order = sorted(
                chain(*prepared.values()), key=lambda call: call.job.number
            )
            groups = [(in_order, at_once)]
        try:
            yield from run_calls(
                groups, cancellation=cancellation, clock=self._any.clock
            )
        finally:
            # Also if the caller is interrupted, and closes the generator.
            self.listen(events.Finished())

    @property
    def _any(self) -> GenerateImages:
        return next(iter(self.makers.values()))

    def _plan(
        self,
        backend: str,
        request: GenerationRequest,
        *,
        number: int,
        count: int,
        seed: int,
    ) -> GenerationPlan:
        maker, replace = self.makers[backend], msgspec.structs.replace
        maker.check_target(count=count)
        seeded = request.seed or (request.style and request.style.seed)
        can = maker.capabilities(request.model or "")
        if not seeded and can.largest_seed is not None:
            request = replace(request, seed=seed)
        # Planned alone, then numbered as one image of the whole sweep.
        plan = maker.plan(request)
        return replace(
            plan,
            request=replace(plan.request, count=count),
            jobs=tuple(replace(job, number=number) for job in plan.jobs),
        )

    def _begin(self, plan: SweepPlan, calls: Sequence[Call]) -> list[CallRecorder]:
        """Reserve the cost of all calls on all backends, or of none."""
        # By label, because backends share limits, and each is checked once.
        limits = {
            limit.label: limit
            for each in plan.plans
            for limit in self.makers[each.instance.name].limits(each)
        }
        return self.records.begin(calls, limits=tuple(limits.values()))
