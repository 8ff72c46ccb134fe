"""Images beyond the requested ones are paid for as well, and all of them are stored."""

from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from tests.unit.usecases.scenes import PaidScene
from tests.unit.usecases.test_resume import DyingJournal, Killed

from imagen.api.results import Image
from imagen.domain import events
from imagen.domain.capabilities import Capabilities
from imagen.domain.consumption import Used
from imagen.domain.job import ImageJob
from imagen.domain.money.budget import Budget
from imagen.domain.money.cost import Cost
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.sidecar import Sidecar
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import MemoryStorage, ScriptedBackend, tiny_png

BATCHES = Capabilities(largest_batch=4, may_cost=True, provider="vendor")


UNKNOWN = Cost()


def outputs(
    count: int, *, cost: Cost = UNKNOWN, first: bytes | None = None
) -> Generated:
    """Return images of different content, for which the vendor names this cost."""
    contents = [tiny_png(16 + number, 16) for number in range(count)]
    if first is not None:
        contents[0] = first
    images = [GeneratedImage(content=each, media_type="image/png") for each in contents]
    return Generated(images=tuple(images), cost=cost)


def sidecars(scene: PaidScene) -> list[Sidecar]:
    notes = [each for name, each in scene.kept.kept.items() if name.endswith(".json")]
    return [msgspec.json.decode(note, type=Sidecar) for note in notes]


def test_all_outputs_of_a_call_are_stored_and_the_others_are_extras() -> None:
    scene = PaidScene(outputs(3))

    (image,) = scene.run().stored

    assert len(scene.images) == 3
    assert [each.facts.width for each in image.extras] == [17, 18]
    assert [each.location for each in (image, *image.extras)] == [
        f"memory:{name}" for name in scene.images
    ]
    assert [each.extra for each in sidecars(scene)] == [False, True, True]
    assert {each.usage_id for each in sidecars(scene)} == {image.sidecar.usage_id}
    history = [scene.history.get(each.id) for each in sidecars(scene)]
    assert [each and each.sidecar.extra for each in history] == [False, True, True]


def test_each_extra_image_is_named_and_the_request_says_so() -> None:
    scene = PaidScene(outputs(2))

    (image,) = scene.run().stored
    (extra,) = image.extras

    assert [e for e in scene.heard if isinstance(e, events.StoredExtra)] == [
        events.StoredExtra(location=extra.location)
    ]
    id_ = extra.sidecar.id
    assert [each.path for each in Image(image).extras] == [Path(extra.location)]
    note = f"vendor returned 2 images, not 1; the others are stored as {id_}"
    assert note in scene.warnings
    assert image.sidecar.warnings == (note,)
    assert note not in extra.sidecar.warnings


def test_the_id_of_an_extra_image_has_the_time_of_the_call() -> None:
    scene = PaidScene(outputs(2))

    (image,) = scene.run().stored
    first, extra = (UUID(each.sidecar.id) for each in (image, *image.extras))

    assert extra.version == 7
    assert first.hex[:12] == extra.hex[:12]
    assert first != extra


def test_extra_images_take_the_next_free_names_and_replace_nothing() -> None:
    scene = PaidScene(outputs(3), name="x.png")
    scene.kept.save("x-3.png", b"another", media_type="image/png")

    scene.run()

    assert set(scene.images) == {"x.png", "x-2.png", "x-3.png", "x-4.png"}
    assert scene.kept.kept["x-3.png"] == b"another"


def test_extra_images_of_a_numbered_request_come_after_its_numbers() -> None:
    scene = PaidScene(outputs(3), outputs(2), name="x.png")

    report = scene.run(count=2)

    assert [len(image.extras) for image in report.stored] == [2, 1]
    assert sorted(scene.images) == [f"x-{number}.png" for number in range(1, 6)]


def test_what_writes_to_a_stream_stores_extra_images_elsewhere() -> None:
    scene, elsewhere = PaidScene(outputs(2)), MemoryStorage()
    store = msgspec.structs.replace(scene.store, extras=elsewhere)
    scene.generate = msgspec.structs.replace(scene.generate, store=store)

    scene.run()

    assert len(scene.images) == 1
    assert len([n for n in elsewhere.kept if n.endswith(".png")]) == 1


@pytest.mark.parametrize(
    ("cost", "shares", "total"),
    [
        (Cost(), [50_000, 50_000, 50_000], 150_000),
        (Cost(micros=10, source="reported"), [4, 3, 3], 10),
    ],
)
def test_the_cost_is_shared_by_all_images(
    cost: Cost, shares: list[int], total: int
) -> None:
    scene = PaidScene(outputs(3, cost=cost))

    scene.run()

    made = [round((each.cost_usd or 0) * 1e6) for each in sidecars(scene)]
    assert made == shares
    assert scene.ledger == [("ok", total)]


def test_a_cost_above_the_reservation_is_recorded_with_a_warning() -> None:
    budget = Budget(day=60_000)
    scene = PaidScene(outputs(2), budgets=(budget,))

    scene.run()

    assert scene.ledger == [("ok", 100_000)]
    excess = "all images together cost $0.10; the expected cost was $0.05"
    assert excess in scene.warnings


def test_a_vendor_that_bills_the_requested_images_is_believed() -> None:
    answer = msgspec.structs.replace(outputs(3), used=Used(images=1))
    scene = PaidScene(answer)

    scene.run()

    assert scene.ledger == [("ok", 50_000)]


def test_an_extra_image_is_stored_though_the_requested_one_cannot_be_used() -> None:
    scene = PaidScene(outputs(2, first=b""))

    report = scene.run()

    assert len(report.failed) == 1
    assert [each.extra for each in sidecars(scene)] == [True]
    assert any("returned 2 images, not 1" in warning for warning in scene.warnings)


@pytest.mark.parametrize("last", [4, 5])
@pytest.mark.parametrize("name", [None, "x.png"])
def test_what_is_stored_again_after_a_crash_is_recognised(
    last: int, name: str | None
) -> None:
    def answer(job: ImageJob, context: JobContext) -> Generated:
        context.accepted("job-7")
        return outputs(3)

    journal = DyingJournal(last, before=last == 5)
    backend = ScriptedBackend(answer, capabilities=BATCHES)
    scene = PaidScene(backend=backend, journal=journal, name=name)
    with pytest.raises(Killed):
        scene.run(count=2)
    stored = dict(scene.kept.kept)

    (resumed,) = scene.resume(journal.another())

    assert resumed.closed
    assert len(scene.images) == 3
    assert all(scene.kept.kept[name] == stored[name] for name in stored)
    assert [len(image.extras) for image in resumed.stored] == [0, 1]
    assert len({each.id for each in sidecars(scene)}) == 3
