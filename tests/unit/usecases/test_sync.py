"""Pending records are delivered once; problems are reported and block nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, timedelta
from hashlib import sha256
from threading import Event

import msgspec
import pytest
from tests.contract_internal.databases import temporary_database
from tests.contract_internal.samples import sample_entry

from imagen.adapters.database.delivery_queue import SqliteImageQueue, SqliteUsageQueue
from imagen.adapters.database.files import FileSpool
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.ledger import SqliteLedger
from imagen.adapters.database.schema import remove_surrogates
from imagen.domain import events
from imagen.domain.cloud import CloudImage
from imagen.domain.delivery import DeliveryStatus, Pause
from imagen.domain.errors import (
    ImagenError,
    JournalError,
    Misconfigured,
    Refused,
    Unavailable,
)
from imagen.domain.history import HistoryEntry
from imagen.domain.money.usage import UsageRow
from imagen.engine.cancellation import Cancellation
from imagen.testing import FakeClock
from imagen.testing.samples import sample_id, sample_row
from imagen.usecases.sync import (
    FAILURES_IN_A_ROW,
    ROWS_AT_ONCE,
    DeliverPending,
    Delivery,
    ImageUploader,
    UsageUploader,
)

OWNER = "6f0c7f7e-3b1f-4a53-9d4c-0f6a2f0b7c11"
AWAY = Unavailable("Supabase is not reached.")


class Ledger(SqliteLedger):
    """The shared one; asks `stand` about every batch before it keeps it."""

    def __init__(self) -> None:
        super().__init__(temporary_database())
        self.batches: list[int] = []
        self.stand: Callable[[], object] = lambda: None
        self.refuses: dict[str, str] = {}

    def deliver(self, rows: Sequence[UsageRow]) -> Mapping[str, str]:
        self.batches.append(len(rows))
        self.stand()
        self.record([row for row in rows if row.id not in self.refuses])
        return {row.id: self.refuses[row.id] for row in rows if row.id in self.refuses}

    def close(self) -> None:
        pass


class Cloud:
    """Keeps images; asks `stand` about each before."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.tries: list[str] = []
        self.stand: Callable[[str], object] = lambda _: None

    def upload(self, image: CloudImage, content: bytes) -> None:
        self.tries.append(image.sidecar.id)
        self.stand(image.sidecar.id)
        self.kept[image.path] = content

    def find(self, owner: str, *, limit: int | None = None) -> Iterator[CloudImage]:
        raise NotImplementedError

    def get(self, owner: str, name: str) -> CloudImage | None:
        raise NotImplementedError

    def download(self, image: CloudImage) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        pass


class PatientClock(FakeClock):
    """A clock whose time passes only once nothing is left to be done.

    Attributes:
        is_stuck: Returns whether the work that goes on will not end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_stuck: Callable[[], bool] = lambda: False

    def wait(self, until: Event, seconds: float) -> bool:
        while not until.wait(0.01):
            if self.is_stuck():
                return super().wait(until, seconds)
        return True


class Scene:
    def __init__(self) -> None:
        database = temporary_database()
        self.mine, self.history = SqliteLedger(database), SqliteHistory(database)
        self.spool = FileSpool(database)
        self.usage_queue = SqliteUsageQueue(database)
        self.image_queue = SqliteImageQueue(database)
        self.ledger, self.cloud = Ledger(), Cloud()
        self.clock = PatientClock()
        self.files: dict[str, bytes] = {}
        self.heard: list[events.Event] = []
        self.cancellation = Cancellation()
        self.use_case = DeliverPending(
            uploaders=[
                UsageUploader(queue=self.usage_queue, ledger=self.ledger),
                ImageUploader(
                    queue=self.image_queue,
                    spool=self.spool,
                    cloud=self.cloud,
                    history=self.history,
                    owner=OWNER,
                    clock=self.clock,
                    read=self.files.get,
                ),
            ],
            clock=self.clock,
            listen=self.heard.append,
        )

    def spend(self, *numbers: int) -> None:
        self.mine.record([sample_row(number) for number in numbers])

    def draw(self, *numbers: int) -> None:
        for number in numbers:
            self.history.add([drawn(number)])
            self.spool.write(sample_id(number), content(number))

    def run(self) -> tuple[Delivery, ...]:
        return self.use_case.run(self.cancellation)

    def briefly(self) -> list[str]:
        """Return what is said of it."""
        self.heard.clear()
        self.use_case.run_briefly(self.cancellation, patience=3)
        return [
            f"{one.channel}: {one.message}"
            for one in self.heard
            if isinstance(one, events.Undelivered)
        ]

    def pending(self) -> list[int]:
        queues = self.usage_queue, self.image_queue
        return [queue.status().pending for queue in queues]


def content(number: int) -> bytes:
    return b"picture %d" % number


def drawn(number: int) -> HistoryEntry:
    entry = sample_entry(number)
    digest = sha256(content(number)).hexdigest()
    sidecar = msgspec.structs.replace(entry.sidecar, sha256=digest)
    return msgspec.structs.replace(entry, sidecar=sidecar, owner=OWNER)


def fail(error: ImagenError) -> Callable[..., object]:
    def stand(*_: object) -> None:
        raise error

    return stand


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_time_limit_counts_from_the_first_request(scene: Scene) -> None:
    scene.spend(1)
    usage, _ = scene.use_case.uploaders
    waiting = Event()

    def load_slowly() -> None:
        waiting.wait(60)
        FakeClock.wait(scene.clock, Event(), 60)

    scene.clock.is_stuck = lambda: bool(waiting.set())

    scene.use_case = msgspec.structs.replace(
        scene.use_case,
        uploaders=[msgspec.structs.replace(usage, prepare=load_slowly)],
    )

    assert scene.briefly() == []
    assert scene.pending() == [0, 0]


def test_everything_gets_there(scene: Scene) -> None:
    scene.spend(*range(ROWS_AT_ONCE + 1))
    scene.draw(1, 2, 3, 4, 5)

    usage, images = scene.run()

    assert usage == Delivery(
        channel="usage",
        delivered=ROWS_AT_ONCE + 1,
        newly_failed=(),
        reason="",
        status=DeliveryStatus(pending=0),
    )
    assert (images.delivered, images.status) == (5, DeliveryStatus(pending=0))
    assert list(scene.ledger.rows()) == list(scene.mine.rows())
    assert scene.ledger.batches == [ROWS_AT_ONCE, 1]
    assert sorted(scene.cloud.kept.values()) == [content(n) for n in (1, 2, 3, 4, 5)]
    assert [scene.spool.read(sample_id(n)) for n in range(1, 6)] == [None] * 5


def test_it_says_how_far_it_is(scene: Scene) -> None:
    scene.spend(1, 2)
    scene.draw(1)

    scene.run()

    assert events.Delivered(channel="usage", count=2) in scene.heard
    assert events.Delivered(channel="images", count=1) in scene.heard


def test_no_request_is_sent_when_nothing_is_pending(scene: Scene) -> None:
    assert scene.briefly() == []
    assert (scene.ledger.batches, scene.cloud.tries) == ([], [])


def test_refused_records_fail_and_the_rest_is_delivered(scene: Scene) -> None:
    scene.spend(1, 2, 3)
    scene.draw(1, 2, 3)
    scene.ledger.refuses = {sample_id(2): "It breaks a rule."}
    scene.cloud.stand = lambda id_: id_ == sample_id(1) and fail(Refused("No PNG."))()

    said = scene.briefly()

    assert said == [
        f"usage: {sample_id(2)} cannot be delivered: It breaks a rule.",
        f"images: {sample_id(1)} cannot be delivered: No PNG.",
    ]
    assert list(scene.ledger.rows()) == [sample_row(3), sample_row(1)]
    assert len(scene.cloud.kept) == 2
    assert scene.pending() == [0, 0]
    assert scene.briefly() == []


def test_failed_records_are_retried_on_request(scene: Scene) -> None:
    scene.spend(1)
    scene.ledger.refuses = {sample_id(1): "It breaks a rule."}
    scene.run()
    scene.ledger.refuses = {}

    scene.run()
    assert list(scene.ledger.rows()) == []
    scene.use_case.retry_failed()
    scene.run()
    assert list(scene.ledger.rows()) == list(scene.mine.rows())


def test_a_cloud_that_is_away_is_said_and_left_alone_for_a_while(scene: Scene) -> None:
    scene.spend(1)
    scene.ledger.stand = fail(AWAY)

    assert scene.briefly() == [
        "usage: Supabase is not reached. 1 usage row is pending: run `imagen sync`."
    ]
    assert scene.ledger.batches == [1]

    [said] = scene.briefly()
    assert said.startswith(
        "usage: Supabase is not reached. 1 usage row is pending. The next automatic"
    )
    assert scene.ledger.batches == [1]


def test_each_pause_is_longer_until_something_gets_there(scene: Scene) -> None:
    scene.spend(1)
    scene.ledger.stand = fail(AWAY)
    waits = list[float]()
    for _ in range(12):
        scene.briefly()
        pause = scene.usage_queue.status().pause
        assert pause is not None
        waits.append((pause.until - scene.clock.now()).total_seconds())
        FakeClock.wait(scene.clock, Event(), waits[-1])

    assert waits == [30, 60, 120, 240, 480, 960, 1920, *[3600] * 5]
    scene.ledger.stand = lambda: None
    assert scene.briefly() == []
    assert scene.usage_queue.status() == DeliveryStatus(pending=0)


def test_a_clock_that_was_set_back_does_not_prolong_a_pause(scene: Scene) -> None:
    scene.spend(1)
    until = scene.clock.now().astimezone(UTC) + timedelta(days=400)
    scene.usage_queue.pause(Pause(tries=2, until=until, trouble="Away."))

    assert scene.briefly() == []
    assert scene.pending() == [0, 0]


def test_sync_does_not_heed_the_pause(scene: Scene) -> None:
    scene.spend(1)
    scene.ledger.stand = fail(AWAY)
    scene.briefly()
    scene.ledger.stand = lambda: None

    scene.run()

    assert scene.usage_queue.status() == DeliveryStatus(pending=0)


def test_what_takes_too_long_is_left_to_itself(scene: Scene) -> None:
    scene.spend(1)
    scene.draw(1)
    began, go_on = Event(), Event()

    def stand() -> None:
        began.set()
        go_on.wait(60)

    scene.ledger.stand = stand
    scene.clock.is_stuck = lambda: began.is_set() and scene.pending() == [1, 0]

    said = scene.briefly()

    assert said == [
        "usage: The upload took longer than 3 s. 1 usage row is pending: run "
        "`imagen sync`."
    ]
    assert scene.pending() == [1, 0]
    pause = scene.usage_queue.status().pause
    assert pause is not None
    assert pause.tries == 1
    go_on.set()


def test_whoever_stops_it_does_not_wait(scene: Scene) -> None:
    scene.spend(1)
    go_on = Event()

    def stand() -> None:
        scene.cancellation.cancel()
        go_on.wait(30)

    scene.ledger.stand = stand

    assert scene.briefly() == [
        "usage: The upload was interrupted. 1 usage row is pending: run `imagen sync`."
    ]
    assert scene.usage_queue.status().pause is None
    go_on.set()


def test_one_image_that_does_not_get_there_holds_up_no_other(scene: Scene) -> None:
    scene.draw(*range(10))
    scene.cloud.stand = lambda id_: id_ == sample_id(9) and fail(AWAY)()

    _, images = scene.run()

    assert (images.delivered, images.reason) == (9, AWAY.message)
    assert images.status == DeliveryStatus(pending=1)
    assert scene.cloud.tries.count(sample_id(9)) == 1


def test_several_images_in_a_row_mean_that_the_way_is_bad(scene: Scene) -> None:
    scene.draw(*range(30))
    scene.cloud.stand = fail(AWAY)

    _, images = scene.run()

    assert images.reason == AWAY.message
    assert FAILURES_IN_A_ROW <= len(scene.cloud.tries) < 10


def test_what_is_not_set_up_is_tried_once(scene: Scene) -> None:
    scene.draw(*range(30))
    scene.cloud.stand = fail(Misconfigured("There is no bucket.", hint="Make one."))

    _, images = scene.run()

    assert images.reason == "There is no bucket. Make one."
    assert len(scene.cloud.tries) <= 4
    assert images.status.pending == 30


def test_an_image_whose_bytes_were_not_kept_is_read_where_it_is(scene: Scene) -> None:
    scene.draw(1)
    scene.spool.discard([sample_id(1)])
    scene.files[drawn(1).location] = content(1)

    scene.run()

    assert list(scene.cloud.kept.values()) == [content(1)]


@pytest.mark.parametrize("there", [None, b"another picture"])
def test_an_image_that_is_missing_fails(scene: Scene, there: bytes | None) -> None:
    scene.draw(1)
    scene.spool.discard([sample_id(1)])
    if there is not None:
        scene.files[drawn(1).location] = there

    _, images = scene.run()

    [failed] = images.newly_failed
    assert failed.id == sample_id(1)
    # The database replaces what is not valid UTF-8 in a file name.
    assert remove_surrogates(drawn(1).location) in failed.trouble
    assert scene.cloud.kept == {}


def test_an_internal_error_is_reported(scene: Scene) -> None:
    scene.spend(1)

    def stand() -> None:
        raise ZeroDivisionError("by zero")

    scene.ledger.stand = stand

    [said] = scene.briefly()
    assert said.startswith("usage: Internal error: ZeroDivisionError: by zero.")


def test_a_queue_that_cannot_be_read_does_not_fail_the_command(scene: Scene) -> None:
    scene.spend(1)
    scene.usage_queue.status = fail(JournalError("It is damaged."))  # type: ignore[method-assign,assignment]

    assert scene.briefly() == []
    with pytest.raises(JournalError):
        scene.run()


def test_a_queue_that_cannot_be_written_ends_the_attempt(scene: Scene) -> None:
    scene.spend(1)
    scene.usage_queue.mark_delivered = fail(JournalError("The disk is full."))  # type: ignore[method-assign,assignment]

    usage, _ = scene.run()

    assert usage.reason == "The disk is full."
    assert scene.ledger.batches == [1]
