"""The part of `JournalContract` about claiming the calls of other processes."""

from collections.abc import Callable

import msgspec
from tests.contract_internal.samples import sample_call, sample_received

from imagen.domain.call import (
    CallAccepted,
    CallLeftOpen,
    CallReceived,
    CallSending,
    OpenCall,
)
from imagen.ports.journal import Journal
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import CROWD, run_at_once
from imagen.testing.samples import sample_id


class ClaimsContract(Contract):
    """A part of `JournalContract`, which provides the fixtures."""

    def test_lets_nobody_claim_what_is_worked_on(
        self, journal: Journal, another: Journal
    ) -> None:
        """A live call cannot be claimed, not even by its own process."""
        # A second worker would download twice, or submit again.
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallReceived(received=sample_received()))

        assert journal.claim(sample_id(1)) is None
        assert another.claim(sample_id(1)) is None
        assert another.list_open()[0].live

    def test_lets_what_was_left_open_be_claimed(self, journal: Journal) -> None:
        """A call that was left open has a reason and can be claimed."""
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
        """A claimed call is live, and can be claimed once it is left open again."""
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
        """A claim of a received call returns the result, to the byte."""
        # To the byte, because the images cannot be downloaded again from every vendor.
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
        """Images are kept even if their parameters cannot be stored."""
        # The image was paid for: a parameter that JSON cannot encode must not lose it.
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
        """The calls of a dead process keep their state and can be claimed."""
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
        """A claim clears the reason of the call that was left open."""
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
        """Of several simultaneous claims of a call, one succeeds."""
        journal.begin([sample_call()])
        journal.record(sample_id(1), CallLeftOpen(reason="The network is down."))
        journals = [journal, another] * (CROWD // 2)

        claims = run_at_once(lambda n: journals[n].claim(sample_id(1)))

        assert [claim for claim in claims if isinstance(claim, Exception)] == []
        assert sum(claim is not None for claim in claims) == 1
