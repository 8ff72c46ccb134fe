"""Make every combination of what was asked for, under one budget."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from imagen.domain import events
from imagen.domain.call import Call
from imagen.domain.estimate import estimate_plan_cost
from imagen.domain.money.budget import BudgetLimit, check_price
from imagen.domain.plan import GenerationPlan
from imagen.domain.request import GenerationRequest
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.seed import LARGEST_DRAWN_SEED, choose_seed
from imagen.domain.sweep import SweepGrid, SweepPlan
from imagen.engine.cancellation import Cancellation
from imagen.engine.recorder import CallRecorder, Recorder
from imagen.usecases.generate import GenerateImages, PreparedCall, run_calls


class SweepImages(msgspec.Struct, frozen=True, kw_only=True):
    """Makes the images of a sweep, on one backend or several.

    Attributes:
        makers: What makes images, by the instance's name; all write into `records`.
        records: What is written down of every call, whichever backend gets it.
        listen: Hears what happens.
    """

    makers: Mapping[str, GenerateImages]
    records: Recorder
    listen: events.Listener = events.ignore_event

    def plan(
        self,
        grid: SweepGrid,
        requests: Sequence[tuple[str, GenerationRequest]],
        *,
        max_cost: int | None = None,
    ) -> SweepPlan:
        """Decide everything, send nothing.

        Where no seed is asked for, one is drawn for all, so that it is seen what the
        rest does.

        Args:
            sweep: What varies.
            asked: For each of its cells whom to ask, and for what one image.
            max_cost: Micro-dollars for all of it; None is no limit.

        Raises:
            InvalidRequest: something makes no sense, here or to a backend.
            OverBudget: it costs too much for any day, or more than `max_cost`.
        """
        drawn = choose_seed(
            0, limit=LARGEST_DRAWN_SEED, random_int=self._any.random_int
        )
        plans = tuple(
            self._plan(
                backend, request, number=number, count=len(requests), drawn=drawn
            )
            for number, (backend, request) in enumerate(requests, start=1)
        )
        if max_cost is not None:
            costs = [estimate_plan_cost(plan).micros for plan in plans]
            check_price((), calls=costs, max_cost=max_cost)
        return SweepPlan(sweep=grid, cells=grid.cells(), plans=plans)

    def check_budget(self, plan: SweepPlan) -> None:
        """Find out whether the plan could be carried out now, and reserve nothing.

        Raises:
            OverBudget: it could not.
            JournalError: that cannot be told.
        """
        for record in self._begin(plan):
            record.close(None)

    def outcomes(
        self, plan: SweepPlan, cancellation: Cancellation, *, at_once: int | None = None
    ) -> Iterator[StoredImage | FailedImage]:
        """Carry out a plan, and yield what becomes of each image once it is known.

        One that fails does not keep the others from being made.

        Args:
            plan: What is to be made.
            cancellation: Ends it early.
            at_once: Calls at the same time; None has each backend make as many as its
                instance says, beside the others.

        Raises:
            OverBudget, JournalError, Unauthorized, Misconfigured: nothing was sent.
        """
        for maker in self.makers.values():
            maker.prepare()
        records = self._begin(plan)
        self.listen(
            events.Planned(backend=", ".join(self.makers), images=len(plan.cells))
        )
        for warning in plan.warnings():
            self.listen(events.Warned(message=warning))
        works: list[PreparedCall] = []
        for each, record in zip(plan.plans, records, strict=True):
            works += self._maker(each).prepare_calls([record], each.jobs)
        crews = [(works, at_once or 1)]
        if at_once is None:
            crews = [
                (
                    [work for work in works if work.maker is maker],
                    maker.instance.concurrency,
                )
                for maker in self.makers.values()
            ]
        yield from run_calls(crews, cancellation=cancellation, clock=self._any.clock)
        self.listen(events.Finished())

    @property
    def _any(self) -> GenerateImages:
        return next(iter(self.makers.values()))

    def _maker(self, plan: GenerationPlan) -> GenerateImages:
        return self.makers[plan.instance.name]

    def _plan(
        self,
        backend: str,
        request: GenerationRequest,
        *,
        number: int,
        count: int,
        drawn: int,
    ) -> GenerationPlan:
        maker, replace = self.makers[backend], msgspec.structs.replace
        maker.check_target(count=count)
        seeded = request.seed or (request.style and request.style.seed)
        can = maker.capabilities(request.model or "")
        if not seeded and can.largest_seed is not None:
            request = replace(request, seed=drawn)
        plan = maker.plan(request)
        return replace(
            plan,
            request=replace(plan.request, count=count),
            jobs=tuple(replace(job, number=number) for job in plan.jobs),
        )

    def _begin(self, plan: SweepPlan) -> list[CallRecorder]:
        """Reserve what all of the calls may cost, or nothing, whoever gets them."""
        calls: list[Call] = []
        limits: dict[str, BudgetLimit] = {}
        for each in plan.plans:
            intended, under = self._maker(each).build_calls(each)
            calls += intended
            limits |= {limit.label: limit for limit in under}
        return self.records.begin(calls, limits=tuple(limits.values()))
