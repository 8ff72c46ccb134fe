"""A cost that the vendor states later is looked up when the images are recorded."""

from collections.abc import Callable

import msgspec
import pytest
from tests.unit.usecases.scenes import FIVE_CENTS, PAID, PaidScene, paid_images, taken

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import Misconfigured, Unavailable
from imagen.domain.instance import Instance
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import Cost
from imagen.domain.result import Generated
from imagen.engine.cancellation import Cancellation
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import ANYTHING, ScriptedBackend, ScriptStep
from imagen.usecases.resume import ResumeCalls

FOUR_CENTS = Cost(micros=40_000, source="reported")
Answer = Callable[[JobContext], Cost]


class Killed(BaseException):
    """The process is gone."""


class LateBackend(ScriptedBackend):
    """A vendor that states the cost when it is asked, and has no other lookup.

    Attributes:
        answer: What happens when it is asked.
        asked: The ids that it was asked for.
    """

    def __init__(
        self,
        *script: ScriptStep,
        answer: Answer = lambda _: FOUR_CENTS,
        capabilities: Capabilities = PAID,
    ) -> None:
        super().__init__(*(script or [taken()]), capabilities=capabilities)
        self.answer = answer
        self.asked: list[str] = []

    def look_up_cost(self, reference: str, context: JobContext) -> Cost:
        self.asked.append(reference)
        return self.answer(context)


def scene_of(*script: ScriptStep, **options: object) -> PaidScene:
    return PaidScene(backend=LateBackend(*script, **options))  # type: ignore[arg-type]


def asked(scene: PaidScene) -> list[str]:
    assert isinstance(scene.backend, LateBackend)
    return scene.backend.asked


def die(_: JobContext) -> Cost:
    raise Killed


def test_a_cost_is_looked_up_by_the_id_of_the_job() -> None:
    scene = scene_of()

    (image,) = scene.run().stored

    assert asked(scene) == ["job-7"]
    assert (image.sidecar.cost_usd, image.sidecar.cost_source) == (0.04, "reported")
    assert scene.ledger == [("ok", 40_000)]


def test_the_images_are_recorded_before_the_cost_is_looked_up() -> None:
    seen: list[list[str]] = []

    def answer(_: JobContext) -> Cost:
        seen.append(scene.states)
        return FOUR_CENTS

    scene = scene_of(answer=answer)
    scene.run()

    assert seen == [["received"]]


def test_a_process_that_dies_during_the_lookup_loses_neither_image_nor_cost() -> None:
    scene = scene_of(answer=die)
    assert isinstance(scene.backend, LateBackend)
    (failed,) = scene.run().failed
    assert isinstance(failed.error, Killed)
    assert (scene.images, scene.states) == ([], ["received"])
    scene.backend.answer = lambda _: FOUR_CENTS

    (resumed,) = scene.resume(scene.die())

    assert (resumed.closed, len(resumed.stored), len(scene.images)) == (True, 1, 1)
    assert resumed.stored[0].sidecar.cost_usd == 0.04
    assert scene.ledger == [("ok", 40_000)]
    assert asked(scene) == ["job-7"] * 2
    assert len(scene.backend.jobs) == 1


def fail(error: Exception) -> Answer:
    def answer(_: JobContext) -> Cost:
        raise error

    return answer


def never(context: JobContext) -> Cost:
    while True:
        context.sleep(1)


@pytest.mark.parametrize(
    "answer",
    [
        fail(Unavailable("It is down.")),
        fail(ValueError("A bug.")),
        never,
        lambda _: Cost(),
        lambda _: None,
        lambda _: Cost(micros=-5, source="reported"),
    ],
    ids=["down", "bug", "endless", "unknown", "nothing", "negative"],
)
def test_a_lookup_without_a_figure_leaves_the_cost_as_it_was(answer: Answer) -> None:
    scene = scene_of(answer=answer)

    (image,) = scene.run().stored

    assert (image.sidecar.cost_usd, image.sidecar.cost_source) == (0.05, "price_table")
    assert scene.ledger == [("ok", 50_000)]
    assert scene.states == []


def test_a_cancelled_call_stores_its_image_without_a_lookup_that_lasts() -> None:
    cancellation = Cancellation()

    def answer(context: JobContext) -> Cost:
        cancellation.cancel()
        return never(context)

    scene = scene_of(answer=answer)

    (image,) = scene.run(cancellation=cancellation).stored

    assert image.sidecar.cost_source == "price_table"
    assert scene.states == []


def test_the_end_of_the_lookup_does_not_cancel_the_job() -> None:
    closed: list[str] = []

    def made(job: ImageJob, context: JobContext) -> Generated:
        context.on_cancel(lambda: closed.append("the connection"))
        context.accepted("job-7")
        return paid_images(job, context)

    scene = scene_of(made, answer=never)
    scene.run()

    assert closed == []


def reported(job: ImageJob, context: JobContext) -> Generated:
    return msgspec.structs.replace(taken()(job, context), cost=FOUR_CENTS)


@pytest.mark.parametrize(
    ("made", "can"),
    [(reported, PAID), (paid_images, PAID), (taken(), ANYTHING)],
    ids=["known", "without id", "free"],
)
def test_nothing_is_looked_up_that_is_known_or_cannot_be(
    made: ScriptStep, can: Capabilities
) -> None:
    scene = scene_of(made, capabilities=can)
    scene.run()

    assert asked(scene) == []


def test_a_price_of_the_config_needs_no_lookup() -> None:
    scene = scene_of()
    priced = Instance(name="vendor", adapter="scripted", price=FIVE_CENTS)
    scene.generate = msgspec.structs.replace(scene.generate, instance=priced)
    scene.run()

    assert asked(scene) == []
    assert scene.ledger == [("ok", 50_000)]


def test_an_image_of_a_backend_that_the_config_no_longer_has_is_stored() -> None:
    scene = scene_of(answer=die)
    scene.run()
    journal = scene.die()

    def missing(instance: Instance) -> LateBackend:
        raise Misconfigured(f"There is no {instance.name}.")

    resume = ResumeCalls(
        journal=journal,
        records=scene.records(journal),
        backend_of=missing,
        store_of=lambda _: scene.store,
        clock=scene.clock,
    )
    (open_call,) = journal.list_open()

    resumed = resume.run(open_call, cancellation=Cancellation())

    assert (resumed.closed, len(resumed.stored)) == (True, 1)
    assert scene.ledger == [("ok", 50_000)]
