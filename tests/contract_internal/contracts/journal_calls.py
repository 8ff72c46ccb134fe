"""The part of `JournalContract` about the states of a call and its usage row."""

from datetime import datetime, timedelta

import pytest
from tests.contract_internal.samples import sample_call, sample_received

from imagen.domain.call import (
    CallAccepted,
    CallClosed,
    CallLeftOpen,
    CallReceived,
    CallSending,
    CallUpdate,
    OpenCall,
)
from imagen.domain.errors import JournalError, ReferenceTaken
from imagen.ports.journal import Journal
from imagen.ports.ledger import Ledger
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import CROWD, run_at_once
from imagen.testing.samples import MONDAY, sample_id, sample_row

TUESDAY = MONDAY + timedelta(days=1, microseconds=1)

EVERY_UPDATE: tuple[CallUpdate, ...] = (
    CallSending(),
    CallSending(active=False),
    CallAccepted(reference="job-1"),
    CallReceived(received=sample_received()),
    CallLeftOpen(reason="The network is down."),
    CallClosed(),
)


def _type_name(update: CallUpdate) -> str:
    return type(update).__name__


class CallStatesContract(Contract):
    """A part of `JournalContract`, which provides the fixtures."""

    def test_has_nothing_at_first(self, journal: Journal) -> None:
        """An empty journal has no open calls, and a claim returns None."""
        assert journal.list_open() == ()
        assert journal.claim(sample_id(1)) is None

    def test_returns_what_was_begun(self, journal: Journal) -> None:
        """A call that was begun is listed unchanged, as planned and live."""
        call = sample_call()
        journal.begin([call])

        assert journal.list_open() == (OpenCall(call=call, state="planned", live=True),)

    def test_returns_the_oldest_first(self, journal: Journal) -> None:
        """Open calls are sorted by the time of their creation."""
        journal.begin([sample_call(3), sample_call(1)])
        journal.begin([sample_call(2)])

        assert open_ids(journal) == [sample_id(1), sample_id(2), sample_id(3)]

    def test_begins_no_call_twice(self, journal: Journal) -> None:
        """If one of the calls was begun before, none of them is begun."""
        # All or none: the calls of one request share one budget check.
        journal.begin([sample_call(1)])

        with pytest.raises(JournalError):
            journal.begin([sample_call(2), sample_call(1)])

        assert open_ids(journal) == [sample_id(1)]

    def test_goes_on_from_planned_to_received(self, journal: Journal) -> None:
        """Each update advances the state, and the reference is kept."""
        journal.begin([sample_call()])
        steps = [_state(journal)]
        for update in EVERY_UPDATE:
            if (
                isinstance(update, (CallAccepted, CallReceived))
                or update == CallSending()
            ):
                journal.record(sample_id(1), update)
                steps.append(_state(journal))

        assert steps == [
            ("planned", ""),
            ("sent", ""),
            ("accepted", "job-1"),
            ("received", "job-1"),
        ]

    def test_is_planned_again_when_it_was_not_sent(self, journal: Journal) -> None:
        """`CallSending(active=False)` sets a sent call back to planned."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallSending())
        journal.record(sample_id(1), CallSending(active=False))

        assert _state(journal) == ("planned", "")

    def test_keeps_the_time_at_which_it_was_sent(self, journal: Journal) -> None:
        """The time of `CallSending` is kept until the call is planned again."""
        journal.begin([sample_call()])
        times = [_sent_at(journal)]
        for update in (
            CallSending(at=MONDAY),
            CallSending(active=False),
            CallSending(at=TUESDAY),
            CallAccepted(reference="job-1"),
        ):
            journal.record(sample_id(1), update)
            times.append(_sent_at(journal))

        assert times == [None, MONDAY, None, TUESDAY, TUESDAY]

    @pytest.mark.parametrize("active", [True, False])
    @pytest.mark.parametrize("state", ["accepted", "received"])
    def test_takes_nothing_else_back(
        self, journal: Journal, state: str, *, active: bool
    ) -> None:
        """An accepted or received call never goes back to an earlier state."""
        # Going back to "planned" would allow a second submit of a job that is paid for.
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallAccepted(reference="job-1"))
        if state == "received":
            journal.record(sample_id(1), CallReceived(received=sample_received()))
            journal.record(sample_id(1), CallAccepted(reference="job-1"))
        journal.record(sample_id(1), CallSending(active=active))

        assert _state(journal) == (state, "job-1")

    @pytest.mark.parametrize("update", EVERY_UPDATE, ids=_type_name)
    def test_changes_nothing_that_is_so_already(
        self, journal: Journal, update: CallUpdate
    ) -> None:
        """Recording the same update twice changes nothing."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), update)
        before = journal.list_open()

        journal.record(sample_id(1), update)

        assert journal.list_open() == before

    def test_forgets_a_call_that_is_closed(self, journal: Journal) -> None:
        """A closed call is not listed and cannot be claimed."""
        journal.begin([sample_call(1), sample_call(2)])
        journal.record(sample_id(1), CallAccepted(reference="job-1"))
        journal.record(sample_id(1), CallReceived(received=sample_received()))
        journal.record(sample_id(1), CallClosed(usage=sample_row(1)))

        assert open_ids(journal) == [sample_id(2)]
        assert journal.claim(sample_id(1)) is None

    def test_records_usage_once(self, journal: Journal, ledger: Ledger) -> None:
        """Closing a call several times adds one usage row to the ledger."""
        journal.begin([sample_call()])
        for _ in range(3):
            journal.record(sample_id(1), CallClosed(usage=sample_row()))

        assert list(ledger.rows()) == [sample_row()]

    def test_records_no_usage_of_what_cost_nothing(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """Closing a call without a usage row adds none."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallClosed())

        assert list(ledger.rows()) == []

    @pytest.mark.parametrize("update", EVERY_UPDATE, ids=_type_name)
    @pytest.mark.parametrize("was_there", [True, False])
    def test_ignores_notes_on_a_call_that_is_not_there(
        self, journal: Journal, ledger: Ledger, update: CallUpdate, *, was_there: bool
    ) -> None:
        """An update of an unknown or closed call is ignored."""
        if was_there:
            journal.begin([sample_call()])
            journal.record(sample_id(1), CallClosed())
        journal.record(sample_id(1), update)

        assert journal.list_open() == ()
        assert journal.claim(sample_id(1)) is None
        assert list(ledger.rows()) == []

    def test_records_usage_of_a_call_that_is_not_there(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """Closing an unknown call still adds its usage row."""
        # The money was spent, even if another process has closed the call.
        journal.record(sample_id(1), CallClosed(usage=sample_row()))

        assert list(ledger.rows()) == [sample_row()]

    @pytest.mark.parametrize("closed", [True, False], ids=["was", "is"])
    def test_gives_a_reference_to_one_call(
        self, journal: Journal, *, closed: bool
    ) -> None:
        """A reference belongs to the first call of the adapter, also once closed."""
        # Two calls with one reference would fetch the same paid image, and lose
        # another.
        journal.begin([sample_call(1), sample_call(2, backend="a second instance")])
        journal.record(sample_id(1), CallAccepted(reference="job-1"))
        if closed:
            journal.record(sample_id(1), CallClosed())
        journal.record(sample_id(2), CallSending())

        with pytest.raises(ReferenceTaken):
            journal.record(sample_id(2), CallAccepted(reference="job-1"))

        assert _state(journal) == ("sent", "")

    def test_tells_which_references_are_untaken(self, journal: Journal) -> None:
        """A reference is claimed only if another call of the adapter had it."""
        mine, comfy = sample_call(2), sample_call(3, adapter="comfyui")
        journal.begin([sample_call(1), mine, comfy])
        journal.record(sample_id(1), CallAccepted(reference="job-1"))
        journal.record(sample_id(1), CallAccepted(reference="job-2"))
        journal.record(sample_id(1), CallClosed())
        journal.record(sample_id(2), CallAccepted(reference="job-3"))
        journal.record(sample_id(3), CallAccepted(reference="job-4"))
        names = [f"job-{n}" for n in range(1, 6)]

        assert journal.unclaimed_references(mine, names) == ("job-3", "job-4", "job-5")

    def test_lets_another_adapter_use_the_reference(self, journal: Journal) -> None:
        """Calls of different adapters may have equal references."""
        journal.begin([sample_call(1), sample_call(2, adapter="comfyui")])
        journal.record(sample_id(1), CallAccepted(reference="1"))
        journal.record(sample_id(2), CallAccepted(reference="1"))

        assert _state(journal) == ("accepted", "1")

    def test_remembers_each_reference_of_a_call(self, journal: Journal) -> None:
        """The last reference counts, and the earlier ones stay claimed."""
        journal.begin([sample_call(1), sample_call(2)])
        journal.record(sample_id(2), CallAccepted(reference="job-1"))
        journal.record(sample_id(2), CallAccepted(reference="job-2"))

        assert _state(journal) == ("accepted", "job-2")
        with pytest.raises(ReferenceTaken):
            journal.record(sample_id(1), CallAccepted(reference="job-1"))

    def test_is_seen_by_another(
        self, journal: Journal, another: Journal, ledger: Ledger
    ) -> None:
        """An update by one instance is visible to another at once."""
        journal.begin([sample_call(1), sample_call(2)])
        journal.record(sample_id(1), CallAccepted(reference="job-1"))
        another.record(sample_id(2), CallClosed(usage=sample_row(2)))

        assert _state(another) == _state(journal) == ("accepted", "job-1")
        assert list(ledger.rows()) == [sample_row(2)]

    def test_is_used_by_many_at_once(
        self, journal: Journal, another: Journal, ledger: Ledger
    ) -> None:
        """Threads and processes write at once without losing an update."""
        journals = [journal, another] * (CROWD // 2)

        def make(n: int) -> None:
            journals[n].begin([sample_call(n)])
            for update in (CallSending(), CallAccepted(reference=f"job-{n}")):
                journals[n].record(sample_id(n), update)
            journals[n].record(sample_id(n), CallReceived(received=sample_received()))
            journals[n].record(sample_id(n), CallClosed(usage=sample_row(n)))

        assert run_at_once(make) == [None] * CROWD
        assert journal.list_open() == ()
        assert sorted(row.id for row in ledger.rows()) == [
            sample_id(n) for n in range(CROWD)
        ]


def open_ids(journal: Journal) -> list[str]:
    """Return the ids of the open calls, in the journal's order."""
    return [each.call.id for each in journal.list_open()]


def _state(journal: Journal) -> tuple[str, str]:
    """Return the state and the reference of the newest open call."""
    last = journal.list_open()[-1]
    return last.state, last.reference


def _sent_at(journal: Journal) -> datetime | None:
    return journal.list_open()[-1].sent_at
