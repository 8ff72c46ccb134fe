"""One call to a backend, as the journal knows it: from the intent to the end."""

from datetime import datetime
from hashlib import sha256
from typing import Literal, TypeAlias

import msgspec

from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import Cancelled, ImagenError, Unfinished
from imagen.domain.money.cost import Cost
from imagen.domain.money.usage import UsageRow, UsageStatus
from imagen.domain.naming import Destination
from imagen.domain.plan import GenerationPlan, ImageJob
from imagen.domain.result import Generated

Fate: TypeAlias = Literal["free", "over", "open"]
CallState: TypeAlias = Literal["planned", "sent", "accepted", "received"]


def classify_failure(error: BaseException, *, sent: bool) -> Fate:
    """Return what is certain of a call that failed.

    Args:
        error: Why it failed.
        sent: Whether the backend may have heard of it.

    Returns:
        `free`: it cost nothing; `over`: it may have cost something, and nothing more
        will come of it; `open`: nobody knows, or the backend still has it.
    """
    if not sent:
        return "free"
    if not isinstance(error, ImagenError):
        return "open"
    if error.used == UNTOUCHED or not error.may_have_cost:
        return "free"
    if isinstance(error, Unfinished):
        return "open"
    if isinstance(error, Cancelled):
        return "over" if error.settled else "open"
    return "over"


class OutputTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where the images of a request go, and what goes with them.

    Attributes:
        folder: An absolute path; "" is a stream, which is gone when it is asked later.
        destination: What the files are called in it.
        sidecar: Whether a note goes beside each image.
        metadata: Whether the note goes inside it as well.
        owner: Whose copy of each goes to the cloud; "" is nobody's.
    """

    folder: str = ""
    destination: Destination = Destination()
    sidecar: bool = True
    metadata: bool = True
    owner: str = ""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """The intent to make one call: enough to finish it in another process.

    Attributes:
        id: UUIDv7; the usage row of the call has the same.
        created_at: When it was intended, UTC.
        plan: The request, with this call as its only job; without the contents of
            reference images.
        target: Where the images go.
        image_ids: One for each image of the job, UUIDv7.
        caller: Who asks.
        origin: Through which door: "serve", or "" for one that a person waits at.
        may_cost: Whether it may cost money.
        reserved: Micro-dollars that budgets hold back for it; None when its price is
            not known.
    """

    id: str
    created_at: datetime
    plan: GenerationPlan
    target: OutputTarget = msgspec.field(default=OutputTarget(), name="place")
    image_ids: tuple[str, ...]
    caller: str = ""
    origin: str = ""
    may_cost: bool = True
    reserved: int | None = None

    @property
    def job(self) -> ImageJob:
        """What the backend is asked for."""
        return self.plan.jobs[0]


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend returned, and when.

    Attributes:
        generated: The images and all that was said with them.
        at: When they were here, in local time.
        latency_ms: How long the call took.
        observed: Whether somebody stayed with it all the while; else nobody knows how
            long the backend worked on it.
    """

    generated: Generated
    at: datetime
    latency_ms: int
    observed: bool = msgspec.field(default=True, name="watched")


class CallSending(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It is about to be sent; or, after a failure that cost nothing, no longer is."""

    active: bool = True


class CallAccepted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The backend took it and calls it by this name."""

    reference: str


class CallReceived(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The images are here, and must not be lost any more."""

    received: Received


class CallLeftOpen(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nobody here works on it any more, and it is not over: for `resume` to finish.

    Attributes:
        reason: Why, in a sentence.
    """

    reason: str = msgspec.field(name="trouble")


class CallClosed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It is over: nothing is owed, held back or open any more.

    Attributes:
        usage: What the ledger says of it; None when it certainly cost nothing.
    """

    usage: UsageRow | None = None


CallUpdate: TypeAlias = (
    CallSending | CallAccepted | CallReceived | CallLeftOpen | CallClosed
)
"""What the journal is told of a call, each as soon as it is so."""


class OpenCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is not over.

    Attributes:
        call: What was intended.
        state: `planned`: certainly not sent; `sent`: its fate is unknown; `accepted`:
            the backend has it; `received`: the images are here, and not stored.
        reference: What the backend calls it; "" when that is not known.
        live: Whether a process works on it.
        reason: Why it was left open; "" when its process died.
    """

    call: Call
    state: CallState
    reference: str = ""
    live: bool = False
    reason: str = msgspec.field(default="", name="trouble")

    @property
    def never_sent(self) -> bool:
        """Whether it certainly was not sent, and nobody is about to."""
        return self.state == "planned" and not self.live


class ClaimedCall(msgspec.Struct, frozen=True, kw_only=True):
    """An open call that nobody else works on from now on.

    Attributes:
        open: The call.
        received: The images, if they are here.
    """

    open: OpenCall
    received: Received | None = None


def usage_row(
    call: Call,
    *,
    status: UsageStatus,
    cost: Cost,
    latency_ms: int | None,
    images: int = 0,
    model: str = "",
) -> UsageRow | None:
    """Return what the ledger says of a call that is over; None if it costs nothing.

    Args:
        call: The call.
        status: How it ended.
        cost: What it cost.
        latency_ms: How long it took; None when nobody saw its end.
        images: How many came of it.
        model: What the backend says that it used; "" when it does not say.
    """
    if not call.may_cost:
        return None
    plan = call.plan
    return UsageRow(
        id=call.id,
        created_at=call.created_at,
        caller=call.caller,
        backend=plan.instance.name,
        adapter=plan.instance.adapter,
        model=model or call.job.model,
        status=status,
        latency_ms=latency_ms,
        images=images,
        cost_micros=cost.micros,
        cost_source=cost.source,
        prompt_sha256=sha256(plan.request.prompt.encode()).hexdigest(),
    )
