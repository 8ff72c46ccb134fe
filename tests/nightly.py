"""What `make test` samples and `make nightly` runs whole.

A test that takes long is marked `nightly`; a long list of cases goes through
`some_by_day`. Both run whole where the environment says IMAGEN_NIGHTLY=1.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

NIGHTLY = os.environ.get("IMAGEN_NIGHTLY") == "1"

Case = TypeVar("Case")


def some_by_day(cases: Sequence[Case], count: int) -> Sequence[Case]:
    """Return all cases by night, and by day `count` of them, evenly spread."""
    if NIGHTLY or len(cases) <= count:
        return cases
    return [cases[number * len(cases) // count] for number in range(count)]


def examples(by_day: int, *, nightly: int) -> int:
    """Return the number of examples of a property-based test."""
    return nightly if NIGHTLY else by_day
