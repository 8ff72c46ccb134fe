"""The content of a contact sheet: the images of a sweep with their settings."""

from collections.abc import Mapping, Sequence

import msgspec

from imagen.domain.errors import ImagenError
from imagen.domain.money.cost import MICROS, format_micros
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.sidecar import Sidecar
from imagen.domain.sweep import Cell, SweepPlan, Table, format_axis_value


class SheetCell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of a sheet.

    Attributes:
        facts: Settings and cost of the image, or the reason of a failure.
        link: URL of the image file, relative to the sheet; "" for none.
    """

    label: str
    facts: str
    link: str = ""
    thumbnail: "Thumbnail | None" = None


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """A contact sheet, ready to be drawn.

    Attributes:
        prompt: The prompt before the style was applied.
        made_with: Settings that all images share.
        total: Number of images and total cost.
        cells: From left to right, from top to bottom.
    """

    prompt: str
    made_with: str
    total: str
    table: Table
    cells: tuple[SheetCell, ...]


class Thumbnail(msgspec.Struct, frozen=True, kw_only=True):
    """A small WebP of an image, with its size in pixels."""

    content: bytes
    size: tuple[int, int]


class CellResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one cell, without the bytes of the image.

    Attributes:
        error: Reason why the image was not made, or not stored at its location.
    """

    sidecar: Sidecar | None = None
    error: str = ""
    location: str = ""
    thumbnail: Thumbnail | None = None


def build_cell_result(
    outcome: StoredImage | FailedImage, thumbnail: Thumbnail | None = None
) -> CellResult:
    """Return the result of a cell for an outcome."""
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
    plan: SweepPlan, results: Mapping[int, CellResult], links: Mapping[int, str]
) -> Sheet:
    """Return the sheet for the results so far.

    Args:
        results: Results by the number of the cell; other cells were not made.
        links: URLs of the image files, by the number of the cell.
    """
    request = plan.plans[0].request
    return Sheet(
        prompt=request.prompt,
        made_with=_shared_settings(plan),
        total=_summarize(plan, list(results.values())),
        table=plan.sweep.table(),
        cells=tuple(
            _build_cell(cell, results.get(cell.number), links.get(cell.number, ""))
            for cell in plan.cells
        ),
    )


def _build_cell(cell: Cell, result: CellResult | None, link: str) -> SheetCell:
    if result is None or result.sidecar is None:
        facts = result.error if result else "not made"
        return SheetCell(label=cell.label, facts=facts)
    sidecar = result.sidecar
    # The sheet shows the seed and the steps that were used, not those of the axis.
    observed = {"seed": sidecar.seed, "steps": sidecar.steps}
    own = [
        format_axis_value(name, value)
        for name, value in cell.values.items()
        if name not in {*observed, "backend", "model", "size"}
    ]
    label = [*own, *(format_axis_value(*each) for each in observed.items() if each[1])]
    parts = [
        sidecar.backend,
        sidecar.model if sidecar.model != sidecar.backend else "",
        f"{sidecar.width}x{sidecar.height}",
        format_cost(sidecar),
        f"{sidecar.latency_ms / 1000:.1f} s",
        result.error,
    ]
    return SheetCell(
        label=" · ".join(label),
        facts=" · ".join(filter(None, parts)),
        link=link,
        thumbnail=result.thumbnail,
    )


def format_cost(sidecar: Sidecar) -> str:
    """Return the cost of an image for display: `$0.05` or `cost unknown`."""
    micros = _micros(sidecar)
    return "cost unknown" if micros is None else format_micros(micros)


def _micros(sidecar: Sidecar) -> int | None:
    # A sidecar stores dollars as a float; rounding restores the exact micro-dollars.
    return None if sidecar.cost_usd is None else round(sidecar.cost_usd * MICROS)


def _shared_settings(plan: SweepPlan) -> str:
    """Return the values of the axes with one value, and the negative prompt."""
    settings = [
        format_axis_value(axis.name, axis.values[0])
        for axis in plan.sweep.axes
        if len(axis.values) == 1
    ]
    if negative := plan.plans[0].negative:
        settings.append(f"without {negative}")
    return " · ".join(settings)


def _summarize(plan: SweepPlan, results: Sequence[CellResult]) -> str:
    sidecars = [each.sidecar for each in results if each.sidecar]
    costs = [_micros(sidecar) for sidecar in sidecars]
    known = sum(micros for micros in costs if micros is not None)
    unknown = costs.count(None)
    missing = len(plan.cells) - len(sidecars)
    parts = [
        "1 image" if len(sidecars) == 1 else f"{len(sidecars)} images",
        f"{missing} not made" if missing else "",
        format_micros(known) if len(costs) > unknown or not costs else "",
        f"{unknown} of unknown cost" if unknown else "",
    ]
    return " · ".join(filter(None, parts))
