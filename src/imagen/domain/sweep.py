"""Every combination of what was asked for, as one plan, and as a table of images."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod
from typing import Self

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.estimate import Estimate, estimate_plan, estimate_plan_cost
from imagen.domain.money.cost import Cost
from imagen.domain.plan import GenerationPlan
from imagen.domain.request import MAX_IMAGES

MAX_COLUMNS = 8
"""Images in a row, where only one thing varies."""

_RANGE = re.compile(r"([0-9]{1,20})\.\.([0-9]{1,20})(?:\.\.([0-9]{1,20}))?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_ORDER = ("backend", "style", "model", "size", "set", "steps", "seed")


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that varies: `seed`, `backend`, or a parameter as `set.NAME`."""

    name: str
    values: tuple[object, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InvalidRequest(f"There is no value for {self.name}.")
        if len(self.values) > MAX_IMAGES:
            raise InvalidRequest(
                f"{self.name} has {len(self.values)} values.",
                hint=f"{MAX_IMAGES} images can be made at once.",
            )
        seen: list[tuple[type, object]] = []
        for value in self.values:
            if (type(value), value) in seen:  # for Python, 1 is True
                raise InvalidRequest(f"{self.name} has {value} twice.")
            seen.append((type(value), value))


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One combination.

    Attributes:
        number: Which it is, from 1.
        values: Of each axis, by its name.
    """

    number: int
    values: Mapping[str, object]

    @property
    def label(self) -> str:
        """Which it is, in words."""
        return " · ".join(
            format_axis_value(name, value) for name, value in self.values.items()
        )

    @property
    def options(self) -> dict[str, object]:
        """The parameters of the backend's own."""
        return {
            name.removeprefix("set."): value
            for name, value in self.values.items()
            if name.startswith("set.")
        }


class SweepGrid(msgspec.Struct, frozen=True, kw_only=True):
    """Axes in the order in which they vary: the last one fastest."""

    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, axes: Sequence[Axis]) -> Self:
        """Return the sweep over the axes, in the order that a table shows best.

        Raises:
            InvalidRequest: there are too many combinations.
        """

        def rank(axis: Axis) -> int:
            return _ORDER.index(axis.name.partition(".")[0])

        images = prod(len(axis.values) for axis in axes)
        if images > MAX_IMAGES:
            raise InvalidRequest(
                f"{images} combinations cannot be made at once.",
                hint=f"{MAX_IMAGES} can.",
            )
        return cls(axes=tuple(sorted(axes, key=rank)))

    def cells(self) -> tuple[Cell, ...]:
        """Return every combination."""
        names = [axis.name for axis in self.axes]
        combinations = product(*(axis.values for axis in self.axes))
        return tuple(
            Cell(number=number, values=dict(zip(names, values, strict=True)))
            for number, values in enumerate(combinations, start=1)
        )

    def table(self) -> "Table":
        """Return the rows and columns in which the cells are shown.

        The last axis of several values goes across, the others go down. A single one
        goes on in the next row where there is no more room.
        """
        varied = [axis for axis in self.axes if len(axis.values) > 1]
        across = varied[-1] if varied else None
        if across is None:
            return Table(columns=("",), rows=("",))
        labels = tuple(format_axis_value(across.name, value) for value in across.values)
        if len(varied) == 1 and len(labels) > MAX_COLUMNS:
            rows = -(-len(labels) // MAX_COLUMNS)
            return Table(columns=("",) * -(-len(labels) // rows), rows=("",) * rows)
        down = product(*([(a.name, v) for v in a.values] for a in varied[:-1]))
        return Table(
            columns=labels,
            rows=tuple(
                " · ".join(format_axis_value(*each) for each in row) for row in down
            ),
        )


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What stands above the columns and beside the rows; "" where nothing does.

    The cells fill it from left to right, from top to bottom.
    """

    columns: tuple[str, ...]
    rows: tuple[str, ...]


class SweepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Every call of a sweep, decided to the last parameter.

    Attributes:
        sweep: What varies.
        cells: The combinations.
        plans: One for each cell, with one call for one image.
    """

    sweep: SweepGrid
    cells: tuple[Cell, ...]
    plans: tuple[GenerationPlan, ...]

    @property
    def cost(self) -> Cost:
        """What all of it may cost; unknown if that of one call is."""
        return total_cost([estimate_plan_cost(plan) for plan in self.plans])

    def warnings(self) -> tuple[str, ...]:
        """Each warning of the plans, once."""
        said = (
            words for plan in self.plans for words in plan.parameter_report.warnings()
        )
        return tuple(dict.fromkeys(said))


class SweepEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep would send, and what it would cost.

    Attributes:
        images: How many would be made, each in a call of its own.
        cost_usd: Dollars for all of it; None when unknown, never 0 for unknown.
        cost_source: Where that figure comes from.
        cells: Of each combination its values, and what it would send.
    """

    images: int
    cost_usd: float | None
    cost_source: str
    cells: tuple["CellEstimate", ...]


class CellEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What one combination would send."""

    cell: Mapping[str, object]
    estimate: Estimate


def estimate_sweep(plan: SweepPlan) -> SweepEstimate:
    """Return what carrying out the plan would send and cost."""
    return SweepEstimate(
        images=len(plan.cells),
        cost_usd=plan.cost.usd,
        cost_source=plan.cost.source,
        cells=tuple(
            CellEstimate(cell=cell.values, estimate=estimate_plan(each))
            for cell, each in zip(plan.cells, plan.plans, strict=True)
        ),
    )


def total_cost(costs: Sequence[Cost]) -> Cost:
    """Return the sum; unknown if one of them is."""
    known = [cost.micros for cost in costs if cost.micros is not None]
    if len(known) < len(costs):
        return Cost()
    return Cost(micros=sum(known), source=costs[0].source if costs else "unknown")


def parse_numbers(name: str, words: str) -> Axis:
    """Read `1,4..8,20..50..10`: numbers, and ranges that include their ends.

    Raises:
        InvalidRequest: it is written differently.
    """
    values: list[object] = []
    for word in words.split(","):
        if _NUMBER.fullmatch(word.strip()):
            values.append(int(word))
            continue
        found = _RANGE.fullmatch(word.strip())
        if found is None:
            raise InvalidRequest(
                f"{word.strip()!r} is neither a number nor a range for {name}.",
                hint="Write 1,2,3 or 1..3 or 10..50..10.",
            )
        first, last, step = int(found[1]), int(found[2]), int(found[3] or 1)
        if last < first or step < 1:
            raise InvalidRequest(
                f"The range {word.strip()} of {name} holds nothing.",
                hint="It goes from the smaller number to the larger one.",
            )
        values += range(first, last + 1, step)[: MAX_IMAGES + 1]
    return Axis(name=name, values=tuple(values))


def parse_words(
    name: str, words: str, *, read: Callable[[str], object] = str.strip
) -> Axis:
    """Read `a,b`; a comma within quotes parts nothing.

    Raises:
        InvalidRequest: a value is empty, or there twice.
    """
    values: list[str] = [""]
    quote = ""
    for letter in words:
        if letter == "," and not quote:
            values.append("")
            continue
        if letter == quote:
            quote = ""
        elif letter in "'\"" and not quote and not values[-1].strip():
            quote = letter
        values[-1] += letter
    if not all(value.strip() for value in values):
        raise InvalidRequest(f"One of the values of {name} is empty.")
    return Axis(name=name, values=tuple(read(value) for value in values))


def format_axis_value(name: str, value: object) -> str:
    """Return one value of an axis in words: `seed 7`, `8 steps`, `flux`."""
    if name in {"backend", "model", "size"}:
        return str(value)
    if name == "steps":
        return f"{value} steps" if value else "its own steps"
    return f"{name.removeprefix('set.')} {value}"
