"""List the prices of models, and how old each price is."""

from collections.abc import Sequence
from datetime import UTC, date
from typing import TYPE_CHECKING

import msgspec

from imagen.domain import events
from imagen.domain.errors import InvalidRequest
from imagen.domain.money.price import ListedPrice
from imagen.domain.suggestion import suggest

if TYPE_CHECKING:
    from imagen.ports.clock import Clock

QUARTER = 92
"""Days after which a price should be checked again."""


class DatedPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A price and its age in days; the age of a price in the config is None."""

    listed: ListedPrice
    age_days: int | None


def list_prices(
    table: Sequence[ListedPrice],
    part: str,
    *,
    clock: "Clock",
    listen: events.Listener,
) -> tuple[DatedPrice, ...]:
    """Return the prices of the models whose names contain `part`, in any case.

    Raises:
        InvalidRequest: no model matches.
    """
    found = [each for each in table if part.lower() in each.model.lower()]
    if not found:
        names = [each.model.rpartition("/")[2] for each in table]
        advice = "Run `imagen prices` to list all prices."
        raise InvalidRequest(
            f"No price for a model whose name contains {part!r}.",
            hint=suggest(part.lower(), names, advice),
        )
    today = clock.now().astimezone(UTC).date()
    prices = tuple(
        DatedPrice(listed=each, age_days=_age(each, today)) for each in found
    )
    if old := sum((each.age_days or 0) > QUARTER for each in prices):
        counted = f"{old} of {len(prices)} prices may be older than a quarter"
        advice = "check the provider's page, then set the backend's `price`"
        listen(events.Warned(message=f"{counted}: {advice}"))
    return prices


def _age(listed: ListedPrice, today: date) -> int | None:
    since = listed.price.since
    return None if since is None else max(0, (today - since).days)
