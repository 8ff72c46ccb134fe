"""Models that their vendor shuts down, or has shut down."""

from collections.abc import Callable
from datetime import date
from typing import TypeAlias

import msgspec

ShutdownOf: TypeAlias = "Callable[[str, str], ModelShutdown | None]"
"""Returns the end of a model of a provider; None if none is known."""

WARNING_DAYS = 60
"""Days before the end of a model from which on it is warned of."""


class ModelShutdown(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a model at one provider.

    Attributes:
        provider: As in `Capabilities.provider`.
        model: The vendor's name of the model; a name that ends in `*` matches all that
            begin so.
        day: The first day on which the model no longer works.
        successor: The model that the vendor recommends instead; "" for none.
        as_of: Date of this information.
    """

    provider: str
    model: str
    day: date
    successor: str = ""
    as_of: str = ""
    source: str = ""

    def applies_to(self, provider: str, model: str) -> bool:
        """Return whether this is about that model."""
        stem, star, _ = self.model.partition("*")
        same = model.startswith(stem) if star else model == self.model
        return same and provider == self.provider

    def is_near(self, *, today: date) -> bool:
        """Return whether the end is past, or near enough for a warning."""
        return (self.day - today).days <= WARNING_DAYS

    def describe(self, model: str, *, today: date) -> str:
        """Return a sentence about the end of a model, with what to use instead."""
        verb = "was shut down" if self.day <= today else "will be shut down"
        instead = f"; use {self.successor}" if self.successor else ""
        return f"{model} {verb} on {self.day}{instead}."
