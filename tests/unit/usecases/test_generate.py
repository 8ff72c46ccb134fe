from collections.abc import Callable
from threading import Event, Thread

import msgspec
import pytest
from tests.contract_internal.databases import temporary_database
from tests.contract_internal.fakes.images import PlainEditor
from tests.unit.usecases.scenes import run

from imagen.adapters.database.files import FileSpool
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.journal import SqliteJournal
from imagen.domain import events
from imagen.domain.call import OutputTarget
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    InvalidRequest,
    Refused,
    Throttled,
    Unsupported,
)
from imagen.domain.fit import Fit
from imagen.domain.instance import Instance
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import Cost
from imagen.domain.naming import Destination
from imagen.domain.request import GenerationRequest
from imagen.domain.result import Generated, GeneratedImage, GenerationReport
from imagen.domain.size import Size, SizeRule
from imagen.engine.cancellation import Cancellation
from imagen.engine.recorder import Recorder
from imagen.engine.store import StoreImage
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import (
    ANYTHING,
    FakeClock,
    MemoryStorage,
    ScriptedBackend,
    ScriptStep,
    plain_images,
    tiny_png,
)
from imagen.usecases.generate import GenerateImages

BATCHES = Capabilities(largest_batch=4)


class Scene:
    """A backend with a script, and everything around it."""

    def __init__(
        self,
        *script: ScriptStep,
        can: Capabilities = ANYTHING,
        concurrency: int = 1,
        destination: Destination | None = None,
        caller: str = "me",
    ) -> None:
        self.backend = ScriptedBackend(*script, capabilities=can)
        self.clock = FakeClock()
        self.storage, self.rescue = MemoryStorage(), MemoryStorage()
        self.heard: list[events.Event] = []
        database = temporary_database()
        self.generate = GenerateImages(
            instance=Instance(name="box", adapter="fake", concurrency=concurrency),
            backend=self.backend,
            store=StoreImage(
                storage=self.storage,
                rescues=(self.rescue,),
                load_editor=PlainEditor,
                place=OutputTarget(
                    folder="/out", destination=destination or Destination()
                ),
            ),
            records=Recorder(
                journal=SqliteJournal(database),
                history=SqliteHistory(database),
                spool=FileSpool(database),
                clock=self.clock,
                listen=self.heard.append,
            ),
            clock=self.clock,
            random_int=lambda bound: 41 % bound,
            caller=caller,
            listen=self.heard.append,
        )

    def run(self, **asked: object) -> GenerationReport:
        return run(self.generate, ask(**asked))

    def heard_names(self) -> list[str]:
        return [type(event).__name__ for event in self.heard]

    def warnings(self) -> list[str]:
        return [one.message for one in self.heard if isinstance(one, events.Warned)]


def ask(**asked: object) -> GenerationRequest:
    request = {"prompt": "a cat", "size": Size(16, 16), **asked}
    return GenerationRequest(**request)  # type: ignore[arg-type]


def sent(*contents: bytes, seed: int | None = None, **reported: object) -> Generated:
    images = tuple(
        GeneratedImage(content=content, media_type="image/png", seed=seed)
        for content in contents
    )
    return Generated(images=images, **reported)  # type: ignore[arg-type]


def test_makes_and_stores_an_image() -> None:
    scene = Scene()

    report = scene.run()

    (image,) = report.stored
    assert report.failed == ()
    assert image.location == "memory:2030-01-01-120000-a-cat-42.png"
    assert (image.sidecar.seed, image.sidecar.caller) == (42, "me")


def test_happens_in_this_order() -> None:
    def answer(job: ImageJob, context: JobContext) -> Generated:
        context.accepted("job-7")
        return plain_images(job, context)

    scene = Scene(Throttled("Slowly."), answer)

    scene.run(seed=5)

    assert scene.heard_names() == [
        "Planned",
        "Started",
        "Retrying",
        "Accepted",
        "Progressed",
        "Stored",
        "Finished",
    ]


def test_one_that_fails_takes_no_other_along() -> None:
    scene = Scene(plain_images, Refused("Not this."), plain_images)

    report = scene.run(count=3)

    assert [image.number for image in report.stored] == [1, 3]
    assert [(failed.number, str(failed.error)) for failed in report.failed] == [
        (2, "Not this.")
    ]
    assert events.Failed(number=2, code="refused", message="Not this.") in scene.heard


def test_a_fault_of_a_backend_is_a_failed_image() -> None:
    scene = Scene(ZeroDivisionError("oops"))

    report = scene.run(count=2)

    assert [image.number for image in report.stored] == [2]
    assert isinstance(report.failed[0].error, ZeroDivisionError)
    assert events.Failed(number=1, code="internal_error", message="oops") in scene.heard


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("nonsense", [None, SystemExit()], ids=["no answer", "exit"])
def test_a_backend_that_answers_nonsense_hangs_nothing(nonsense: object) -> None:
    def answer(job: ImageJob, context: JobContext) -> Generated:
        if isinstance(nonsense, SystemExit):
            raise nonsense
        return nonsense  # type: ignore[return-value]  # a third party's mistake

    reports: list[GenerationReport] = []
    scene = Scene(answer)
    thread = Thread(target=lambda: reports.append(scene.run()), daemon=True)
    thread.start()
    thread.join(60)

    assert [len(report.failed) for report in reports] == [1]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"<html>Bad gateway</html>", "an HTML page"), (tiny_png()[:-9], "too early")],
)
def test_what_is_no_image_is_never_stored(content: bytes, said: str) -> None:
    scene = Scene(sent(content))

    report = scene.run()

    assert isinstance(report.failed[0].error, BackendError)
    assert said in str(report.failed[0].error)
    assert (scene.storage.kept, scene.rescue.kept) == ({}, {})


def test_images_that_are_withheld_fail() -> None:
    scene = Scene(sent(tiny_png(16, 16)), can=BATCHES)

    report = scene.run(count=3)

    assert [image.number for image in report.stored] == [1]
    assert [(one.number, type(one.error)) for one in report.failed] == [
        (2, Refused),
        (3, Refused),
    ]
    assert "too few images" in str(report.failed[0].error)


def test_one_broken_image_of_a_batch_takes_no_other_along() -> None:
    scene = Scene(sent(tiny_png(16, 16), b"broken", tiny_png(16, 16)), can=BATCHES)

    report = scene.run(count=3)

    assert [image.number for image in report.stored] == [1, 3]
    assert [failed.number for failed in report.failed] == [2]


def test_a_batch_shares_its_cost() -> None:
    images = (tiny_png(16, 16),) * 3
    cost = Cost(micros=10, source="reported")
    scene = Scene(sent(*images, cost=cost), can=BATCHES)

    report = scene.run(count=3)

    assert [round((i.sidecar.cost_usd or 0) * 1e6) for i in report.stored] == [4, 3, 3]


def test_images_beyond_those_asked_for_are_not_lost_silently() -> None:
    scene = Scene(sent(*[tiny_png(16, 16)] * 3))

    report = scene.run(count=1)

    assert len(report.stored) == 3 or scene.warnings()


def test_records_the_seed_that_the_backend_reports() -> None:
    scene = Scene(sent(tiny_png(16, 16), seed=9))

    report = scene.run(seed=5)

    (image,) = report.stored
    assert image.sidecar.seed == 9
    assert "-9." in image.location
    assert scene.warnings() == [
        "seed 5 becomes 9: box reports or returned another value"
    ]


def test_a_seed_that_nobody_can_choose_is_recorded() -> None:
    scene = Scene(sent(tiny_png(16, 16), seed=9), can=BATCHES)

    assert scene.run().stored[0].sidecar.seed == 9


def test_records_what_was_warned_of() -> None:
    report = Scene(can=BATCHES).run(negative="dogs")

    assert len(report.stored[0].sidecar.warnings) == 1
    assert report.stored[0].sidecar.ignored.keys() == {"negative"}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_warns_of_each_thing_once(concurrency: int) -> None:
    can = msgspec.structs.replace(ANYTHING, negative=False, sizes=SizeRule(multiple=64))
    scene = Scene(can=can, concurrency=concurrency)

    scene.run(count=4, negative="dogs")

    assert len(scene.warnings()) == 2
    assert scene.heard_names()[:3] == ["Planned", "Warned", "Warned"]


def test_does_not_warn_of_what_was_asked_for() -> None:
    can = msgspec.structs.replace(ANYTHING, sizes=SizeRule(multiple=64))
    scene = Scene(can=can)

    report = scene.run(count=4, size=Size(32, 32), fit=Fit.CROP)

    assert scene.warnings() == []
    assert "crop from 64x64 to 32x32" in report.stored[0].sidecar.warnings


def test_reports_in_the_order_of_the_images() -> None:
    first_may_end = Event()

    def late(job: ImageJob, context: JobContext) -> Generated:
        first_may_end.wait(10)
        return plain_images(job, context)

    def early(job: ImageJob, context: JobContext) -> Generated:
        first_may_end.set()
        return plain_images(job, context)

    report = Scene(late, early, concurrency=2).run(count=2)

    assert [image.number for image in report.stored] == [1, 2]


def test_every_image_has_an_id_of_its_own() -> None:
    dice = iter(range(1000))
    scene = Scene()
    generate = msgspec.structs.replace(scene.generate, random_int=lambda _: next(dice))

    report = run(generate, ask(count=3, seed=1))

    assert len({image.sidecar.id for image in report.stored}) == 3


def test_measures_how_long_the_call_took() -> None:
    def answer(job: ImageJob, context: JobContext) -> Generated:
        context.sleep(2.5)
        return plain_images(job, context)

    assert Scene(answer).run().stored[0].sidecar.latency_ms == 2500


def test_fits_what_the_backend_only_came_near() -> None:
    can = msgspec.structs.replace(ANYTHING, sizes=SizeRule(multiple=64))

    (image,) = Scene(can=can).run(size=Size(100, 50), fit=Fit.CROP).stored

    assert (image.facts.width, image.facts.height) == (100, 50)
    assert image.sidecar.requested_size == "100x50"


def small_image(job: ImageJob, context: JobContext) -> Generated:
    content = tiny_png(16, 16)
    image = GeneratedImage(content=content, media_type="image/png", seed=job.seed)
    return Generated(images=(image,))


def test_an_image_that_is_too_small_to_fit_is_stored_and_recorded() -> None:
    scene = Scene(small_image)

    report = scene.run(size=Size(64, 64), fit=Fit.CROP, strict=True)

    (image,) = report.stored
    assert (image.facts.width, image.facts.height) == (16, 16)
    assert "more than 2 times" in image.sidecar.ignored["fit"]
    assert "fit" not in image.sidecar.applied
    assert image.sidecar.adjusted["size"].used == "16x16"
    assert any("fit is ignored" in warning for warning in scene.warnings())
    assert "fit is ignored" in image.sidecar.difference
    assert "size 64x64 becomes 16x16" in image.sidecar.difference


def test_what_cannot_be_redrawn_is_rescued() -> None:
    scene = Scene(destination=Destination(name="x.webp"))

    report = scene.run()

    (failed,) = report.failed
    assert failed.rescued is not None
    assert scene.rescue.kept
    assert scene.heard_names()[-2:] == ["Failed", "Finished"]


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "odd"},
        {"options": {"odd": 1}},
        {"negative": "dogs", "strict": True},
    ],
)
def test_sends_nothing_when_the_request_is_wrong(asked: dict[str, object]) -> None:
    can = msgspec.structs.replace(ANYTHING, negative=False)
    scene = Scene(can=can)

    with pytest.raises(Unsupported):
        scene.run(**asked)

    assert (scene.backend.jobs, scene.heard) == ([], [])


@pytest.mark.parametrize(
    "destination",
    [Destination(name="x.tiff"), Destination(template="../x")],
)
def test_sends_nothing_when_the_name_is_wrong(destination: Destination) -> None:
    scene = Scene(destination=destination)

    with pytest.raises(InvalidRequest):
        scene.run()

    assert scene.backend.jobs == []


def test_sends_nothing_when_a_numbered_name_is_too_long() -> None:
    scene = Scene(destination=Destination(name="x" * 246 + ".png"))

    with pytest.raises(InvalidRequest):
        scene.run(count=2)


def test_a_caller_that_is_no_text_loses_no_image() -> None:
    scene = Scene(caller="\udcff")

    scene.run()

    assert scene.storage.kept or scene.rescue.kept


@pytest.mark.parametrize(
    "reported", ["\ud800", object()], ids=["half a letter", "an object"]
)
def test_a_report_that_cannot_be_written_loses_no_image(reported: object) -> None:
    scene = Scene(sent(tiny_png(16, 16), parameters={"info": reported}))

    scene.run()

    assert scene.storage.kept or scene.rescue.kept


class CarelessStorage(MemoryStorage):
    """Lets the errors of its library out."""

    def save(
        self,
        name: str,
        content: bytes,
        *,
        media_type: str,
        sidecar: bytes | None = None,
    ) -> str:
        raise TimeoutError("no answer from the bucket")


def test_a_fault_of_a_storage_loses_no_image() -> None:
    scene = Scene()
    store = msgspec.structs.replace(scene.generate.store, storage=CarelessStorage())
    generate = msgspec.structs.replace(scene.generate, store=store)

    run(generate, ask())

    assert scene.rescue.kept


def test_makes_nothing_once_cancelled() -> None:
    scene, cancellation = Scene(), Cancellation()
    cancellation.cancel()

    report = run(scene.generate, ask(count=3), cancellation)

    assert [type(failed.error) for failed in report.failed] == [Cancelled] * 3
    assert scene.backend.jobs == []
    assert scene.heard_names() == ["Planned", "Failed", "Failed", "Failed", "Finished"]


def cancelling(
    cancellation: Cancellation,
) -> Callable[[ImageJob, JobContext], Generated]:
    def answer(job: ImageJob, context: JobContext) -> Generated:
        cancellation.cancel()
        context.sleep(1)
        return plain_images(job, context)

    return answer


def test_stores_what_was_made_before_it_was_cancelled() -> None:
    cancellation = Cancellation()
    scene = Scene(plain_images, cancelling(cancellation))

    report = run(scene.generate, ask(count=3), cancellation)

    assert [image.number for image in report.stored] == [1]
    assert [(failed.number, type(failed.error)) for failed in report.failed] == [
        (2, Cancelled),
        (3, Cancelled),
    ]


def test_stopping_to_listen_cancels() -> None:
    scene, cancellation = Scene(), Cancellation()
    plan = scene.generate.plan(ask(count=3))
    outcomes = scene.generate.outcomes(plan, cancellation)
    next(outcomes)

    outcomes.close()  # type: ignore[attr-defined]  # it is a generator

    assert cancellation.event.is_set()
