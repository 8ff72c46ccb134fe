"""Say what is charged for what, and how old that knowledge is."""

from collections.abc import Sequence
from datetime import UTC

import msgspec

from imagen.domain import events
from imagen.domain.errors import InvalidRequest
from imagen.domain.money.price import ListedPrice
from imagen.domain.suggestion import suggest_name
from imagen.ports.clock import Clock

QUARTER = 92
"""Days after which a price should be looked at again."""


class DatedPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A price, and how many days ago it was so at the most; None when it is our own."""

    listed: ListedPrice
    age_days: int | None


class ListPrices(msgspec.Struct, frozen=True, kw_only=True):
    """Looks through the prices.

    Attributes:
        table: Every price that there is.
        clock: The time.
        listen: Hears that prices are old.
    """

    table: Sequence[ListedPrice]
    clock: Clock
    listen: events.Listener = events.ignore_event

    def run(self, part: str = "") -> tuple[DatedPrice, ...]:
        """Return the prices of the models that have this in their name.

        Raises:
            InvalidRequest: there is none.
        """
        found = [each for each in self.table if part.lower() in each.model.lower()]
        if not found:
            names = [each.model.rpartition("/")[2] for each in self.table]
            near = suggest_name(part.lower(), names)
            raise InvalidRequest(
                f"There is no price of a model that has {part!r} in its name.",
                hint=f"Did you mean {near}?"
                if near
                else "`imagen prices` shows all that there are.",
            )
        shown = tuple(
            DatedPrice(listed=each, age_days=self._age(each)) for each in found
        )
        if old := sum((each.age_days or 0) > QUARTER for each in shown):
            counted = f"{old} of {len(shown)} prices may be older than a quarter"
            advice = "look at the provider's page, and give the backend a `price`"
            self.listen(events.Warned(message=f"{counted}: {advice}"))
        return shown

    def _age(self, listed: ListedPrice) -> int | None:
        if (since := listed.price.since) is None:
            return None
        today = self.clock.now().astimezone(UTC).date()
        return max(0, (today - since).days)
