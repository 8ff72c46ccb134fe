"""The state of an interrupted command: what it has made, and what is left."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from imagen.domain.call import Call
from imagen.domain.estimate import estimate_job_cost
from imagen.domain.idempotency import RecordedCall
from imagen.domain.ids import new_id
from imagen.domain.money.cost import Cost, sum_costs
from imagen.domain.seed import RandomInt


class Remaining(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an interrupted command.

    Attributes:
        made: The ids of the images that were made, each with its call, by number.
        open: Calls that were sent, and have not ended.
        unsent: Calls to send, those in place of failed ones included.
    """

    made: dict[int, tuple[str, Call]] = {}
    open: tuple[Call, ...] = ()
    unsent: tuple[Call, ...] = ()

    @property
    def cost(self) -> Cost:
        """The expected cost of the calls to send; unknown if that of one is unknown."""
        return sum_costs(
            [estimate_job_cost(call.plan, call.job) for call in self.unsent]
        )

    @property
    def images_left(self) -> int:
        """The number of images that are not made yet."""
        return sum(call.job.count for call in (*self.open, *self.unsent))


def assess(
    recorded: Sequence[RecordedCall],
    *,
    exists: Callable[[str], bool],
    now: datetime,
    random_int: RandomInt,
) -> Remaining:
    """Return what the recorded calls have made, and what is left.

    Args:
        exists: Returns whether an image with that id was made and is known.
        now: The current time: a budget counts a call on the day on which it is sent.
    """
    now = now.astimezone(UTC)
    made: dict[int, tuple[str, Call]] = {}
    still_open: list[Call] = []
    unsent: list[Call] = []
    calls = [each.call for each in recorded if each.call is not None]
    # A later call replaces an earlier one for the same image.
    last = {number: call.id for call in calls for number in call.numbers}
    for each, call in zip(recorded, calls, strict=True):
        if each.open:
            still_open.append(call)
            continue
        ids = {
            number: image_id
            for number, image_id in zip(call.numbers, call.image_ids, strict=True)
            if last[number] == call.id
        }
        stored = {number: id_ for number, id_ in ids.items() if exists(id_)}
        if len(stored) < each.images:
            # Paid for, and forgotten by the history since: never made again.
            stored = ids
        made |= {number: (id_, call) for number, id_ in stored.items()}
        if stored:
            missing = [number for number in ids if number not in stored]
            unsent += [
                renew(call, now=now, random_int=random_int, number=number)
                for number in missing
            ]
        elif each.billed:
            unsent.append(renew(call, now=now, random_int=random_int))
        else:
            unsent.append(msgspec.structs.replace(call, created_at=now))
    return Remaining(made=made, open=tuple(still_open), unsent=tuple(unsent))


def renew(
    call: Call, *, now: datetime, random_int: RandomInt, number: int | None = None
) -> Call:
    """Return a new call in place of one that has failed; a drawn seed is drawn anew.

    Args:
        number: The only image that the new call is to make; None for all.
    """
    replace, job, reserved = msgspec.structs.replace, call.job, call.reserved
    if number is not None:
        job = replace(job, number=number, count=1)
        if reserved is not None:
            reserved = -(-reserved // call.job.count)
    request = call.plan.request
    given = request.seed or (request.style.seed if request.style else 0)
    if job.seed is not None and not given:
        # Any seed up to the old one is within the limit of the backend.
        job = replace(job, seed=1 + random_int(job.seed))
    return replace(
        call,
        id=new_id(now, random_int),
        created_at=now.astimezone(UTC),
        image_ids=tuple(new_id(now, random_int) for _ in range(job.count)),
        plan=replace(call.plan, jobs=(job,)),
        reserved=reserved,
    )
