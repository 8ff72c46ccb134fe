"""A correct journal and faulty ones; `breaks` lists the tests that each fails.

Not collected by itself: `test_the_contracts.py` runs it and compares.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC
from threading import Lock
from typing import ClassVar, Self

import msgspec
import pytest
from tests.contract_internal.contracts.journal import JournalContract
from tests.contract_internal.fakes.stores import MemoryJournal, MemoryLedger

from imagen.domain.call import (
    Call,
    CallAccepted,
    CallClosed,
    CallLeftOpen,
    CallReceived,
    CallSending,
    CallUpdate,
    ClaimedCall,
    OpenCall,
    OutputTarget,
)
from imagen.domain.errors import JournalError, ReferenceTaken
from imagen.domain.money.budget import BudgetLimit
from imagen.testing.samples import sample_row

replaced = msgspec.structs.replace
ONE = Lock()


class Torn(MemoryJournal):
    """A journal that can be neither read nor written."""

    error: Exception = JournalError("The journal is torn.")

    def begin(
        self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
    ) -> None:
        raise self.error

    def record(self, call_id: str, update: CallUpdate) -> None:
        raise self.error

    def committed_micros(self, limit: BudgetLimit) -> int:
        raise self.error

    def list_open(self) -> tuple[OpenCall, ...]:
        raise self.error

    def claim(self, call_id: str) -> ClaimedCall | None:
        raise self.error


class Staged(JournalContract):
    Made: ClassVar[type[MemoryJournal]] = MemoryJournal
    Broken: ClassVar[type[MemoryJournal]] = Torn
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def journal(self) -> MemoryJournal:
        return self.Made()

    @pytest.fixture
    def ledger(self, journal: MemoryJournal) -> MemoryLedger:
        return journal.ledger

    @pytest.fixture
    def another(self, journal: MemoryJournal) -> MemoryJournal:
        return journal.another()

    @pytest.fixture
    def end(self, journal: MemoryJournal) -> Callable[[], None]:
        return journal.close

    @pytest.fixture
    def broken_journal(self) -> MemoryJournal:
        return self.Broken()


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


# Faults of `begin`.


class TestBeginsOneAfterTheOther(Staged):
    class Made(MemoryJournal):
        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            for call in calls:
                super().begin([call], limits=limits)

    breaks: ClassVar[set[str]] = {
        "test_begins_no_call_twice",
        "test_begins_none_of_what_is_over_a_limit",
    }


class TestBeginsTwice(Staged):
    class Made(MemoryJournal):
        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            for call in calls:
                self._shared.calls.pop(call.id, None)
            super().begin(calls, limits=limits)

    breaks: ClassVar[set[str]] = {
        "test_begins_no_call_twice",
    }


class TestForgetsWhereImagesGo(Staged):
    class Made(MemoryJournal):
        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            super().begin(
                [replaced(c, target=OutputTarget()) for c in calls], limits=limits
            )

    breaks: ClassVar[set[str]] = {
        "test_returns_what_was_begun",
        "test_lets_what_was_left_open_be_claimed",
        "test_has_what_was_claimed_in_hand",
        "test_lets_what_a_dead_process_had_be_claimed",
    }


class TestIsInNoOrder(Staged):
    class Made(MemoryJournal):
        def list_open(self) -> tuple[OpenCall, ...]:
            there = {each.call.id: each for each in super().list_open()}
            return tuple(there[call_id] for call_id in self._shared.calls)

    breaks: ClassVar[set[str]] = {
        "test_returns_the_oldest_first",
    }


class TestRaisesForWhatIsNotThere(Staged):
    class Made(MemoryJournal):
        def claim(self, call_id: str) -> ClaimedCall | None:
            if call_id not in self._shared.calls:
                raise JournalError("There is no such call.")
            return super().claim(call_id)

    breaks: ClassVar[set[str]] = {
        "test_has_nothing_at_first",
        "test_forgets_a_call_that_is_closed",
        "test_ignores_notes_on_a_call_that_is_not_there",
    }


# Faults of the states of a call.


class TestKnowsNothingOfAccepting(Staged):
    class Made(MemoryJournal):
        def list_open(self) -> tuple[OpenCall, ...]:
            return tuple(
                replaced(each, state="sent") if each.state == "accepted" else each
                for each in super().list_open()
            )

    breaks: ClassVar[set[str]] = {
        "test_goes_on_from_planned_to_received",
        "test_takes_nothing_else_back",
        "test_lets_another_adapter_use_the_reference",
        "test_remembers_each_reference_of_a_call",
        "test_lets_what_was_left_open_be_claimed",
        "test_is_seen_by_another",
    }


class TestNeverTakesBack(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if update != CallSending(active=False):
                super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_is_planned_again_when_it_was_not_sent",
    }


class TestTakesEverythingBack(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            super().record(call_id, update)
            if isinstance(update, CallSending) and (
                entry := self._shared.calls.get(call_id)
            ):
                entry.state = "sent" if update.active else "planned"

    breaks: ClassVar[set[str]] = {
        "test_takes_nothing_else_back",
    }


class TestCountsNotes(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            again = (call_id, update) in self.notes
            super().record(call_id, update)
            if again and (entry := self._shared.calls.get(call_id)):
                entry.reason += " Again!"

    breaks: ClassVar[set[str]] = {
        "test_changes_nothing_that_is_so_already",
    }


class TestKeepsWhatIsClosed(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            entry = self._shared.calls.get(call_id)
            super().record(call_id, update)
            if isinstance(update, CallClosed) and entry and entry.state == "received":
                self._shared.calls[call_id] = entry

    breaks: ClassVar[set[str]] = {
        "test_forgets_a_call_that_is_closed",
        "test_is_used_by_many_at_once",
    }


class TestRaisesForNotesOnNothing(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if call_id not in self._shared.calls and not isinstance(update, CallClosed):
                raise JournalError("There is no such call.")
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_ignores_notes_on_a_call_that_is_not_there",
    }


# Faults of usage rows.


class TestRecordsEachClosing(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            super().record(call_id, update)
            if isinstance(update, CallClosed) and update.usage:
                number = len(self.ledger.kept)
                self.ledger.record([replaced(update.usage, id=f"{call_id}-{number}")])

    breaks: ClassVar[set[str]] = {
        "test_records_usage_once",
        "test_records_usage_of_a_call_that_is_not_there",
        "test_is_seen_by_another",
        "test_is_used_by_many_at_once",
        "test_counts_what_was_spent",
    }


class TestRecordsWhatCostNothing(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if update == CallClosed() and call_id in self._shared.calls:
                update = CallClosed(usage=replaced(sample_row(cost=0), id=call_id))
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_records_no_usage_of_what_cost_nothing",
        "test_ignores_notes_on_a_call_that_is_not_there",
    }


class TestRecordsOnlyWhatIsThere(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if call_id in self._shared.calls:
                super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_records_usage_of_a_call_that_is_not_there",
    }


# Faults of references.


class TestGivesReferencesAway(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            self._shared.references.clear()
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_gives_a_reference_to_one_call",
        "test_remembers_each_reference_of_a_call",
        "test_tells_which_references_are_untaken",
    }


class TestForgetsReferencesOfClosedCalls(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            super().record(call_id, update)
            if isinstance(update, CallClosed):
                self._shared.references.clear()

    breaks: ClassVar[set[str]] = {
        "test_gives_a_reference_to_one_call",
        "test_tells_which_references_are_untaken",
    }


class TestRemembersOnlyTheLastReference(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if isinstance(update, CallAccepted):
                owners = self._shared.references
                for name in [name for name in owners if owners[name] == call_id]:
                    del owners[name]
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_remembers_each_reference_of_a_call",
        "test_tells_which_references_are_untaken",
    }


class TestKeepsReferencesFromOtherAdapters(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if isinstance(update, CallAccepted):
                for (_, reference), owner in self._shared.references.items():
                    if reference == update.reference and owner != call_id:
                        raise ReferenceTaken("Somebody has it.")
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_lets_another_adapter_use_the_reference",
    }


# Faults of claims.


class TestClaimsWhatIsWorkedOn(Staged):
    class Made(MemoryJournal):
        def claim(self, call_id: str) -> ClaimedCall | None:
            entry = self._shared.calls.get(call_id)
            if entry is not None and entry.owner is self:
                entry.owner = None
            return super().claim(call_id)

    breaks: ClassVar[set[str]] = {
        "test_lets_nobody_claim_what_is_worked_on",
        "test_gives_a_call_to_one_of_many",
    }


class TestForgetsWhyItWasLeft(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            super().record(
                call_id,
                CallLeftOpen(reason="") if isinstance(update, CallLeftOpen) else update,
            )

    breaks: ClassVar[set[str]] = {
        "test_lets_what_was_left_open_be_claimed",
    }


class TestRemembersTrouble(Staged):
    class Made(MemoryJournal):
        def claim(self, call_id: str) -> ClaimedCall | None:
            claim = super().claim(call_id)
            if claim is not None:
                self._shared.calls[call_id].reason = claim.open.reason
            return claim

    breaks: ClassVar[set[str]] = {
        "test_has_what_was_claimed_in_hand",
        "test_forgets_why_it_was_left_when_the_next_one_dies",
    }


class TestTakesTheDeadForAlive(Staged):
    class Made(MemoryJournal):
        def close(self) -> None:
            pass

    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_a_dead_process_never_sent",
        "test_lets_what_a_dead_process_had_be_claimed",
        "test_forgets_why_it_was_left_when_the_next_one_dies",
    }


class TestGivesACallToSeveral(Staged):
    class Made(MemoryJournal):
        def claim(self, call_id: str) -> ClaimedCall | None:
            entry = self._shared.calls.get(call_id)
            free = entry is not None and entry.owner is None
            time.sleep(0.1)
            if free:
                self._shared.calls[call_id].owner = None
            return super().claim(call_id)

    breaks: ClassVar[set[str]] = {
        "test_gives_a_call_to_one_of_many",
    }


class TestKnowsOnlyItsOwn(Staged):
    class Made(MemoryJournal):
        def another(self) -> Self:
            return type(self)(self.ledger)

    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_a_dead_process_never_sent",
        "test_lets_nobody_claim_what_is_worked_on",
        "test_has_what_was_claimed_in_hand",
        "test_hands_over_what_arrived",
        "test_lets_what_a_dead_process_had_be_claimed",
        "test_forgets_why_it_was_left_when_the_next_one_dies",
        "test_is_seen_by_another",
        "test_begins_as_many_as_there_is_room_for",
    }


class TestWantsToBeAlone(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if not ONE.acquire(blocking=False):
                raise JournalError("Somebody writes.")
            try:
                time.sleep(0.003)
                super().record(call_id, update)
            finally:
                ONE.release()

    breaks: ClassVar[set[str]] = {
        "test_is_used_by_many_at_once",
    }


# Faults of received images.


class TestForgetsWhatArrived(Staged):
    class Made(MemoryJournal):
        def claim(self, call_id: str) -> ClaimedCall | None:
            claim = super().claim(call_id)
            return None if claim is None else replaced(claim, received=None)

    breaks: ClassVar[set[str]] = {
        "test_hands_over_what_arrived",
        "test_keeps_images_whatever_comes_with_them",
        "test_lets_what_a_dead_process_had_be_claimed",
    }


class TestForgetsTheOffset(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if isinstance(update, CallReceived):
                at = update.received.at.astimezone(UTC)
                update = CallReceived(received=replaced(update.received, at=at))
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_hands_over_what_arrived",
    }


class TestIsParticularAboutParameters(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if isinstance(update, CallReceived):
                try:
                    msgspec.json.encode(update)
                except (TypeError, UnicodeEncodeError) as error:
                    raise JournalError(f"It cannot be written: {error}.") from error
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_keeps_images_whatever_comes_with_them",
    }


# Faults of budget limits.


class TestHasNoLimits(Staged):
    class Made(MemoryJournal):
        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            super().begin(calls)

    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_a_dead_process_never_sent",
        "test_begins_none_of_what_is_over_a_limit",
        "test_counts_what_is_reserved",
        "test_counts_what_was_spent",
        "test_counts_an_unknown_cost_as_reserved",
        "test_releases_what_cost_nothing",
        "test_counts_from_when_the_limit_began",
        "test_counts_what_the_limit_is_about",
        "test_counts_whom_the_limit_is_about",
        "test_counts_nothing_for_what_is_free",
        "test_begins_as_many_as_there_is_room_for",
    }


class TestHasOneLimit(Staged):
    class Made(MemoryJournal):
        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            super().begin(calls, limits=limits[:1])

    breaks: ClassVar[set[str]] = {
        "test_begins_none_of_what_is_over_a_limit",
    }


class TestLeavesSomethingOver(Staged):
    class Made(MemoryJournal):
        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            super().begin(
                calls,
                limits=[replaced(each, micros=each.micros - 1) for each in limits],
            )

    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_a_dead_process_never_sent",
        "test_begins_what_a_limit_has_room_for",
        "test_counts_what_is_reserved",
        "test_counts_what_was_spent",
        "test_counts_an_unknown_cost_as_reserved",
        "test_releases_what_cost_nothing",
        "test_counts_from_when_the_limit_began",
        "test_counts_what_the_limit_is_about",
        "test_counts_whom_the_limit_is_about",
        "test_counts_nothing_for_what_is_free",
    }


class TestLooksBeforeItWrites(Staged):
    class Made(MemoryJournal):
        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            for limit in limits:
                self._check_limit(limit, calls)
            time.sleep(0.1)
            super().begin(calls)

    breaks: ClassVar[set[str]] = {
        "test_begins_as_many_as_there_is_room_for",
    }


class TestForgetsReservations(Staged):
    class Made(MemoryJournal):
        def _check_limit(self, limit: BudgetLimit, calls: Sequence[Call]) -> None:
            there, self._shared.calls = self._shared.calls, {}
            try:
                super()._check_limit(limit, calls)
            finally:
                self._shared.calls = there

    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_a_dead_process_never_sent",
        "test_counts_what_is_reserved",
        "test_counts_what_the_limit_is_about",
        "test_counts_whom_the_limit_is_about",
        "test_begins_as_many_as_there_is_room_for",
    }


class TestHoldsBackWhatWasNeverSent(Staged):
    class Made(MemoryJournal):
        def _check_limit(self, limit: BudgetLimit, calls: Sequence[Call]) -> None:
            dead = [
                entry.call.reserved or 0
                for entry in self._shared.calls.values()
                if entry.state == "planned" and entry.owner and not entry.owner.alive
            ]
            super()._check_limit(
                replaced(limit, micros=limit.micros - sum(dead)), calls
            )

    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_a_dead_process_never_sent",
    }


class TestForgetsTheLedger(Staged):
    class Made(MemoryJournal):
        def _check_limit(self, limit: BudgetLimit, calls: Sequence[Call]) -> None:
            kept, self.ledger.kept = self.ledger.kept, {}
            try:
                super()._check_limit(limit, calls)
            finally:
                self.ledger.kept = kept

    breaks: ClassVar[set[str]] = {
        "test_counts_what_was_spent",
        "test_counts_an_unknown_cost_as_reserved",
        "test_counts_from_when_the_limit_began",
        "test_counts_what_the_limit_is_about",
        "test_counts_whom_the_limit_is_about",
    }


class TestTakesUnknownForNothing(Staged):
    class Made(MemoryJournal):
        def record(self, call_id: str, update: CallUpdate) -> None:
            super().record(call_id, update)
            if isinstance(update, CallClosed):
                self._shared.reserved.pop(call_id, None)

    breaks: ClassVar[set[str]] = {
        "test_counts_an_unknown_cost_as_reserved",
    }


class TestNeverReleases(Staged):
    class Made(MemoryJournal):
        def _check_limit(self, limit: BudgetLimit, calls: Sequence[Call]) -> None:
            gone = self._shared.reserved.keys() - self._shared.calls.keys()
            held = sum(self._shared.reserved[call_id] for call_id in gone)
            super()._check_limit(replaced(limit, micros=limit.micros - held), calls)

    breaks: ClassVar[set[str]] = {
        "test_counts_what_was_spent",
        "test_counts_an_unknown_cost_as_reserved",
        "test_releases_what_cost_nothing",
        "test_counts_what_the_limit_is_about",
        "test_counts_whom_the_limit_is_about",
    }


class TestCountsFromTheBeginningOfTime(Staged):
    class Made(MemoryJournal):
        def _check_limit(self, limit: BudgetLimit, calls: Sequence[Call]) -> None:
            since = limit.since.replace(year=1970)
            super()._check_limit(replaced(limit, since=since), calls)

    breaks: ClassVar[set[str]] = {
        "test_counts_from_when_the_limit_began",
    }


class TestCountsEveryBackend(Staged):
    class Made(MemoryJournal):
        def _check_limit(self, limit: BudgetLimit, calls: Sequence[Call]) -> None:
            super()._check_limit(replaced(limit, backend=""), calls)

    breaks: ClassVar[set[str]] = {
        "test_counts_what_the_limit_is_about",
    }


class TestCountsEveryCaller(Staged):
    class Made(MemoryJournal):
        def _check_limit(self, limit: BudgetLimit, calls: Sequence[Call]) -> None:
            super()._check_limit(replaced(limit, caller=""), calls)

    breaks: ClassVar[set[str]] = {
        "test_counts_whom_the_limit_is_about",
    }


class TestCountsWhatIsFree(Staged):
    class Made(MemoryJournal):
        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            super().begin([replaced(c, may_cost=True) for c in calls], limits=limits)

    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_is_free",
    }


# Faults of error handling.


class TestLetsAnOsErrorOut(Staged):
    class Broken(Torn):
        error = OSError("Input/output error")

    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_broken",
    }


class TestSaysNoSentence(Staged):
    class Broken(Torn):
        error = JournalError("EIO")

    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_broken",
    }
