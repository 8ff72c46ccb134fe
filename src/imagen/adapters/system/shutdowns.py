"""Load the dated table of models that end, which ships with imagen."""

from functools import cache
from pathlib import Path

import msgspec

from imagen.domain.shutdown import ModelShutdown


def look_up_shutdown(provider: str, model: str) -> ModelShutdown | None:
    """Return the end of a model of a provider; None if none is known."""
    matching = (each for each in load_shutdowns() if each.applies_to(provider, model))
    return next(matching, None)


@cache
def load_shutdowns() -> tuple[ModelShutdown, ...]:
    """Return the whole table, without network."""
    file = Path(__file__).with_suffix(".json")
    return msgspec.json.decode(file.read_bytes(), type=tuple[ModelShutdown, ...])
