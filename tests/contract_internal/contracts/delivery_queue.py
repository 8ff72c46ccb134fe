"""The contract of every `DeliveryQueue`."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

import msgspec
import pytest
from tests.contract_internal.samples import sample_entry

from imagen.domain.delivery import Channel, DeliveryStatus, FailedDelivery, Pause
from imagen.domain.errors import JournalError
from imagen.domain.history import HistoryEntry
from imagen.domain.money.usage import UsageRow
from imagen.ports.delivery_queue import DeliveryQueue
from imagen.ports.history import History
from imagen.ports.ledger import Ledger, UsageReader
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import CROWD, run_at_once
from imagen.testing.samples import sample_id, sample_row

CHANNELS: tuple[Channel, ...] = ("usage", "images")
LATER = date(2100, 1, 1)
OWNER = "6f0c7f7e-3b1f-4a53-9d4c-0f6a2f0b7c11"
PAUSE = Pause(
    tries=3,
    until=datetime(2026, 11, 16, 12, tzinfo=UTC),
    trouble="It could not be reached: ☃.",
)


class DeliveryQueues(msgspec.Struct, frozen=True, kw_only=True):
    """Both queues over one ledger and one history.

    Attributes:
        usage: The queue of usage rows.
        images: The queue of images.
        undelivered: The usage rows that are pending or failed.
    """

    usage: DeliveryQueue[UsageRow]
    images: DeliveryQueue[HistoryEntry]
    undelivered: UsageReader

    def select(self, channel: Channel) -> DeliveryQueue[UsageRow | HistoryEntry]:
        """Return the queue of a channel."""
        return self.usage if channel == "usage" else self.images

    def pending_ids(self, channel: Channel) -> Sequence[str]:
        """Return the ids of the pending records, in the order of delivery."""
        if channel == "usage":
            return [row.id for row in self.usage.pending(10)]
        return [entry.sidecar.id for entry in self.images.pending(10)]

    def statuses(self) -> list[DeliveryStatus]:
        """Return the status of each channel."""
        return [self.select(channel).status() for channel in CHANNELS]


class DeliveryQueueContract(Contract):
    """Override `queues`, `ledger`, `history`; if possible, the others."""

    @pytest.fixture
    def queues(self) -> DeliveryQueues:
        """Queues in which nothing is pending."""
        raise NotImplementedError("Override the fixture `queues` to return yours.")

    @pytest.fixture
    def ledger(self) -> Ledger:
        """The ledger whose rows are delivered."""
        raise NotImplementedError("Override the fixture `ledger` to return yours.")

    @pytest.fixture
    def history(self) -> History:
        """The history whose images are delivered."""
        raise NotImplementedError("Override the fixture `history` to return yours.")

    @pytest.fixture
    def other_queues(self) -> DeliveryQueues:
        """Second instances over the same records, as another process would have."""
        pytest.skip("`other_queues` is not overridden")

    @pytest.fixture
    def broken_queues(self) -> DeliveryQueues:
        """Queues that can be neither read nor written."""
        pytest.skip("`broken_queues` is not overridden")

    @pytest.fixture
    def full(
        self, queues: DeliveryQueues, ledger: Ledger, history: History
    ) -> DeliveryQueues:
        """Queues in which three rows and three images are pending."""
        ledger.record([sample_row(number) for number in (2, 1, 3)])
        owned = [_owned(number) for number in (2, 1, 3)]
        history.add([*owned, sample_entry(4)])
        return queues

    def test_has_nothing_pending_at_first(self, queues: DeliveryQueues) -> None:
        """Without rows and images, nothing is pending."""
        assert queues.usage.pending(10) == ()
        assert queues.images.pending(10) == ()
        assert queues.undelivered.totals([]) == ()
        assert queues.statuses() == [DeliveryStatus(pending=0)] * 2

    def test_has_every_row_pending(self, full: DeliveryQueues) -> None:
        """Recorded rows are pending, the oldest first, as they were recorded."""
        assert full.usage.pending(10) == tuple(map(sample_row, (1, 2, 3)))
        assert full.usage.pending(2) == (sample_row(1), sample_row(2))
        excluding = [sample_id(1), "?"]
        assert full.usage.pending(1, excluding=excluding) == (sample_row(2),)
        assert full.usage.status().pending == 3

    def test_has_images_with_an_owner_pending(self, full: DeliveryQueues) -> None:
        """Images that have an owner are pending, the newest first; no others are."""
        assert full.images.pending(10) == tuple(map(_owned, (3, 2, 1)))
        assert full.images.pending(1) == (_owned(3),)
        excluding = [sample_id(3), "?"]
        assert full.images.pending(1, excluding=excluding) == (_owned(2),)
        assert full.images.status().pending == 3

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_marks_delivered(self, full: DeliveryQueues, channel: Channel) -> None:
        """A delivered record is not pending, however often it is marked."""
        full.select(channel).mark_delivered([sample_id(3), sample_id(1)])
        full.select(channel).mark_delivered([sample_id(3), sample_id(9)])

        assert full.pending_ids(channel) == [sample_id(2)]
        assert full.select(channel).status() == DeliveryStatus(pending=1)
        (other,) = set(CHANNELS) - {channel}
        assert full.select(other).status().pending == 3

    def test_keeps_delivered_records_delivered(
        self, full: DeliveryQueues, ledger: Ledger, history: History
    ) -> None:
        """A record with a delivered id that is added again is not pending."""
        for channel in CHANNELS:
            full.select(channel).mark_delivered([sample_id(1)])
        ledger.record([sample_row(1)])
        history.add([_owned(1)])

        assert [status.pending for status in full.statuses()] == [2, 2]

    def test_adds_an_image_that_gets_an_owner(
        self, full: DeliveryQueues, history: History
    ) -> None:
        """An image without an owner is pending once it gets one."""
        history.add([_owned(4)])

        assert full.images.status().pending == 4

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_marks_failed(self, full: DeliveryQueues, channel: Channel) -> None:
        """A failed record is kept with its reason, and is not pending."""
        reasons = {sample_id(2): "It is ☃.", sample_id(9): "Unknown."}
        full.select(channel).mark_failed(reasons)

        assert full.pending_ids(channel) == sorted(
            [sample_id(1), sample_id(3)], reverse=channel == "images"
        )
        assert full.select(channel).status() == DeliveryStatus(
            pending=2, failed=(FailedDelivery(id=sample_id(2), trouble="It is ☃."),)
        )

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_retries_failed(self, full: DeliveryQueues, channel: Channel) -> None:
        """Failed records become pending again; delivered ones do not."""
        full.select(channel).mark_delivered([sample_id(1)])
        full.select(channel).mark_failed({sample_id(2): "It cannot be."})
        full.select(channel).retry_failed()

        assert full.select(channel).status() == DeliveryStatus(pending=2)

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_delivers_a_failed_record(
        self, full: DeliveryQueues, channel: Channel
    ) -> None:
        """A record that failed here and was delivered elsewhere is delivered."""
        full.select(channel).mark_failed({sample_id(2): "It cannot be."})
        full.select(channel).mark_delivered([sample_id(2)])

        assert full.select(channel).status() == DeliveryStatus(pending=2)

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_does_not_fail_a_delivered_record(
        self, full: DeliveryQueues, channel: Channel
    ) -> None:
        """A record that was delivered elsewhere and then failed here is delivered."""
        full.select(channel).mark_delivered([sample_id(2)])
        full.select(channel).mark_failed({sample_id(2): "Its bytes are gone."})

        assert full.select(channel).status() == DeliveryStatus(pending=2)

    def test_adds_up_undelivered_usage(
        self, full: DeliveryQueues, ledger: Ledger
    ) -> None:
        """Undelivered rows and their totals are the pending and the failed ones."""
        everything = ledger.totals(["backend", "week"])
        assert full.undelivered.totals(["backend", "week"]) == everything

        full.usage.mark_failed({sample_id(1): "It cannot be."})
        full.usage.mark_delivered([sample_id(2)])

        [total] = full.undelivered.totals([])
        rest = [sample_row(3), sample_row(1)]
        assert list(full.undelivered.rows()) == rest
        assert list(full.undelivered.rows(since=LATER)) == []
        assert total.calls == 2
        assert total.cost_micros == sum(row.cost_micros or 0 for row in rest)
        assert full.undelivered.totals([], since=LATER) == ()

    def test_keeps_pending_images_in_the_history(
        self, full: DeliveryQueues, history: History
    ) -> None:
        """The history forgets images that are too old, except pending ones."""
        full.images.mark_delivered([sample_id(1)])
        full.images.mark_failed({sample_id(2): "It cannot be."})
        forgotten = history.forget_older(datetime(2100, 1, 1, tzinfo=UTC))

        assert forgotten == 3
        assert [entry.sidecar.id for entry in history.find()] == [sample_id(3)]

    def test_does_not_deliver_forgotten_images(
        self, full: DeliveryQueues, history: History
    ) -> None:
        """An image that the user removed from the history is not pending."""
        history.forget(sample_id(1))

        assert full.images.status().pending == 2

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_pauses(self, full: DeliveryQueues, channel: Channel) -> None:
        """A pause of one channel lasts until it is replaced or ended."""
        later = msgspec.structs.replace(PAUSE, tries=4)
        full.select(channel).pause(PAUSE)
        full.select(channel).pause(later)

        (other,) = set(CHANNELS) - {channel}
        assert full.select(channel).status().pause == later
        assert full.select(other).status().pause is None

        full.select(channel).pause(None)
        full.select(channel).pause(None)
        assert full.select(channel).status().pause is None

    def test_shares_its_state_between_instances(
        self, full: DeliveryQueues, other_queues: DeliveryQueues
    ) -> None:
        """Another instance has the state that this one has written."""
        full.usage.mark_delivered([sample_id(1)])
        full.images.mark_failed({sample_id(2): "It cannot be."})
        full.usage.pause(PAUSE)

        assert other_queues.statuses() == full.statuses()

    def test_is_written_by_many_threads(
        self, full: DeliveryQueues, ledger: Ledger
    ) -> None:
        """No state is lost when many threads write at the same time."""
        ledger.record([sample_row(number) for number in range(100, 100 + CROWD)])

        def deliver(number: int) -> None:
            full.usage.mark_delivered([sample_id(100 + number)])
            full.usage.pause(PAUSE)

        assert run_at_once(deliver) == [None] * CROWD
        assert full.usage.status().pending == 3

    @pytest.mark.parametrize("do", range(9))
    def test_reports_what_is_wrong(
        self, broken_queues: DeliveryQueues, do: int
    ) -> None:
        """A failed read or write is a `JournalError` with a short message."""
        queues = broken_queues
        everything: list[Callable[[], object]] = [
            lambda: queues.usage.pending(1),
            lambda: queues.images.pending(1),
            lambda: queues.undelivered.totals([]),
            lambda: list(queues.undelivered.rows()),
            lambda: queues.usage.mark_delivered([sample_id(1)]),
            lambda: queues.images.mark_failed({sample_id(1): "No."}),
            queues.images.retry_failed,
            lambda: queues.usage.pause(PAUSE),
            queues.usage.status,
        ]
        with pytest.raises(JournalError) as raised:
            everything[do]()

        assert 10 < len(raised.value.message) < 500


def _owned(number: int) -> HistoryEntry:
    return msgspec.structs.replace(sample_entry(number), owner=OWNER)
