"""What a contact sheet shows: every combination of a sweep, its image, its cost."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from imagen.domain.errors import ImagenError
from imagen.domain.money.budget import format_micros
from imagen.domain.money.cost import Cost, usd_to_micros
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.sidecar import Sidecar
from imagen.domain.sweep import Cell, SweepPlan, Table, format_axis_value


class SheetCell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of a sheet.

    Attributes:
        label: Which combination it is.
        facts: How it was made and what it cost; of a failure what went wrong.
        link: From the sheet to the image's file, as a URL; "" where there is none.
        thumbnail: The image, made small; empty where there is none.
        size: Of the thumbnail, in pixels.
    """

    label: str
    facts: str
    link: str = ""
    thumbnail: bytes = b""
    size: tuple[int, int] = (0, 0)


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """A contact sheet, ready to be drawn.

    Attributes:
        prompt: As it was given.
        made_with: What all of the images have in common.
        total: How many there are, and what they cost.
        table: What stands above and beside them.
        cells: From left to right, from top to bottom.
    """

    prompt: str
    made_with: str
    total: str
    table: Table
    cells: tuple[SheetCell, ...]


class Thumbnail(msgspec.Struct, frozen=True, kw_only=True):
    """An image made small: a WebP, and its size in pixels."""

    content: bytes
    size: tuple[int, int]


class CellResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one cell, as far as a sheet shows it.

    Attributes:
        note: How the image was made; None if it was not.
        trouble: Why it was not, or is not where it belongs.
        location: Where its file is.
        thumbnail: None if there is none.
    """

    sidecar: Sidecar | None = None
    error: str = ""
    location: str = ""
    thumbnail: Thumbnail | None = None


def build_cell_result(
    outcome: StoredImage | FailedImage, thumbnail: Thumbnail | None = None
) -> CellResult:
    """Return what a sheet shows of an outcome, without the bytes of the image."""
    if isinstance(outcome, StoredImage):
        return CellResult(
            sidecar=outcome.sidecar, location=outcome.location, thumbnail=thumbnail
        )
    error, rescued = outcome.error, outcome.rescued
    return CellResult(
        error=error.message if isinstance(error, ImagenError) else str(error),
        sidecar=rescued.sidecar if rescued else None,
        location=rescued.location if rescued else "",
        thumbnail=thumbnail,
    )


def build_sheet(
    plan: SweepPlan, made: Mapping[int, CellResult], links: Mapping[int, str]
) -> Sheet:
    """Return the sheet of what was made so far.

    Args:
        plan: The sweep.
        made: What became of each cell, by its number; others were not made.
        links: To the file of each, by the cell's number.
    """
    request = plan.plans[0].request
    return Sheet(
        prompt=request.prompt,
        made_with=_in_common(plan),
        total=_total(plan, list(made.values())),
        table=plan.sweep.table(),
        cells=tuple(
            _shown(cell, made.get(cell.number), links.get(cell.number, ""))
            for cell in plan.cells
        ),
    )


def _shown(cell: Cell, made: CellResult | None, link: str) -> SheetCell:
    if made is None or made.sidecar is None:
        return SheetCell(label=cell.label, facts=made.error if made else "not made")
    note, thumbnail = made.sidecar, made.thumbnail
    observed = {"seed": note.seed, "steps": note.steps}
    own = [
        format_axis_value(name, value)
        for name, value in cell.values.items()
        if name not in {*observed, "backend", "model", "size"}
    ]
    label = [*own, *(format_axis_value(*each) for each in observed.items() if each[1])]
    facts = [
        note.backend,
        note.model if note.model != note.backend else "",
        f"{note.width}x{note.height}",
        format_cost(note),
        f"{note.latency_ms / 1000:.1f} s",
        made.error,
    ]
    return SheetCell(
        label=" · ".join(label),
        facts=" · ".join(filter(None, facts)),
        link=link,
        thumbnail=thumbnail.content if thumbnail else b"",
        size=thumbnail.size if thumbnail else (0, 0),
    )


def format_cost(note: Sidecar) -> str:
    """Return what an image cost, in words."""
    micros = _cost(note).micros
    return "cost unknown" if micros is None else format_micros(micros)


def _cost(note: Sidecar) -> Cost:
    if note.cost_usd is None:
        return Cost()
    return Cost(micros=usd_to_micros(round(Decimal(str(note.cost_usd)), 6)))


def _in_common(plan: SweepPlan) -> str:
    """Return the values of the axes with one value, and the negative prompt."""
    said = [
        format_axis_value(axis.name, axis.values[0])
        for axis in plan.sweep.axes
        if len(axis.values) == 1
    ]
    if negative := plan.plans[0].negative:
        said.append(f"without {negative}")
    return " · ".join(said)


def _total(plan: SweepPlan, made: Sequence[CellResult]) -> str:
    notes = [each.sidecar for each in made if each.sidecar]
    costs = [_cost(note).micros for note in notes]
    known = sum(micros for micros in costs if micros is not None)
    unknown = costs.count(None)
    missing = len(plan.cells) - len(notes)
    images = "1 image" if len(notes) == 1 else f"{len(notes)} images"
    cost = format_micros(known) if len(costs) > unknown or not costs else ""
    parts = [
        images,
        f"{missing} not made" if missing else "",
        cost,
        f"{unknown} of unknown cost" if unknown else "",
    ]
    return " · ".join(filter(None, parts))
