"""The promises that every `Journal` keeps."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
import pytest

from imagen.domain.call import (
    Call,
    CallAccepted,
    CallClosed,
    CallLeftOpen,
    CallReceived,
    CallSending,
    CallUpdate,
    OpenCall,
)
from imagen.domain.errors import JournalError, OverBudget, ReferenceTaken
from imagen.domain.money.budget import BudgetLimit
from imagen.ports.journal import Journal
from imagen.ports.ledger import Ledger
from imagen.testing.concurrency import CROWD, run_at_once
from imagen.testing.contracts.base import Contract
from imagen.testing.samples import (
    MONDAY,
    sample_call,
    sample_id,
    sample_received,
    sample_row,
)

EVERY_NOTE: tuple[CallUpdate, ...] = (
    CallSending(),
    CallSending(active=False),
    CallAccepted(reference="job-1"),
    CallReceived(received=sample_received()),
    CallLeftOpen(reason="The network is down."),
    CallClosed(),
)


class JournalContract(Contract):
    """Override `journal` and `ledger`; and `another`, `end` and `broken_journal`."""

    @pytest.fixture
    def journal(self) -> Journal:
        """A journal without calls."""
        raise NotImplementedError("Override the fixture `journal` to return yours.")

    @pytest.fixture
    def ledger(self) -> Ledger:
        """The ledger in which the usage rows of `journal` end."""
        raise NotImplementedError("Override the fixture `ledger` to return yours.")

    @pytest.fixture
    def another(self) -> Journal:
        """A second instance over the same calls, as another process would have."""
        pytest.skip("there is no `another` over the same calls")

    @pytest.fixture
    def end(self) -> Callable[[], None]:
        """A way to end the process of `journal`, as far as others can tell."""
        pytest.skip("there is no way to `end` a process")

    @pytest.fixture
    def broken_journal(self) -> Journal:
        """A journal that can be neither read nor written."""
        pytest.skip("no `broken_journal` is staged")

    def test_has_nothing_at_first(self, journal: Journal) -> None:
        """Where nothing was begun, nothing is open, and nothing can be claimed."""
        assert journal.list_open() == ()
        assert journal.claim(sample_id(1)) is None

    def test_returns_what_was_begun(self, journal: Journal) -> None:
        """A call that was begun is planned, worked on, and as it was intended."""
        call = sample_call()
        journal.begin([call])

        assert journal.list_open() == (OpenCall(call=call, state="planned", live=True),)

    def test_returns_the_oldest_first(self, journal: Journal) -> None:
        """Open calls are in the order in which they were intended."""
        journal.begin([sample_call(3), sample_call(1)])
        journal.begin([sample_call(2)])

        assert _ids(journal) == [sample_id(1), sample_id(2), sample_id(3)]

    def test_begins_no_call_twice(self, journal: Journal) -> None:
        """Of calls of which one was begun before, none is begun."""
        journal.begin([sample_call(1)])

        with pytest.raises(JournalError):
            journal.begin([sample_call(2), sample_call(1)])

        assert _ids(journal) == [sample_id(1)]

    def test_goes_on_from_planned_to_received(self, journal: Journal) -> None:
        """Each note takes the call a step further, and none is forgotten on the way."""
        journal.begin([sample_call()])
        steps = [_state(journal)]
        for note in EVERY_NOTE:
            if isinstance(note, (CallAccepted, CallReceived)) or note == CallSending():
                journal.record(sample_id(1), note)
                steps.append(_state(journal))

        assert steps == [
            ("planned", ""),
            ("sent", ""),
            ("accepted", "job-1"),
            ("received", "job-1"),
        ]

    def test_is_planned_again_when_it_was_not_sent(self, journal: Journal) -> None:
        """What cost nothing, and is about to be sent no longer, is planned."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallSending())
        journal.record(sample_id(1), CallSending(active=False))

        assert _state(journal) == ("planned", "")

    @pytest.mark.parametrize("active", [True, False])
    @pytest.mark.parametrize("state", ["accepted", "received"])
    def test_takes_nothing_else_back(
        self, journal: Journal, state: str, *, active: bool
    ) -> None:
        """What a backend has, or has returned, is never less than that."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallAccepted(reference="job-1"))
        if state == "received":
            journal.record(sample_id(1), CallReceived(received=sample_received()))
            journal.record(sample_id(1), CallAccepted(reference="job-1"))
        journal.record(sample_id(1), CallSending(active=active))

        assert _state(journal) == (state, "job-1")

    @pytest.mark.parametrize("note", EVERY_NOTE, ids=lambda note: type(note).__name__)
    def test_changes_nothing_that_is_so_already(
        self, journal: Journal, note: CallUpdate
    ) -> None:
        """A note of what is so already changes nothing."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), note)
        before = journal.list_open()

        journal.record(sample_id(1), note)

        assert journal.list_open() == before

    def test_forgets_a_call_that_is_closed(self, journal: Journal) -> None:
        """A call that is closed is gone, whatever was known of it."""
        journal.begin([sample_call(1), sample_call(2)])
        journal.record(sample_id(1), CallAccepted(reference="job-1"))
        journal.record(sample_id(1), CallReceived(received=sample_received()))
        journal.record(sample_id(1), CallClosed(usage=sample_row(1)))

        assert _ids(journal) == [sample_id(2)]
        assert journal.claim(sample_id(1)) is None

    def test_records_usage_once(self, journal: Journal, ledger: Ledger) -> None:
        """However often a call is closed, its row is in the ledger once."""
        journal.begin([sample_call()])
        for _ in range(3):
            journal.record(sample_id(1), CallClosed(usage=sample_row()))

        assert list(ledger.rows()) == [sample_row()]

    def test_records_no_usage_of_what_cost_nothing(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """A call that is closed without a row leaves none."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallClosed())

        assert list(ledger.rows()) == []

    @pytest.mark.parametrize("note", EVERY_NOTE, ids=lambda note: type(note).__name__)
    @pytest.mark.parametrize("was_there", [True, False])
    def test_ignores_notes_on_a_call_that_is_not_there(
        self, journal: Journal, ledger: Ledger, note: CallUpdate, *, was_there: bool
    ) -> None:
        """A note on a call that is over, or never was, is ignored."""
        if was_there:
            journal.begin([sample_call()])
            journal.record(sample_id(1), CallClosed())
        journal.record(sample_id(1), note)

        assert journal.list_open() == ()
        assert journal.claim(sample_id(1)) is None
        assert list(ledger.rows()) == []

    def test_records_usage_of_a_call_that_is_not_there(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """The row of a call that is not there is kept all the same."""
        journal.record(sample_id(1), CallClosed(usage=sample_row()))

        assert list(ledger.rows()) == [sample_row()]

    @pytest.mark.parametrize("closed", [True, False], ids=["was", "is"])
    def test_gives_a_reference_to_one_call(
        self, journal: Journal, *, closed: bool
    ) -> None:
        """A name that another call of the adapter has, or had, is taken."""
        journal.begin([sample_call(1), sample_call(2, backend="a second instance")])
        journal.record(sample_id(1), CallAccepted(reference="job-1"))
        if closed:
            journal.record(sample_id(1), CallClosed())
        journal.record(sample_id(2), CallSending())

        with pytest.raises(ReferenceTaken):
            journal.record(sample_id(2), CallAccepted(reference="job-1"))

        assert _state(journal) == ("sent", "")

    def test_tells_which_references_are_untaken(self, journal: Journal) -> None:
        """Taken is what another call of the adapter has, or had; nothing else is."""
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
        """Calls of different adapters may be accepted under one name."""
        journal.begin([sample_call(1), sample_call(2, adapter="comfyui")])
        journal.record(sample_id(1), CallAccepted(reference="1"))
        journal.record(sample_id(2), CallAccepted(reference="1"))

        assert _state(journal) == ("accepted", "1")

    def test_remembers_each_reference_of_a_call(self, journal: Journal) -> None:
        """The last name counts, and the names before it stay taken."""
        journal.begin([sample_call(1), sample_call(2)])
        journal.record(sample_id(2), CallAccepted(reference="job-1"))
        journal.record(sample_id(2), CallAccepted(reference="job-2"))

        assert _state(journal) == ("accepted", "job-2")
        with pytest.raises(ReferenceTaken):
            journal.record(sample_id(1), CallAccepted(reference="job-1"))

    def test_lets_nobody_claim_what_is_worked_on(
        self, journal: Journal, another: Journal
    ) -> None:
        """What a process works on, not even it itself can claim."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallReceived(received=sample_received()))

        assert journal.claim(sample_id(1)) is None
        assert another.claim(sample_id(1)) is None
        assert another.list_open()[0].live

    def test_lets_what_was_left_open_be_claimed(self, journal: Journal) -> None:
        """What nobody works on says why, and can be claimed, with all that is known."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallAccepted(reference="job-1"))
        journal.record(sample_id(1), CallLeftOpen(reason="The network is down."))

        left = OpenCall(
            call=sample_call(),
            state="accepted",
            reference="job-1",
            reason="The network is down.",
        )
        assert journal.list_open() == (left,)
        claim = journal.claim(sample_id(1))
        assert claim is not None
        assert claim.open == msgspec.structs.replace(left, live=True)
        assert claim.received is None

    def test_has_what_was_claimed_in_hand(
        self, journal: Journal, another: Journal
    ) -> None:
        """What was claimed is worked on, and can be claimed when it is left again."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallLeftOpen(reason="The network is down."))
        another.claim(sample_id(1))

        assert another.list_open() == (
            OpenCall(call=sample_call(), state="planned", live=True),
        )
        assert journal.claim(sample_id(1)) is None
        another.record(sample_id(1), CallLeftOpen(reason="It is down again."))
        assert journal.claim(sample_id(1)) is not None

    def test_hands_over_what_arrived(self, journal: Journal, another: Journal) -> None:
        """Who claims a call whose images are here gets all that came, to the byte."""
        received = sample_received()
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallReceived(received=received))
        journal.record(sample_id(1), CallLeftOpen(reason="The disk is full."))

        claim = another.claim(sample_id(1))

        assert claim is not None
        assert (claim.open.state, claim.received) == ("received", received)
        assert claim.received is not None
        assert claim.received.at.utcoffset() == received.at.utcoffset()

    def test_keeps_images_whatever_comes_with_them(self, journal: Journal) -> None:
        """Images are kept even if something that was said with them cannot be."""
        received = sample_received()
        odd = msgspec.structs.replace(
            received.generated, parameters={"odd": object(), "half": "\udcff"}
        )
        journal.begin([sample_call()])
        journal.record(
            sample_id(1),
            CallReceived(received=msgspec.structs.replace(received, generated=odd)),
        )
        journal.record(sample_id(1), CallLeftOpen(reason="The disk is full."))

        claim = journal.claim(sample_id(1))

        assert claim is not None
        assert claim.received is not None
        assert claim.received.generated.images == received.generated.images
        assert claim.received.generated.cost == received.generated.cost

    def test_lets_what_a_dead_process_had_be_claimed(
        self, journal: Journal, another: Journal, end: Callable[[], None]
    ) -> None:
        """What a process worked on when it ended is as it was, and can be claimed."""
        journal.begin([sample_call(1), sample_call(2)])
        journal.record(sample_id(1), CallSending())
        journal.record(sample_id(2), CallReceived(received=sample_received()))
        end()

        assert another.list_open() == (
            OpenCall(call=sample_call(1), state="sent"),
            OpenCall(call=sample_call(2), state="received"),
        )
        assert another.claim(sample_id(1)) is not None
        claim = another.claim(sample_id(2))
        assert claim is not None
        assert claim.received == sample_received()

    def test_forgets_why_it_was_left_when_the_next_one_dies(
        self, journal: Journal, another: Journal, end: Callable[[], None]
    ) -> None:
        """What a process claimed can be claimed once it has ended, with no trouble."""
        another.begin([sample_call()])
        another.record(sample_id(1), CallLeftOpen(reason="The network is down."))
        journal.claim(sample_id(1))
        end()

        claim = another.claim(sample_id(1))

        assert claim is not None
        assert claim.open.reason == ""

    def test_gives_a_call_to_one_of_many(
        self, journal: Journal, another: Journal
    ) -> None:
        """Of several that claim a call at the same moment, one gets it."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallLeftOpen(reason="The network is down."))
        journals = [journal, another] * (CROWD // 2)

        claims = run_at_once(lambda n: journals[n].claim(sample_id(1)))

        assert [claim for claim in claims if isinstance(claim, Exception)] == []
        assert sum(claim is not None for claim in claims) == 1

    def test_is_seen_by_another(
        self, journal: Journal, another: Journal, ledger: Ledger
    ) -> None:
        """What one instance writes, another over the same calls knows at once."""
        journal.begin([sample_call(1), sample_call(2)])
        journal.record(sample_id(1), CallAccepted(reference="job-1"))
        another.record(sample_id(2), CallClosed(usage=sample_row(2)))

        assert _state(another) == _state(journal) == ("accepted", "job-1")
        assert list(ledger.rows()) == [sample_row(2)]

    def test_is_used_by_many_at_once(
        self, journal: Journal, another: Journal, ledger: Ledger
    ) -> None:
        """Several threads and processes may write at once, and nothing is lost."""
        journals = [journal, another] * (CROWD // 2)

        def make(n: int) -> None:
            journals[n].begin([sample_call(n)])
            for note in (CallSending(), CallAccepted(reference=f"job-{n}")):
                journals[n].record(sample_id(n), note)
            journals[n].record(sample_id(n), CallReceived(received=sample_received()))
            journals[n].record(sample_id(n), CallClosed(usage=sample_row(n)))

        assert run_at_once(make) == [None] * CROWD
        assert journal.list_open() == ()
        assert sorted(row.id for row in ledger.rows()) == [
            sample_id(n) for n in range(CROWD)
        ]

    def test_begins_what_a_limit_has_room_for(self, journal: Journal) -> None:
        """Calls that may cost just what a limit allows are begun."""
        journal.begin([sample_call(reserved=40)], limits=[_limit(40)])

        assert _ids(journal) == [sample_id(1)]

    def test_begins_none_of_what_is_over_a_limit(self, journal: Journal) -> None:
        """What is too much together is not begun in part, under whichever limit."""
        calls = [sample_call(1, reserved=40), sample_call(2, reserved=40)]

        with pytest.raises(OverBudget):
            journal.begin(calls, limits=[_limit(1000), _limit(79)])

        assert journal.list_open() == ()

    def test_counts_what_is_reserved(self, journal: Journal) -> None:
        """What open calls may cost counts, whatever became of them so far."""
        journal.begin([sample_call(1, reserved=40), sample_call(2, reserved=40)])
        journal.record(sample_id(1), CallReceived(received=sample_received()))
        journal.record(sample_id(2), CallLeftOpen(reason="The network is down."))

        _expect_left(journal, 20, of=_limit(100))

    def test_counts_nothing_for_what_a_dead_process_never_sent(
        self, journal: Journal, another: Journal, end: Callable[[], None]
    ) -> None:
        """What was planned by a process that has died holds nothing back."""
        journal.begin([sample_call(1, reserved=40), sample_call(2, reserved=40)])
        journal.record(sample_id(2), CallSending())
        end()

        _expect_left(another, 60, of=_limit(100))

    def test_counts_what_was_spent(self, journal: Journal, ledger: Ledger) -> None:
        """What the ledger has counts, with what it cost, and not what was reserved."""
        journal.begin([sample_call(1, reserved=40)])
        journal.record(sample_id(1), CallClosed(usage=sample_row(1, cost=30)))
        ledger.record([sample_row(2, cost=30)])

        _expect_left(journal, 40, of=_limit(100))

    def test_counts_an_unknown_cost_as_reserved(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """A call that is closed with an unknown cost counts as what was reserved."""
        journal.begin([sample_call(1, reserved=40)])
        journal.record(sample_id(1), CallClosed(usage=sample_row(1, cost=None)))
        ledger.record([sample_row(2, cost=None)])

        _expect_left(journal, 60, of=_limit(100))

    def test_releases_what_cost_nothing(self, journal: Journal) -> None:
        """What was reserved for a call that is closed at no cost is free again."""
        journal.begin([sample_call(1, reserved=40)])
        journal.record(sample_id(1), CallClosed())

        _expect_left(journal, 100, of=_limit(100))

    def test_counts_from_when_the_limit_began(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """What was spent counts from the first moment of the limit's time on."""
        ledger.record(
            [
                sample_row(1, at=MONDAY - timedelta(microseconds=1), cost=40),
                sample_row(2, at=MONDAY, cost=30),
            ]
        )

        _expect_left(journal, 70, of=_limit(100))

    def test_counts_what_the_limit_is_about(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """A limit of one backend counts only what that backend costs."""
        ledger.record([sample_row(101, cost=1), sample_row(102, backend="b", cost=2)])
        journal.begin(
            [sample_call(1, reserved=4), sample_call(2, backend="b", reserved=8)]
        )

        _expect_left(journal, 95, of=_limit(100, backend="flux"))
        journal.begin(
            [sample_call(3, backend="b", reserved=96), sample_call(4, reserved=95)],
            limits=[_limit(100, backend="flux")],
        )

    def test_counts_whom_the_limit_is_about(
        self, journal: Journal, ledger: Ledger
    ) -> None:
        """A limit of one caller counts only what that caller's calls cost."""
        ledger.record([sample_row(101, cost=1), sample_row(102, caller="b", cost=2)])
        journal.begin(
            [sample_call(1, reserved=4), sample_call(2, caller="b", reserved=8)]
        )

        _expect_left(journal, 95, of=_limit(100, caller="writer"))
        journal.begin(
            [sample_call(3, caller="b", reserved=96), sample_call(4, reserved=95)],
            limits=[_limit(100, caller="writer")],
        )

    def test_counts_nothing_for_what_is_free(self, journal: Journal) -> None:
        """A call that costs nothing needs no room, and takes none."""
        free = [sample_call(n, may_cost=False, reserved=40) for n in (1, 2)]
        journal.begin(free[:1], limits=[_limit(0)])
        journal.begin(free[1:], limits=[_limit(0)])

        _expect_left(journal, 10, of=_limit(10))

    def test_begins_as_many_as_there_is_room_for(
        self, journal: Journal, another: Journal
    ) -> None:
        """However many begin at once, they never exceed a limit together."""
        journals = [journal, another] * (CROWD // 2)

        def begin(n: int) -> None:
            journals[n].begin([sample_call(n, reserved=40)], limits=[_limit(100)])

        outcomes = run_at_once(begin)

        assert len(journal.list_open()) == outcomes.count(None) == 2
        assert sum(isinstance(one, OverBudget) for one in outcomes) == CROWD - 2

    @pytest.mark.parametrize(
        "what", ["begin", "committed_micros", "record", "list_open", "claim"]
    )
    def test_says_that_it_is_broken(self, broken_journal: Journal, what: str) -> None:
        """What cannot be read or written is a JournalError, with a sentence."""
        doing: dict[str, Callable[[], object]] = {
            "begin": lambda: broken_journal.begin([sample_call()]),
            "committed_micros": lambda: broken_journal.committed_micros(_limit(1)),
            "record": lambda: broken_journal.record(sample_id(1), CallSending()),
            "list_open": broken_journal.list_open,
            "claim": lambda: broken_journal.claim(sample_id(1)),
        }

        with pytest.raises(JournalError) as failed:
            doing[what]()

        assert not isinstance(failed.value, ReferenceTaken)
        assert failed.value.message.endswith(".")


def _ids(journal: Journal) -> list[str]:
    return [each.call.id for each in journal.list_open()]


def _state(journal: Journal) -> tuple[str, str]:
    """Return what is known of the newest call."""
    last = journal.list_open()[-1]
    return last.state, last.reference


def _limit(micros: int, *, backend: str = "", caller: str = "") -> BudgetLimit:
    return BudgetLimit(
        label="week_usd",
        backend=backend,
        caller=caller,
        since=MONDAY,
        until=MONDAY + timedelta(days=7),
        micros=micros,
    )


def _expect_left(journal: Journal, micros: int, *, of: BudgetLimit) -> None:
    def begin(calls: Sequence[Call]) -> None:
        journal.begin(calls, limits=[of])

    with pytest.raises(OverBudget):
        begin([sample_call(900, reserved=micros + 1)])
    assert journal.committed_micros(of) == of.micros - micros
    begin([sample_call(901, reserved=micros)])
    journal.record(sample_id(901), CallClosed())
