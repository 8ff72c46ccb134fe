"""The promises that every `Outbox` keeps."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

import msgspec
import pytest

from imagen.domain.delivery import (
    CHANNELS,
    Channel,
    DeliveryStatus,
    FailedDelivery,
    Pause,
)
from imagen.domain.errors import JournalError
from imagen.domain.history import HistoryEntry
from imagen.ports.history import History
from imagen.ports.ledger import Ledger
from imagen.ports.outbox import Outbox
from imagen.testing.concurrency import CROWD, run_at_once
from imagen.testing.contracts.base import Contract
from imagen.testing.samples import sample_entry, sample_id, sample_row

LATER = date(2100, 1, 1)
OWNER = "6f0c7f7e-3b1f-4a53-9d4c-0f6a2f0b7c11"
PAUSE = Pause(
    tries=3,
    until=datetime(2026, 11, 16, 12, tzinfo=UTC),
    trouble="It could not be reached: ☃.",
)


class OutboxContract(Contract):
    """Override `outbox`, `ledger`, `history`; `another`, `broken_outbox` if any."""

    @pytest.fixture
    def outbox(self) -> Outbox:
        """An outbox in which nothing is owed."""
        raise NotImplementedError("Override the fixture `outbox` to return yours.")

    @pytest.fixture
    def ledger(self) -> Ledger:
        """The ledger whose rows are owed."""
        raise NotImplementedError("Override the fixture `ledger` to return yours.")

    @pytest.fixture
    def history(self) -> History:
        """The history whose images are owed."""
        raise NotImplementedError("Override the fixture `history` to return yours.")

    @pytest.fixture
    def another(self) -> Outbox:
        """A second instance over the same accounts, as another process would have."""
        pytest.skip("there is no `another` over the same accounts")

    @pytest.fixture
    def broken_outbox(self) -> Outbox:
        """An outbox that can be neither read nor written."""
        pytest.skip("no `broken_outbox` is staged")

    @pytest.fixture
    def full(self, outbox: Outbox, ledger: Ledger, history: History) -> Outbox:
        """An outbox in which three rows and three images are owed."""
        ledger.record([sample_row(number) for number in (2, 1, 3)])
        owned = [_owned(number) for number in (2, 1, 3)]
        history.add([*owned, sample_entry(4)])
        return outbox

    def test_owes_nothing_at_first(self, outbox: Outbox) -> None:
        """Where nothing was made nothing is owed."""
        assert outbox.rows(10) == ()
        assert outbox.images(10) == ()
        assert outbox.totals([]) == ()
        assert [outbox.standing(channel) for channel in CHANNELS] == [
            DeliveryStatus(pending=0)
        ] * 2

    def test_owes_every_row(self, full: Outbox) -> None:
        """What the ledger records is owed, the oldest first, as it was recorded."""
        assert full.rows(10) == tuple(map(sample_row, (1, 2, 3)))
        assert full.rows(2) == (sample_row(1), sample_row(2))
        assert full.standing("usage").pending == 3

    def test_owes_images_that_have_an_owner(self, full: Outbox) -> None:
        """What the history has for an owner is owed, the newest first; nothing else."""
        assert full.images(10) == tuple(map(_owned, (3, 2, 1)))
        assert full.images(1) == (_owned(3),)
        assert full.images(1, besides=[sample_id(3), "?"]) == (_owned(2),)
        assert full.standing("images").pending == 3

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_owes_nothing_that_is_delivered(
        self, full: Outbox, channel: Channel
    ) -> None:
        """What was delivered is not owed any more, however often that is noted."""
        full.delivered(channel, [sample_id(3), sample_id(1)])
        full.delivered(channel, [sample_id(3), sample_id(9)])

        assert _ids(full, channel) == [sample_id(2)]
        assert full.standing(channel) == DeliveryStatus(pending=1)
        (other,) = set(CHANNELS) - {channel}
        assert full.standing(other).pending == 3

    def test_keeps_what_is_delivered_so(
        self, full: Outbox, ledger: Ledger, history: History
    ) -> None:
        """What is recorded or added again, by its id, is not owed again."""
        for channel in CHANNELS:
            full.delivered(channel, [sample_id(1)])
        ledger.record([sample_row(1)])
        history.add([_owned(1)])

        assert [full.standing(channel).pending for channel in CHANNELS] == [2, 2]

    def test_owes_an_image_that_gets_an_owner(
        self, full: Outbox, history: History
    ) -> None:
        """An image that had no owner is owed from when it has one."""
        history.add([_owned(4)])

        assert full.standing("images").pending == 4

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_sets_aside(self, full: Outbox, channel: Channel) -> None:
        """What is set aside is kept with its reason, and not owed."""
        full.set_aside(channel, {sample_id(2): "It is ☃.", sample_id(9): "Unknown."})

        assert _ids(full, channel) == sorted(
            [sample_id(1), sample_id(3)], reverse=channel == "images"
        )
        assert full.standing(channel) == DeliveryStatus(
            pending=2, failed=(FailedDelivery(id=sample_id(2), trouble="It is ☃."),)
        )

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_owes_again_what_was_set_aside(
        self, full: Outbox, channel: Channel
    ) -> None:
        """What was set aside is owed as before; what was delivered is not."""
        full.delivered(channel, [sample_id(1)])
        full.set_aside(channel, {sample_id(2): "It cannot be."})
        full.owe_again(channel)

        assert full.standing(channel) == DeliveryStatus(pending=2)

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_delivers_what_was_set_aside(self, full: Outbox, channel: Channel) -> None:
        """What was set aside by one, and delivered by another, is delivered."""
        full.set_aside(channel, {sample_id(2): "It cannot be."})
        full.delivered(channel, [sample_id(2)])

        assert full.standing(channel) == DeliveryStatus(pending=2)

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_does_not_set_aside_what_is_delivered(
        self, full: Outbox, channel: Channel
    ) -> None:
        """What was delivered by one, and then set aside by another, is delivered."""
        full.delivered(channel, [sample_id(2)])
        full.set_aside(channel, {sample_id(2): "Its bytes are gone."})

        assert full.standing(channel) == DeliveryStatus(pending=2)

    def test_adds_up_what_is_not_delivered(self, full: Outbox, ledger: Ledger) -> None:
        """Totals are those of the rows that are owed or set aside."""
        everything = ledger.totals(["backend", "week"])
        assert full.totals(["backend", "week"]) == everything

        full.set_aside("usage", {sample_id(1): "It cannot be."})
        full.delivered("usage", [sample_id(2)])

        [total] = full.totals([])
        rest = [sample_row(3), sample_row(1)]
        assert list(full.undelivered()) == rest
        assert list(full.undelivered(since=LATER)) == []
        assert total.calls == 2
        assert total.cost_micros == sum(row.cost_micros or 0 for row in rest)
        assert full.totals([], since=LATER) == ()

    def test_is_not_forgotten_while_it_is_owed(
        self, full: Outbox, history: History
    ) -> None:
        """What is too old is forgotten, but for what is owed."""
        full.delivered("images", [sample_id(1)])
        full.set_aside("images", {sample_id(2): "It cannot be."})
        forgotten = history.forget_older(datetime(2100, 1, 1, tzinfo=UTC))

        assert forgotten == 3
        assert [entry.sidecar.id for entry in history.find()] == [sample_id(3)]

    def test_is_not_owed_once_it_is_forgotten(
        self, full: Outbox, history: History
    ) -> None:
        """What somebody has forgotten is not delivered."""
        history.forget(sample_id(1))

        assert full.standing("images").pending == 2

    def test_holds_bytes(self, full: Outbox) -> None:
        """Bytes come back as they were, the last that were given."""
        full.hold(sample_id(1), b"first")
        full.hold(sample_id(1), b"\x89PNG" * 100_000)
        full.hold(sample_id(2), b"other")

        assert full.held(sample_id(1)) == b"\x89PNG" * 100_000
        assert full.held(sample_id(3)) is None

    def test_lets_go_of_bytes(self, full: Outbox) -> None:
        """Bytes are dropped with their image's delivery, or when that is asked for."""
        for number in (1, 2, 3):
            full.hold(sample_id(number), b"content")
        full.delivered("usage", [sample_id(1)])
        full.delivered("images", [sample_id(2)])
        full.let_go([sample_id(3), sample_id(9)])

        held = [full.held(sample_id(number)) for number in (1, 2, 3)]
        assert held == [b"content", None, None]

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_pauses(self, full: Outbox, channel: Channel) -> None:
        """A pause is remembered for its channel, until it is another or none."""
        later = msgspec.structs.replace(PAUSE, tries=4)
        full.pause(channel, PAUSE)
        full.pause(channel, later)

        (other,) = set(CHANNELS) - {channel}
        assert full.standing(channel).pause == later
        assert full.standing(other).pause is None

        full.pause(channel, None)
        full.pause(channel, None)
        assert full.standing(channel).pause is None

    def test_is_shared(self, full: Outbox, another: Outbox) -> None:
        """What one is told, the other knows."""
        full.hold(sample_id(1), b"content")
        full.delivered("usage", [sample_id(1)])
        full.set_aside("images", {sample_id(2): "It cannot be."})
        full.pause("usage", PAUSE)

        assert another.held(sample_id(1)) == b"content"
        for channel in CHANNELS:
            assert another.standing(channel) == full.standing(channel)

    def test_is_told_by_many_at_once(self, full: Outbox, ledger: Ledger) -> None:
        """Many threads note what they delivered, and nothing of it is lost."""
        ledger.record([sample_row(number) for number in range(100, 100 + CROWD)])

        def deliver(number: int) -> None:
            full.hold(sample_id(1), b"%d" % number)
            full.delivered("usage", [sample_id(100 + number)])
            full.pause("usage", PAUSE)

        assert run_at_once(deliver) == [None] * CROWD
        assert full.standing("usage").pending == 3

    @pytest.mark.parametrize("do", range(8))
    def test_says_what_is_wrong(self, broken_outbox: Outbox, do: int) -> None:
        """What cannot be read or written is a `JournalError`, of a few words."""
        outbox = broken_outbox
        everything: list[Callable[[], object]] = [
            lambda: outbox.rows(1),
            lambda: outbox.images(1),
            lambda: outbox.totals([]),
            lambda: outbox.delivered("usage", [sample_id(1)]),
            lambda: outbox.set_aside("images", {sample_id(1): "No."}),
            lambda: outbox.owe_again("images"),
            lambda: outbox.pause("usage", PAUSE),
            lambda: outbox.standing("usage"),
        ]
        with pytest.raises(JournalError) as raised:
            everything[do]()

        assert 10 < len(raised.value.message) < 500


def _owned(number: int) -> HistoryEntry:
    return msgspec.structs.replace(sample_entry(number), owner=OWNER)


def _ids(outbox: Outbox, channel: Channel) -> Sequence[str]:
    if channel == "usage":
        return [row.id for row in outbox.rows(10)]
    return [entry.sidecar.id for entry in outbox.images(10)]
