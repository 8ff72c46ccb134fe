"""A call to a backend, and the updates of its state in the journal."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import Cancelled, ImagenError, InvalidRequest, Unfinished
from imagen.domain.ids import derive_id
from imagen.domain.job import GenerationPlan, ImageJob
from imagen.domain.money.cost import Cost
from imagen.domain.money.usage import UsageRow, UsageStatus
from imagen.domain.naming import Destination
from imagen.domain.result import Generated

Fate: TypeAlias = Literal["free", "over", "open"]
CallState: TypeAlias = Literal["planned", "sent", "accepted", "received"]


def classify_failure(error: BaseException, *, sent: bool) -> Fate:
    """Return the certain outcome of a failed call.

    Returns:
        `free`: the call cost nothing. `over`: it may have cost something and has ended.
        `open`: its state is unknown, or the backend still works on it.
    """
    if not sent or getattr(error, "used", None) == UNTOUCHED:
        return "free"
    # A bug in the adapter says nothing else about the state of the job.
    if not isinstance(error, ImagenError):
        return "open"
    if not error.may_have_cost:
        return "free"
    if isinstance(error, Unfinished):
        return "open"
    if isinstance(error, Cancelled):
        return "over" if error.settled else "open"
    return "over"


class OutputTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The destination of a request's images.

    Attributes:
        folder: Absolute path; "" for a stream, which does not exist later.
        owner: Owner of the copies in the cloud; "" for no copies.
    """

    folder: str = ""
    destination: Destination = Destination()
    sidecar: bool = True
    metadata: bool = True
    owner: str = ""

    def check_count(self, count: int) -> None:
        """Check whether this number of images can be stored here.

        Raises:
            InvalidRequest: a stream takes one image.
        """
        if count > 1 and not self.folder:
            raise InvalidRequest(
                f"{count} images cannot be written to standard output.",
                hint="Write one image, or give a folder.",
            )


class FileVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The file and sidecar at a location; a changed file has another version.

    Attributes:
        file: The version of the file; "" if there is only a sidecar.
        sidecar: The version of the sidecar; "" for none.
    """

    file: str = ""
    sidecar: str = ""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A planned call, with everything that another process needs to finish it.

    Attributes:
        id: UUIDv7, also the id of the call's usage row.
        created_at: Time of planning, UTC.
        plan: The plan with this call as its only job, without the content of reference
            images.
        image_ids: UUIDv7 of each image of the job.
        origin: "serve" for a request to the server, "" for a foreground command.
        reserved: Micro-dollars reserved in the budgets; None if the price is unknown.
        replaces: The existing files that go to the trash when the images are stored, by
            the number of the image.
    """

    # The journal stores calls as JSON, so renamed fields keep their stored names.
    id: str
    created_at: datetime
    plan: GenerationPlan
    target: OutputTarget = msgspec.field(default=OutputTarget(), name="place")
    image_ids: tuple[str, ...]
    caller: str = ""
    origin: str = ""
    may_cost: bool = True
    reserved: int | None = None
    replaces: dict[int, FileVersion] = {}

    @property
    def job(self) -> ImageJob:
        """The job that is sent to the backend."""
        return self.plan.jobs[0]

    @property
    def numbers(self) -> range:
        """The numbers of the requested images that the call makes."""
        return range(self.job.number, self.job.number + self.job.count)

    def output_id(self, position: int) -> str:
        """Return the id of an output; that of an extra one follows from the call."""
        if position < len(self.image_ids):
            return self.image_ids[position]
        return derive_id(self.id, created_at=self.created_at, position=position)


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a call, with its time of arrival.

    Attributes:
        at: Local time of arrival.
        observed: Whether one process waited for the whole call; otherwise the backend's
            working time is unknown.
    """

    generated: Generated
    at: datetime
    latency_ms: int
    observed: bool = msgspec.field(default=True, name="watched")

    def completed_by(self, later: Generated) -> "Received":
        """Return these images, and those that were delayed and have arrived later.

        Images that are here stay as they are, so that those that are stored already
        are recognised.
        """
        earlier = self.generated
        images = {**later.outputs, **earlier.outputs}
        delayed = {
            position: output.after(earlier.delayed.get(position))
            for position, output in later.delayed.items()
            if position not in images
        }
        reasons = {position: each.reason for position, each in earlier.delayed.items()}
        gone = {**reasons, **earlier.deleted, **later.deleted}
        generated = msgspec.structs.replace(
            later,
            images=tuple(images[position] for position in sorted(images)),
            delayed=delayed,
            deleted={
                position: reason
                for position, reason in gone.items()
                if position not in images and position not in delayed
            },
        )
        return msgspec.structs.replace(self, generated=generated)

    def without_rest(self, reason: str, *, final: bool) -> "Received":
        """Return the images that are here; the delayed ones cannot be had now.

        Args:
            reason: Why not, in a sentence.
            final: Whether they can never be had.
        """
        replace, generated = msgspec.structs.replace, self.generated
        if final:
            deleted = {**generated.deleted, **dict.fromkeys(generated.delayed, reason)}
            rest = replace(generated, delayed={}, deleted=deleted)
        else:
            delayed = {
                position: replace(output, reason=reason)
                for position, output in generated.delayed.items()
            }
            rest = replace(generated, delayed=delayed)
        return replace(self, generated=rest)


class CallSending(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The call is about to be sent (active), or failed at no cost (not active).

    Attributes:
        at: The current time; None if it is not recorded.
    """

    active: bool = True
    at: datetime | None = None


class CallAccepted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The backend accepted the job under this id."""

    reference: str


class CallReceived(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The images arrived and must not be lost."""

    received: Received


class CallLeftOpen(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """This process stops working on an unfinished call; `resume` can finish it."""

    reason: str = msgspec.field(name="trouble")


class CallClosed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The call is finished, and its reservation ends.

    Attributes:
        usage: Row for the ledger; None if the call certainly cost nothing.
    """

    usage: UsageRow | None = None


CallUpdate: TypeAlias = (
    CallSending | CallAccepted | CallReceived | CallLeftOpen | CallClosed
)
"""The updates of a call that the journal records, each as soon as it happens."""


class OpenCall(msgspec.Struct, frozen=True, kw_only=True):
    """An unfinished call.

    Attributes:
        state: `planned`: certainly not sent; `sent`: in an unknown state; `accepted`:
            the backend has the job; `received`: the images arrived, but are not stored.
        reference: Id of the remote job; "" if unknown.
        sent_at: When it was about to be sent; None if that was not recorded.
        live: Whether a running process works on the call.
        reason: Why the call was left open; "" if its process ended without a reason.
    """

    call: Call
    state: CallState
    reference: str = ""
    sent_at: datetime | None = None
    live: bool = False
    reason: str = msgspec.field(default="", name="trouble")

    @property
    def never_sent(self) -> bool:
        """True if the call was not sent, and no process is about to send it."""
        return self.state == "planned" and not self.live


def describe_forgetting(call: Call) -> str:
    """Return how to close a call whose outcome nobody can look up."""
    return (
        f"`imagen jobs forget {call.id}` gives it up, and its possible cost stays "
        "counted."
    )


def count_identical(call: Call, open_calls: Iterable[OpenCall]) -> int:
    """Return how many calls in an unknown state have the same job, with this call."""
    unknown = {each.call.id: each.call for each in open_calls if each.state == "sent"}
    # Preferably as the journal has it: JSON turns tuples in the options into lists.
    own = _identity(unknown.pop(call.id, call))
    return 1 + sum(_identity(other) == own for other in unknown.values())


def _identity(call: Call) -> tuple[str, ImageJob]:
    job = msgspec.structs.replace(call.job, number=1, timeout=1.0)
    return call.plan.instance.adapter, job


class ClaimedCall(msgspec.Struct, frozen=True, kw_only=True):
    """An open call that belongs to this process, and its result if it has arrived."""

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
    """Return the ledger's row for a finished call; None if the call is free.

    Args:
        latency_ms: Duration; None if the end was not observed.
        model: Model that was used, as reported by the backend; "" if unknown.
    """
    if not call.may_cost:
        return None
    # Late, since it loads OpenSSL: `imagen usage` reads calls and never closes one.
    from hashlib import sha256  # noqa: PLC0415

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
