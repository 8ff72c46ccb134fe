"""A correct journal and faulty ones; `breaks` lists the tests that each fails.

Not collected by itself: `test_broken.py` runs it and compares.
"""

from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from sqlite3 import Connection
from threading import Lock, get_ident
from typing import ClassVar

import msgspec
import pytest
from tests.contract.broken import Rendezvous
from tests.contract_internal.contracts.journal import JournalContract
from tests.contract_internal.databases import (
    FailingDatabase,
    QuickDatabase,
    damaged_database,
)

from imagen.adapters.database.journal import SqliteJournal, _check
from imagen.adapters.database.ledger import SqliteLedger
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
LEAVE = "UPDATE calls SET owner = NULL WHERE id = ?"


class Diary(SqliteJournal):
    """A correct journal, which can be distorted with SQL.

    Attributes:
        triggers: SQL statements to execute once.
    """

    triggers: ClassVar[Sequence[str]] = ()

    def __init__(self, database: QuickDatabase) -> None:
        super().__init__(database)
        self.sql = database.sql
        for statement in self.triggers:
            self.sql(statement)

    def is_open(self, call_id: str) -> bool:
        return bool(self.sql("SELECT 1 FROM calls WHERE id = ?", call_id))


class Limiting(Diary):
    """A journal with its own idea of a limit."""

    def limit(self, limit: BudgetLimit) -> BudgetLimit:
        raise NotImplementedError

    def begin(
        self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
    ) -> None:
        super().begin(calls, limits=list(map(self.limit, limits)))


class Staged(JournalContract):
    """Builds journals of a class over one database.

    Attributes:
        Made: The class.
        error: What every method of the broken journal raises; None to damage its file.
        is_shared: Whether the second instance has the same calls.
    """

    Made: ClassVar[type[Diary]] = Diary
    error: ClassVar[Exception | None] = None
    is_shared: ClassVar[bool] = True
    breaks: ClassVar[set[str]]

    @pytest.fixture
    def journal(self, tmp_path: Path) -> Diary:
        return self.Made(QuickDatabase(tmp_path))

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SqliteLedger:
        return SqliteLedger(QuickDatabase(tmp_path))

    @pytest.fixture
    def another(self, journal: Diary, tmp_path: Path) -> Diary:
        another = Diary if self.Made.triggers else self.Made
        return another(QuickDatabase(tmp_path if self.is_shared else tmp_path / "b"))

    @pytest.fixture
    def end(self, journal: Diary) -> Callable[[], None]:
        return journal.close

    @pytest.fixture
    def broken_journal(self, tmp_path: Path) -> SqliteJournal:
        if self.error is None:
            return SqliteJournal(damaged_database(tmp_path))
        return SqliteJournal(FailingDatabase(tmp_path, self.error))


class TestIsHealthy(Staged):
    breaks: ClassVar[set[str]] = set()


# Faults of `begin`.


class TestBeginsOneAfterTheOther(Staged):
    class Made(Diary):
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
    class Made(Diary):
        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            for call in calls:
                self.sql("DELETE FROM calls WHERE id = ?", call.id)
            super().begin(calls, limits=limits)

    breaks: ClassVar[set[str]] = {
        "test_begins_no_call_twice",
    }


class TestForgetsWhereImagesGo(Staged):
    class Made(Diary):
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
    class Made(Diary):
        def list_open(self) -> tuple[OpenCall, ...]:
            there = {each.call.id: each for each in super().list_open()}
            rows = self.sql("SELECT id FROM calls ORDER BY rowid")
            return tuple(there[call_id] for (call_id,) in rows)

    breaks: ClassVar[set[str]] = {
        "test_returns_the_oldest_first",
    }


class TestRaisesForWhatIsNotThere(Staged):
    class Made(Diary):
        def claim(self, call_id: str) -> ClaimedCall | None:
            if not self.is_open(call_id):
                raise JournalError("There is no such call.")
            return super().claim(call_id)

    breaks: ClassVar[set[str]] = {
        "test_has_nothing_at_first",
        "test_forgets_a_call_that_is_closed",
        "test_ignores_notes_on_a_call_that_is_not_there",
    }


# Faults of the states of a call.


class TestKnowsNothingOfAccepting(Staged):
    class Made(Diary):
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
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if update != CallSending(active=False):
                super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_is_planned_again_when_it_was_not_sent",
        "test_keeps_the_time_at_which_it_was_sent",
    }


class TestTakesEverythingBack(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            super().record(call_id, update)
            if isinstance(update, CallSending):
                state = "sent" if update.active else "planned"
                self.sql("UPDATE calls SET state = ? WHERE id = ?", state, call_id)
                self._received_path(call_id).unlink(missing_ok=True)

    breaks: ClassVar[set[str]] = {
        "test_takes_nothing_else_back",
    }


class TestCountsUpdates(Staged):
    class Made(Diary):
        last: object = None

        def record(self, call_id: str, update: CallUpdate) -> None:
            super().record(call_id, update)
            if self.last == (call_id, update):
                add = "UPDATE calls SET trouble = trouble || ' Again!' WHERE id = ?"
                self.sql(add, call_id)
            self.last = call_id, update

    breaks: ClassVar[set[str]] = {
        "test_changes_nothing_that_is_so_already",
    }


class TestKeepsWhatIsClosed(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            received = self._received_path(call_id).exists()
            if isinstance(update, CallClosed) and update.usage and received:
                SqliteLedger(self._database).record([update.usage])
            else:
                super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_forgets_a_call_that_is_closed",
        "test_is_used_by_many_at_once",
    }


class TestRaisesForNotesOnNothing(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if not self.is_open(call_id) and not isinstance(update, CallClosed):
                raise JournalError("There is no such call.")
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_ignores_notes_on_a_call_that_is_not_there",
    }


# Faults of usage rows.


class TestRecordsEachClosing(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            super().record(call_id, update)
            if isinstance(update, CallClosed) and update.usage:
                ledger = SqliteLedger(self._database)
                number = len(list(ledger.rows()))
                ledger.record([replaced(update.usage, id=f"{call_id}-{number}")])

    breaks: ClassVar[set[str]] = {
        "test_records_usage_once",
        "test_records_usage_of_a_call_that_is_not_there",
        "test_is_seen_by_another",
        "test_is_used_by_many_at_once",
        "test_counts_what_was_spent",
    }


class TestRecordsWhatCostNothing(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if update == CallClosed() and self.is_open(call_id):
                update = CallClosed(usage=replaced(sample_row(cost=0), id=call_id))
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_records_no_usage_of_what_cost_nothing",
        "test_ignores_notes_on_a_call_that_is_not_there",
    }


class TestRecordsOnlyWhatIsThere(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if self.is_open(call_id):
                super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_records_usage_of_a_call_that_is_not_there",
    }


class TestForgetsWhenItWasSent(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if isinstance(update, CallSending):
                update = replaced(update, at=None)
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {"test_keeps_the_time_at_which_it_was_sent"}


# Faults of references.


class TestGivesReferencesAway(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            self.sql("DELETE FROM refs")
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_gives_a_reference_to_one_call",
        "test_remembers_each_reference_of_a_call",
        "test_tells_which_references_are_untaken",
    }


class TestForgetsReferencesOfClosedCalls(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            super().record(call_id, update)
            if isinstance(update, CallClosed):
                self.sql("DELETE FROM refs")

    breaks: ClassVar[set[str]] = {
        "test_gives_a_reference_to_one_call",
        "test_tells_which_references_are_untaken",
    }


class TestRemembersOnlyTheLastReference(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if isinstance(update, CallAccepted):
                self.sql("DELETE FROM refs WHERE call_id = ?", call_id)
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_remembers_each_reference_of_a_call",
        "test_tells_which_references_are_untaken",
    }


class TestKeepsReferencesFromOtherAdapters(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            query = "SELECT 1 FROM refs WHERE reference = ? AND call_id <> ?"
            if isinstance(update, CallAccepted) and self.sql(
                query, update.reference, call_id
            ):
                raise ReferenceTaken("Another call has it.")
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_lets_another_adapter_use_the_reference",
    }


# Faults of claims.


class TestClaimsWhatIsWorkedOn(Staged):
    class Made(Diary):
        lock = Lock()

        def claim(self, call_id: str) -> ClaimedCall | None:
            mine = self.process_lock.acquire()
            with self.lock:
                self.sql(f"{LEAVE} AND owner = ?", call_id, mine)
                return super().claim(call_id)

    breaks: ClassVar[set[str]] = {
        "test_lets_nobody_claim_what_is_worked_on",
        "test_gives_a_call_to_one_of_many",
    }


class TestForgetsWhyItWasLeft(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            super().record(
                call_id,
                CallLeftOpen(reason="") if isinstance(update, CallLeftOpen) else update,
            )

    breaks: ClassVar[set[str]] = {
        "test_lets_what_was_left_open_be_claimed",
    }


class TestRemembersTrouble(Staged):
    class Made(Diary):
        def claim(self, call_id: str) -> ClaimedCall | None:
            claim = super().claim(call_id)
            if claim is not None:
                query = "UPDATE calls SET trouble = ? WHERE id = ?"
                self.sql(query, claim.open.reason, call_id)
            return claim

    breaks: ClassVar[set[str]] = {
        "test_has_what_was_claimed_in_hand",
        "test_forgets_why_it_was_left_when_the_next_one_dies",
    }


class TestTakesTheDeadForAlive(Staged):
    class Made(Diary):
        def close(self) -> None:
            pass

    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_a_dead_process_never_sent",
        "test_lets_what_a_dead_process_had_be_claimed",
        "test_forgets_why_it_was_left_when_the_next_one_dies",
    }


class TestGivesACallToSeveral(Staged):
    class Made(Diary):
        crowd, lock = Rendezvous(), Lock()

        def claim(self, call_id: str) -> ClaimedCall | None:
            query = "SELECT 1 FROM calls WHERE id = ? AND owner IS NULL"
            is_free = self.sql(query, call_id)
            self.crowd.wait()
            with self.lock:
                if is_free:
                    self.sql(LEAVE, call_id)
                return super().claim(call_id)

    breaks: ClassVar[set[str]] = {
        "test_gives_a_call_to_one_of_many",
    }


class TestKnowsOnlyItsOwn(Staged):
    is_shared = False
    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_a_dead_process_never_sent",
        "test_lets_nobody_claim_what_is_worked_on",
        "test_has_what_was_claimed_in_hand",
        "test_hands_over_what_arrived",
        "test_lets_what_a_dead_process_had_be_claimed",
        "test_forgets_why_it_was_left_when_the_next_one_dies",
        "test_is_used_by_many_at_once",
        "test_is_seen_by_another",
        "test_begins_as_many_as_there_is_room_for",
    }


class TestBelongsToOneThread(Staged):
    class Made(Diary):
        thread = 0

        def record(self, call_id: str, update: CallUpdate) -> None:
            self.thread = self.thread or get_ident()
            if self.thread != get_ident():
                raise JournalError("Another thread writes.")
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_is_used_by_many_at_once",
    }


# Faults of received images.


class TestForgetsWhatArrived(Staged):
    class Made(Diary):
        def claim(self, call_id: str) -> ClaimedCall | None:
            claim = super().claim(call_id)
            return None if claim is None else replaced(claim, received=None)

    breaks: ClassVar[set[str]] = {
        "test_hands_over_what_arrived",
        "test_keeps_images_whatever_comes_with_them",
        "test_lets_what_a_dead_process_had_be_claimed",
    }


class TestForgetsTheOffset(Staged):
    class Made(Diary):
        def record(self, call_id: str, update: CallUpdate) -> None:
            if isinstance(update, CallReceived):
                at = update.received.at.astimezone(UTC)
                update = CallReceived(received=replaced(update.received, at=at))
            super().record(call_id, update)

    breaks: ClassVar[set[str]] = {
        "test_hands_over_what_arrived",
    }


class TestIsParticularAboutParameters(Staged):
    class Made(Diary):
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
    class Made(Diary):
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
    class Made(Diary):
        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            super().begin(calls, limits=limits[:1])

    breaks: ClassVar[set[str]] = {
        "test_begins_none_of_what_is_over_a_limit",
    }


class TestLeavesSomethingOver(Staged):
    class Made(Limiting):
        def limit(self, limit: BudgetLimit) -> BudgetLimit:
            return replaced(limit, micros=limit.micros - 1)

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
    class Made(Diary):
        crowd = Rendezvous()

        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            with self._database.reading() as connection:
                self._delete_unsent(connection)
                for limit in limits:
                    _check(connection, limit, calls)
            self.crowd.wait()
            super().begin(calls)

    breaks: ClassVar[set[str]] = {
        "test_begins_as_many_as_there_is_room_for",
    }


class TestForgetsReservations(Staged):
    class Made(Diary):
        triggers = (
            "CREATE TRIGGER forget AFTER INSERT ON calls BEGIN "
            "UPDATE calls SET reserved = 0 WHERE id = new.id; END",
        )

    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_a_dead_process_never_sent",
        "test_counts_what_is_reserved",
        "test_counts_an_unknown_cost_as_reserved",
        "test_counts_what_the_limit_is_about",
        "test_counts_whom_the_limit_is_about",
        "test_begins_as_many_as_there_is_room_for",
    }


class TestHoldsBackWhatWasNeverSent(Staged):
    class Made(Diary):
        def _delete_unsent(self, connection: Connection) -> None:
            """Keep the calls."""

    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_a_dead_process_never_sent",
    }


class TestForgetsTheLedger(Staged):
    class Made(Limiting):
        def limit(self, limit: BudgetLimit) -> BudgetLimit:
            return replaced(limit, since=limit.since.replace(year=9000))

    breaks: ClassVar[set[str]] = {
        "test_counts_what_was_spent",
        "test_counts_an_unknown_cost_as_reserved",
        "test_counts_from_when_the_limit_began",
        "test_counts_until_the_limit_ends",
        "test_counts_what_the_limit_is_about",
        "test_counts_whom_the_limit_is_about",
    }


class TestTakesUnknownForNothing(Staged):
    class Made(Diary):
        triggers = (
            "CREATE TRIGGER forget AFTER INSERT ON usage WHEN new.cost_micros IS NULL "
            "BEGIN UPDATE usage SET counted_micros = 0 WHERE id = new.id; END",
        )

    breaks: ClassVar[set[str]] = {
        "test_counts_an_unknown_cost_as_reserved",
    }


class TestNeverReleases(Staged):
    class Made(Diary):
        triggers = (
            "CREATE TABLE gone (reserved INTEGER)",
            "CREATE TRIGGER hold AFTER DELETE ON calls BEGIN "
            "INSERT INTO gone VALUES (old.reserved); END",
        )

        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            [(held,)] = self.sql("SELECT coalesce(sum(reserved), 0) FROM gone")
            lower = [replaced(each, micros=each.micros - held) for each in limits]
            super().begin(calls, limits=lower)

    breaks: ClassVar[set[str]] = {
        "test_counts_what_was_spent",
        "test_counts_an_unknown_cost_as_reserved",
        "test_releases_what_cost_nothing",
        "test_counts_what_the_limit_is_about",
        "test_counts_whom_the_limit_is_about",
    }


class TestCountsFromTheBeginningOfTime(Staged):
    class Made(Limiting):
        def limit(self, limit: BudgetLimit) -> BudgetLimit:
            return replaced(limit, since=limit.since.replace(year=1970))

    breaks: ClassVar[set[str]] = {
        "test_counts_from_when_the_limit_began",
    }


class TestCountsToTheEndOfTime(Staged):
    class Made(Limiting):
        def limit(self, limit: BudgetLimit) -> BudgetLimit:
            return replaced(limit, until=limit.until.replace(year=9000))

    breaks: ClassVar[set[str]] = {
        "test_counts_until_the_limit_ends",
    }


class TestCountsEveryBackend(Staged):
    class Made(Limiting):
        def limit(self, limit: BudgetLimit) -> BudgetLimit:
            return replaced(limit, backend="")

    breaks: ClassVar[set[str]] = {
        "test_counts_what_the_limit_is_about",
    }


class TestCountsEveryCaller(Staged):
    class Made(Limiting):
        def limit(self, limit: BudgetLimit) -> BudgetLimit:
            return replaced(limit, caller="")

    breaks: ClassVar[set[str]] = {
        "test_counts_whom_the_limit_is_about",
    }


class TestCountsWhatIsFree(Staged):
    class Made(Diary):
        def begin(
            self, calls: Sequence[Call], *, limits: Sequence[BudgetLimit] = ()
        ) -> None:
            super().begin([replaced(c, may_cost=True) for c in calls], limits=limits)

    breaks: ClassVar[set[str]] = {
        "test_counts_nothing_for_what_is_free",
    }


# Faults of error handling.


class TestLetsAnOsErrorOut(Staged):
    error = OSError("Input/output error")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_broken",
    }


class TestRaisesAnErrorCode(Staged):
    error = JournalError("EIO")
    breaks: ClassVar[set[str]] = {
        "test_says_that_it_is_broken",
    }
