"""Sweeps: all combinations of several values, as one plan and as a table."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod
from typing import Self

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.estimate import Estimate, estimate_plan, estimate_plan_cost
from imagen.domain.job import GenerationPlan
from imagen.domain.money.cost import Cost, sum_costs
from imagen.domain.request import MAX_IMAGES

# Images in a row of the contact sheet if only one axis has several values.
MAX_COLUMNS = 8

_RANGE = re.compile(r"([0-9]{1,20})\.\.([0-9]{1,20})(?:\.\.([0-9]{1,20}))?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
# The order of the axes, the slowest first. The seed varies fastest, so that the images
# of one setting are beside each other.
_ORDER = ("backend", "style", "model", "size", "set", "steps", "seed")


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter with its values: `seed`, `backend`, ..., or `set.NAME`."""

    name: str
    values: tuple[object, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InvalidRequest(f"{self.name} has no values.")
        if len(self.values) > MAX_IMAGES:
            raise InvalidRequest(
                f"{self.name} has {len(self.values)} values.",
                hint=f"Use {MAX_IMAGES} or fewer.",
            )
        # Compared with the type, because 1 == True in Python.
        seen: list[tuple[type, object]] = []
        for value in self.values:
            if (type(value), value) in seen:
                raise InvalidRequest(f"{self.name} has the value {value} twice.")
            seen.append((type(value), value))


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One combination of a sweep, with its position from 1."""

    number: int
    values: Mapping[str, object]

    @property
    def label(self) -> str:
        """The values as text."""
        return " · ".join(
            format_axis_value(name, value) for name, value in self.values.items()
        )

    @property
    def options(self) -> dict[str, object]:
        """The backend parameters."""
        return {
            name.removeprefix("set."): value
            for name, value in self.values.items()
            if name.startswith("set.")
        }


class SweepGrid(msgspec.Struct, frozen=True, kw_only=True):
    """The axes of a sweep; the last one varies fastest."""

    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, axes: Sequence[Axis]) -> Self:
        """Return a sweep over the axes, sorted for display as a table.

        Raises:
            InvalidRequest: the number of combinations exceeds the limit.
        """

        def rank(axis: Axis) -> int:
            name = axis.name.partition(".")[0]
            return _ORDER.index(name if name in _ORDER else "size")

        images = prod(len(axis.values) for axis in axes)
        if images > MAX_IMAGES:
            raise InvalidRequest(
                f"The sweep has {images} combinations.",
                hint=f"Use {MAX_IMAGES} or fewer.",
            )
        return cls(axes=tuple(sorted(axes, key=rank)))

    def cells(self) -> tuple[Cell, ...]:
        """Return all combinations."""
        names = [axis.name for axis in self.axes]
        combinations = product(*(axis.values for axis in self.axes))
        return tuple(
            Cell(number=number, values=dict(zip(names, values, strict=True)))
            for number, values in enumerate(combinations, start=1)
        )

    def table(self) -> "Table":
        """Return the labels of the rows and columns.

        The last axis with several values forms the columns, the others form the rows.
        A single axis with many values is wrapped into several rows.
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
    """The labels of columns and rows; "" for no label.

    The cells fill the table from left to right, from top to bottom.
    """

    columns: tuple[str, ...]
    rows: tuple[str, ...]


class SweepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All calls of a sweep, with every parameter decided.

    Attributes:
        plans: The plan of each cell, with one call for one image.
    """

    sweep: SweepGrid
    cells: tuple[Cell, ...]
    plans: tuple[GenerationPlan, ...]

    @property
    def cost(self) -> Cost:
        """The expected cost of all calls; unknown if one of them is unknown."""
        return sum_costs([estimate_plan_cost(plan) for plan in self.plans])

    def warnings(self) -> tuple[str, ...]:
        """Return the warnings of all plans without repetitions."""
        warnings = (
            warning
            for plan in self.plans
            for warning in plan.parameter_report.warnings()
        )
        return tuple(dict.fromkeys(warnings))


class SweepEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of a sweep and their cost.

    Attributes:
        images: Number of images, each made in a separate call.
        cost_usd: Total in dollars; None if unknown, never 0 for unknown.
    """

    images: int
    cost_usd: float | None
    cost_source: str
    cells: tuple["CellEstimate", ...]


class CellEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """The values and the estimate of one combination."""

    cell: Mapping[str, object]
    estimate: Estimate


def estimate_sweep(plan: SweepPlan) -> SweepEstimate:
    """Return the estimate of a sweep."""
    return SweepEstimate(
        images=len(plan.cells),
        cost_usd=plan.cost.usd,
        cost_source=plan.cost.source,
        cells=tuple(
            CellEstimate(cell=cell.values, estimate=estimate_plan(each))
            for cell, each in zip(plan.cells, plan.plans, strict=True)
        ),
    )


def parse_numbers(name: str, words: str) -> Axis:
    """Parse numbers and inclusive ranges such as `1,4..8,20..50..10`.

    Raises:
        InvalidRequest: the text has another form, or a range is empty.
    """
    values: list[object] = []
    for word in words.split(","):
        if _NUMBER.fullmatch(word.strip()):
            values.append(int(word))
            continue
        found = _RANGE.fullmatch(word.strip())
        if found is None:
            raise InvalidRequest(
                f"Invalid value {word.strip()!r} for {name}.",
                hint="Use numbers or ranges, such as 1,2,3 or 1..3 or 10..50..10.",
            )
        first, last, step = int(found[1]), int(found[2]), int(found[3] or 1)
        if last < first or step < 1:
            raise InvalidRequest(
                f"The range {word.strip()} of {name} is empty.",
                hint="Put the smaller number first, and use a step of 1 or more.",
            )
        values += range(first, last + 1, step)[: MAX_IMAGES + 1]
    return Axis(name=name, values=tuple(values))


def parse_words(
    name: str, words: str, *, read: Callable[[str], object] = str.strip
) -> Axis:
    """Parse a comma-separated list; a comma within quotes does not separate.

    Raises:
        InvalidRequest: a value is empty, or occurs twice.
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
    """Return a value of an axis as text: `seed 7`, `8 steps`, `flux`."""
    if name in {"backend", "model", "size"}:
        return str(value)
    if name == "steps":
        return f"{value} steps" if value else "default steps"
    return f"{name.removeprefix('set.')} {value}"
