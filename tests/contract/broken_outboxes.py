"""A healthy outbox and ways of being ill; each says which promises it breaks.

Not collected by itself: `test_the_contracts.py` runs it and compares.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar

import msgspec
import pytest

from imagen.domain.delivery import Channel, DeliveryStatus, Pause
from imagen.domain.errors import JournalError
from imagen.domain.history import HistoryEntry
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal
from imagen.testing import (
    MemoryHistory,
    MemoryLedger,
    MemoryOutbox,
    OutboxContract,
)

replaced = msgspec.structs.replace


class Box(MemoryOutbox):
    """Healthy."""


def burnt(*_: object, **__: object) -> Any:
    raise JournalError("The box is burnt.")


class Burnt(Box):
    """Nothing in it can be read or written."""

    rows = images = totals = delivered = set_aside = burnt
    owe_again = pause = standing = burnt


class Staged(OutboxContract):
    Made: ClassVar[type[Box]] = Box
    Broken: ClassVar[type[Box]] = Burnt
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger()

    @pytest.fixture
    def history(self) -> MemoryHistory:
        return MemoryHistory()

    @pytest.fixture
    def outbox(self, ledger: MemoryLedger, history: MemoryHistory) -> Box:
        return self.Made(ledger, history)

    @pytest.fixture
    def another(self, outbox: Box) -> Box:
        another = type(outbox)(outbox.ledger, outbox.history)
        another.__dict__.update(outbox.__dict__)
        return another

    @pytest.fixture
    def broken_outbox(self) -> Box:
        return self.Broken()


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


class Full(Box):
    def standing(self, channel: Channel) -> DeliveryStatus:
        return replaced(super().standing(channel), pending=1)


class TestOwesWhatIsNotThere(Staged):
    Made = Full
    breaks: ClassVar[set[str]] = {
        "test_owes_nothing_at_first",
        "test_owes_every_row",
        "test_owes_images_that_have_an_owner",
        "test_owes_nothing_that_is_delivered",
        "test_keeps_what_is_delivered_so",
        "test_owes_an_image_that_gets_an_owner",
        "test_sets_aside",
        "test_owes_again_what_was_set_aside",
        "test_delivers_what_was_set_aside",
        "test_does_not_set_aside_what_is_delivered",
        "test_is_not_owed_once_it_is_forgotten",
        "test_is_told_by_many_at_once",
    }


class NewestFirst(Box):
    def rows(self, limit: int) -> tuple[UsageRow, ...]:
        return tuple(reversed(super().rows(1000)))[:limit]


class TestHasTheNewestRowsFirst(Staged):
    Made = NewestFirst
    breaks: ClassVar[set[str]] = {
        "test_owes_every_row",
        "test_sets_aside",
    }


class OldestFirst(Box):
    def images(
        self, limit: int, *, besides: Collection[str] = ()
    ) -> tuple[HistoryEntry, ...]:
        return tuple(reversed(super().images(1000, besides=besides)))[:limit]


class TestHasTheOldestImagesFirst(Staged):
    Made = OldestFirst
    breaks: ClassVar[set[str]] = {
        "test_owes_images_that_have_an_owner",
        "test_sets_aside",
    }


class Generous(Box):
    def images(
        self, limit: int, *, besides: Collection[str] = ()
    ) -> tuple[HistoryEntry, ...]:
        return super().images(1000, besides=besides)


class TestDoesNotHeedTheLimit(Staged):
    Made = Generous
    breaks: ClassVar[set[str]] = {"test_owes_images_that_have_an_owner"}


class Orphans(Box):
    def _known(self, channel: Channel) -> set[str]:
        return set((self.ledger if channel == "usage" else self.history).kept)


class TestOwesImagesOfNobody(Staged):
    Made = Orphans
    breaks: ClassVar[set[str]] = {
        "test_owes_images_that_have_an_owner",
        "test_owes_nothing_that_is_delivered",
        "test_keeps_what_is_delivered_so",
        "test_sets_aside",
        "test_owes_again_what_was_set_aside",
        "test_delivers_what_was_set_aside",
        "test_does_not_set_aside_what_is_delivered",
        "test_is_not_forgotten_while_it_is_owed",
        "test_is_not_owed_once_it_is_forgotten",
    }


class Spiteful(Box):
    def set_aside(self, channel: Channel, troubles: Mapping[str, str]) -> None:
        self.over[channel] -= set(troubles)
        super().set_aside(channel, troubles)


class TestSetsAsideWhatIsDelivered(Staged):
    Made = Spiteful
    breaks: ClassVar[set[str]] = {"test_does_not_set_aside_what_is_delivered"}


class Mixed(Box):
    def delivered(self, channel: Channel, ids: Collection[str]) -> None:
        super().delivered("usage", ids)
        super().delivered("images", ids)


class TestTakesOneChannelForTheOther(Staged):
    Made = Mixed
    breaks: ClassVar[set[str]] = {
        "test_owes_nothing_that_is_delivered",
        "test_lets_go_of_bytes",
        "test_is_shared",
    }


class Forgetful(Box):
    """Keeps what was set aside as if it had been delivered."""

    def set_aside(self, channel: Channel, troubles: Mapping[str, str]) -> None:
        self.delivered(channel, list(troubles))


class TestDropsWhatIsSetAside(Staged):
    Made = Forgetful
    breaks: ClassVar[set[str]] = {
        "test_sets_aside",
        "test_owes_again_what_was_set_aside",
        "test_adds_up_what_is_not_delivered",
    }


class Stubborn(Box):
    def owe_again(self, channel: Channel) -> None:
        pass


class TestNeverOwesAgain(Staged):
    Made = Stubborn
    breaks: ClassVar[set[str]] = {"test_owes_again_what_was_set_aside"}


class Undecided(Box):
    def delivered(self, channel: Channel, ids: Collection[str]) -> None:
        aside = dict(self.troubles[channel])
        super().delivered(channel, ids)
        self.troubles[channel] = aside


class TestKeepsAsideWhatIsDelivered(Staged):
    Made = Undecided
    breaks: ClassVar[set[str]] = {"test_delivers_what_was_set_aside"}


class Short(Box):
    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        rest = MemoryLedger()
        rest.record(self.rows(1000))
        return rest.totals(by, since=since)


class TestLeavesOutOfTotalsWhatIsAside(Staged):
    Made = Short
    breaks: ClassVar[set[str]] = {"test_adds_up_what_is_not_delivered"}


class Timeless(Box):
    def undelivered(self, *, since: date | None = None) -> Iterator[UsageRow]:
        return super().undelivered()


class TestYieldsRowsOfAnyTime(Staged):
    Made = Timeless
    breaks: ClassVar[set[str]] = {"test_adds_up_what_is_not_delivered"}


class First(Box):
    def hold(self, image_id: str, content: bytes) -> None:
        self.bytes.setdefault(image_id, content)


class TestKeepsTheFirstBytes(Staged):
    Made = First
    breaks: ClassVar[set[str]] = {"test_holds_bytes"}


class Hoarder(Box):
    def let_go(self, image_ids: Collection[str]) -> None:
        pass


class TestKeepsBytesForEver(Staged):
    Made = Hoarder
    breaks: ClassVar[set[str]] = {"test_lets_go_of_bytes"}


class Restless(Box):
    def pause(self, channel: Channel, pause: Pause | None) -> None:
        if pause is None or channel not in self.pauses:
            super().pause(channel, pause)


class TestKeepsTheFirstPause(Staged):
    Made = Restless
    breaks: ClassVar[set[str]] = {"test_pauses"}


class TestIsAlone(Staged):
    breaks: ClassVar[set[str]] = {"test_is_shared"}

    @pytest.fixture
    def another(self, outbox: Box) -> Box:
        return Box(outbox.ledger, outbox.history)


class Careless(Box):
    """Reads, thinks, and writes what it has read."""

    def delivered(self, channel: Channel, ids: Collection[str]) -> None:
        over = set(self.over[channel])
        time.sleep(0.1)
        self.over[channel] = over
        super().delivered(channel, ids)


class TestLosesWhatOthersNote(Staged):
    Made = Careless
    breaks: ClassVar[set[str]] = {"test_is_told_by_many_at_once"}


class Obstinate(Box):
    """Does not let the history forget anything that has an owner."""

    def __init__(
        self, ledger: MemoryLedger | None = None, history: MemoryHistory | None = None
    ) -> None:
        super().__init__(ledger, history)
        self.history.is_owed = lambda image_id: image_id in self._known("images")


class TestIsNeverForgotten(Staged):
    Made = Obstinate
    breaks: ClassVar[set[str]] = {"test_is_not_forgotten_while_it_is_owed"}


class Mute(Box):
    """Raises what it should explain."""

    rows = images = totals = delivered = set_aside = owe_again = pause = standing = (
        lambda *_, **__: 1 / 0
    )


class TestSaysNothing(Staged):
    Broken = Mute
    breaks: ClassVar[set[str]] = {"test_says_what_is_wrong"}
