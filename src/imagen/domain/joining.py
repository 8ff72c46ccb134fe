"""Which earlier request a repeated request without an idempotency key joins."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

REFUSALS = frozenset({429, 503})
"""HTTP statuses of a request that was refused before anything was sent."""

ConnectionState: TypeAlias = Literal["open", "lost", "answered"]
"""Lost: before the answer was written completely, which `answered` is."""


class Joinable(msgspec.Struct, frozen=True, kw_only=True):
    """A request of a caller that an equal request of the same caller may join.

    Attributes:
        connection: The state of its latest connection.
        retries: The retry number that its latest connection stated; None if it stated
            none. The first attempt is 0.
        sent: False while it waits in the queue.
        refused: Whether it was refused before anything was sent.
    """

    id: str
    created_at: datetime
    connection: ConnectionState
    retries: int | None = None
    sent: bool = True
    refused: bool = False


def find_joinable(requests: Iterable[Joinable], retries: int | None) -> Joinable | None:
    """Return the earlier request that a new one repeats; None if there is none.

    A refused one comes first: its repetition is a new purchase. Then the oldest without
    a connection, those that were sent before those that were not. Only a stated retry
    joins a request whose connection looks open, or that was answered; its number must
    be higher than that of the latest connection, so that two genuine requests and
    their retries stay two purchases.

    Args:
        requests: Those with the same caller and the same content that are running, or
            ended a short time ago.
        retries: The retry number that the client states; None if it states none.
    """
    oldest = sorted(requests, key=lambda each: (each.created_at, each.id))
    attempts = [each for each in oldest if not each.refused]
    lost = [each for each in attempts if each.connection == "lost"]
    groups = [
        [each for each in oldest if each.refused and _may_follow(each, retries)],
        [each for each in lost if each.sent],
        lost,
    ]
    if retries:
        earlier = [each for each in attempts if (each.retries or 0) < retries]
        groups += [
            [each for each in earlier if each.connection == state]
            for state in ("open", "answered")
        ]
    return next((group[0] for group in groups if group), None)


def _may_follow(refused: Joinable, retries: int | None) -> bool:
    if retries is None:
        return refused.retries is None
    return retries > (refused.retries or 0)
