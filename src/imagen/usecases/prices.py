"""List the prices of models, and how old each price is."""

from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING

import msgspec

from imagen.domain import events
from imagen.domain.errors import InvalidRequest
from imagen.domain.money.price import ListedPrice
from imagen.domain.suggestion import suggest_name

if TYPE_CHECKING:
    from imagen.ports.clock import Clock

QUARTER = 92
"""Days after which a price should be checked again."""


class DatedPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A price and its age in days; the age of a price in the config is None."""

    listed: ListedPrice
    age_days: int | None


class ListPrices(msgspec.Struct, frozen=True, kw_only=True):
    """Searches the prices by model name."""

    table: Sequence[ListedPrice]
    clock: "Clock"
    listen: events.Listener = events.ignore_event

    def run(self, part: str = "") -> tuple[DatedPrice, ...]:
        """Return the prices of the models whose names contain `part`, in any case.

        Raises:
            InvalidRequest: no model matches.
        """
        found = [each for each in self.table if part.lower() in each.model.lower()]
        if not found:
            names = [each.model.rpartition("/")[2] for each in self.table]
            near = suggest_name(part.lower(), names)
            raise InvalidRequest(
                f"No price for a model whose name contains {part!r}.",
                hint=f"Did you mean {near}?"
                if near
                else "Run `imagen prices` to list all prices.",
            )
        prices = tuple(
            DatedPrice(listed=each, age_days=self._age(each)) for each in found
        )
        if old := sum((each.age_days or 0) > QUARTER for each in prices):
            counted = f"{old} of {len(prices)} prices may be older than a quarter"
            advice = "check the provider's page, then set the backend's `price`"
            self.listen(events.Warned(message=f"{counted}: {advice}"))
        return prices

    def _age(self, listed: ListedPrice) -> int | None:
        if (since := listed.price.since) is None:
            return None
        today = self.clock.now().astimezone(UTC).date()
        return max(0, (today - since).days)
