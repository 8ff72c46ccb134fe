"""A sweep is one plan, under one budget, and no image keeps another from being made."""

from threading import Barrier

import msgspec
import pytest
from tests.unit.usecases.scenes import PAID, PaidScene, paid_images

from imagen.domain import events
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import OverBudget, Refused
from imagen.domain.instance import Instance
from imagen.domain.job import ImageJob
from imagen.domain.money.budget import Budget
from imagen.domain.request import GenerationRequest
from imagen.domain.result import FailedImage, Generated, StoredImage
from imagen.domain.size import Size
from imagen.domain.sweep import Axis, SweepGrid, SweepPlan, estimate_sweep
from imagen.engine.cancellation import Cancellation
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import ScriptedBackend, ScriptStep
from imagen.usecases.generate import GenerateImages, Work
from imagen.usecases.sweep import SweepImages

SEEDS = SweepGrid.of(
    [Axis(name="backend", values=("a", "b")), Axis(name="seed", values=(1, 2))]
)
DAY = Budget(day=150_000)  # three of five cents


class Scene:
    """Two vendors that share a journal, and each has a script."""

    def __init__(
        self,
        *,
        a: ScriptStep = paid_images,
        b: ScriptStep = paid_images,
        can: Capabilities = PAID,
        budgets: tuple[Budget, ...] = (),
        at_once: int = 1,
    ) -> None:
        self.scene = PaidScene(budgets=budgets)
        self.backends = {
            name: ScriptedBackend(*[answer] * 9, capabilities=can)
            for name, answer in {"a": a, "b": b}.items()
        }
        self.use_case = SweepImages(
            makers={name: self.maker(name, at_once) for name in self.backends},
            records=self.scene.generate.records,
            listen=self.scene.heard.append,
        )

    def maker(self, name: str, at_once: int) -> GenerateImages:
        return msgspec.structs.replace(
            self.scene.generate,
            instance=Instance(name=name, adapter="scripted", concurrency=at_once),
            backend=self.backends[name],
        )

    def plan(self, sweep: SweepGrid = SEEDS) -> SweepPlan:
        asked = [
            (
                str(cell.values.get("backend", "a")),
                GenerationRequest(
                    prompt="a cat",
                    size=Size(16, 16),
                    seed=int(str(cell.values.get("seed", 0))),
                ),
            )
            for cell in sweep.cells()
        ]
        return self.use_case.plan(sweep, asked)

    def check_budget(self) -> None:
        plan = self.plan()
        self.use_case.check_budget(plan, self.use_case.build_calls(plan))

    def run(
        self,
        sweep: SweepGrid = SEEDS,
        cancellation: Cancellation | None = None,
        at_once: int | None = None,
    ) -> list[StoredImage | FailedImage]:
        plan = self.plan(sweep)
        outcomes = self.use_case.outcomes(
            plan,
            cancellation or Cancellation(),
            calls=self.use_case.build_calls(plan),
            at_once=at_once,
        )
        return sorted(outcomes, key=lambda outcome: outcome.number)


def seeds(backend: ScriptedBackend) -> list[int | None]:
    return [job.seed for job in backend.jobs]


def test_every_combination_is_made_by_whom_it_was_asked_of() -> None:
    scene = Scene()

    outcomes = scene.run()

    assert [outcome.number for outcome in outcomes] == [1, 2, 3, 4]
    assert all(isinstance(outcome, StoredImage) for outcome in outcomes)
    assert {name: seeds(each) for name, each in scene.backends.items()} == {
        "a": [1, 2],
        "b": [1, 2],
    }
    assert scene.scene.ledger == [("ok", 50_000)] * 4
    assert len(scene.scene.images) == 4
    planned = [each for each in scene.scene.heard if isinstance(each, events.Planned)]
    assert planned == [events.Planned(backend="a, b", images=4)]


def test_one_budget_holds_for_all_of_it_and_nothing_is_sent() -> None:
    scene = Scene(budgets=(DAY,))

    with pytest.raises(OverBudget, match=r"\$0\.20"):
        scene.run()

    assert seeds(scene.backends["a"]) == []
    assert scene.scene.states == []
    with pytest.raises(OverBudget):
        scene.check_budget()


def test_a_budget_of_one_backend_counts_its_own_calls_alone() -> None:
    assert len(Scene(budgets=(Budget(backend="vendor", day=1),)).run()) == 4
    enough = Scene(budgets=(Budget(backend="a", day=100_000),))
    assert all(isinstance(each, StoredImage) for each in enough.run())
    with pytest.raises(OverBudget, match="of b"):
        Scene(budgets=(Budget(backend="b", day=99_999),)).run()


def test_looking_at_the_budget_reserves_nothing() -> None:
    scene = Scene(budgets=(Budget(day=200_000),))

    scene.check_budget()
    scene.check_budget()

    assert len(scene.run()) == 4


def test_the_highest_cost_is_for_all_of_it() -> None:
    plan = Scene().plan()
    calls = Scene().use_case.build_calls(plan)
    work = Work(calls=calls, send=lambda *_: iter(()), max_cost=200_000)

    assert plan.cost.micros == 200_000
    work.check_price(calls)
    with pytest.raises(OverBudget, match="--max-cost"):
        msgspec.structs.replace(work, max_cost=199_999).check_price(calls)


def test_a_failure_stops_no_other() -> None:
    scene = Scene(a=Refused("no"))

    outcomes = scene.run()

    assert [isinstance(each, FailedImage) for each in outcomes] == [
        True,
        True,
        False,
        False,
    ]


def test_the_backends_work_beside_each_other() -> None:
    both = Barrier(2)

    def meet(job: ImageJob, context: JobContext) -> Generated:
        both.wait(timeout=30)
        return paid_images(job, context)

    assert all(isinstance(each, StoredImage) for each in Scene(a=meet, b=meet).run())


def test_so_many_at_once_as_was_said() -> None:
    four = Barrier(4)

    def meet(job: ImageJob, context: JobContext) -> Generated:
        four.wait(timeout=30)
        return paid_images(job, context)

    outcomes = Scene(a=meet, b=meet).run(at_once=4)

    assert all(isinstance(each, StoredImage) for each in outcomes)


def test_one_at_once_keeps_the_order() -> None:
    order: list[tuple[str, int | None]] = []

    def noting(name: str) -> ScriptStep:
        def answer(job: ImageJob, context: JobContext) -> Generated:
            order.append((name, job.seed))
            return paid_images(job, context)

        return answer

    Scene(a=noting("a"), b=noting("b")).run(at_once=1)

    assert order == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


def test_cancelled_before_it_began_nothing_is_sent() -> None:
    scene, cancellation = Scene(), Cancellation()
    cancellation.cancel()

    outcomes = scene.run(cancellation=cancellation)

    assert len(outcomes) == 4
    assert all(isinstance(each, FailedImage) for each in outcomes)
    assert seeds(scene.backends["a"]) == []
    assert scene.scene.states == []


def test_a_seed_that_nobody_asked_for_is_drawn_once_for_all() -> None:
    scene = Scene()
    sweep = SweepGrid.of([Axis(name="backend", values=("a", "b"))])

    scene.run(sweep)

    assert seeds(scene.backends["a"]) == seeds(scene.backends["b"]) != [None]


def test_no_seed_is_forced_on_a_backend_without() -> None:
    scene = Scene(can=msgspec.structs.replace(PAID, largest_seed=None))

    plan = scene.plan(SweepGrid.of([Axis(name="backend", values=("a", "b"))]))

    assert plan.warnings() == ()


def test_the_estimate_has_every_combination_and_the_sum() -> None:
    estimate = estimate_sweep(Scene().plan())

    assert (estimate.images, estimate.cost_usd) == (4, 0.2)
    assert estimate.cells[3].cell == {"backend": "b", "seed": 2}
    assert estimate.cells[3].estimate.seeds == (2,)


def test_a_warning_is_said_once() -> None:
    scene = Scene(can=msgspec.structs.replace(PAID, largest_seed=None))

    scene.run()

    assert scene.scene.warnings == [
        "seed is ignored: a takes no seed, so the image cannot be repeated",
        "seed is ignored: b takes no seed, so the image cannot be repeated",
    ]
