"""The tables of docs/openai.md are made from the data of the adapter."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagen.adapters.backends.openai.dialect import Dialect, apply_row, load_table
from imagen.adapters.system.prices import look_up_price
from imagen.adapters.system.shutdowns import load_shutdowns
from imagen.domain.money.cost import format_micros
from imagen.domain.money.price import estimate_cost
from imagen.domain.size import Size

GUIDE = Path(__file__).parents[4] / "docs/openai.md"
QUALITIES = ("low", "medium", "high", "xhigh", "max")


def dialects() -> Iterator[tuple[str, Dialect]]:
    for name, row in load_table().items():
        yield name, apply_row(row, str(row["example"]))


def describe_sizes(dialect: Dialect) -> str:
    sizes = dialect.sizes
    if sizes.ratios:
        tiers = ", ".join(f"{side}x{side}" for side in sizes.tiers.values())
        return f"{len(sizes.ratios)} ratios of {tiers}"
    if sizes.choices:
        return f"{len(sizes.choices)}, from {sizes.choices[0]} to {sizes.choices[-1]}"
    limits = f"{sizes.smallest} to {sizes.largest}"
    if sizes.max_pixels:
        limits = f"{sizes.min_pixels / 1e6:.2g} to {sizes.max_pixels / 1e6:.2g} MP"
    step = f", multiples of {sizes.multiple}" if sizes.multiple > 1 else ""
    return f"{limits}{step}"


def describe_cost(dialect: Dialect) -> str:
    cost = dialect.cost
    if dialect.free:
        return "free"
    if cost.tokens:
        return "tokens"
    return "reported" if cost.header or cost.path else "table"


def row(name: str, dialect: Dialect) -> str:
    def mark(field: str) -> str:
        return "yes" if field in dialect.fields else ""

    images = dialect.images
    references = ""
    if images:
        references = f"{images.most}{', mask' if images.mask else ''}"
    cells = (
        f"`{name}`",
        f"`{dialect.key_env}`" if dialect.key_env else "",
        describe_sizes(dialect),
        *(mark("seed"), mark("steps"), mark("negative")),
        str(dialect.batch),
        *(references, ", ".join(dialect.formats), describe_cost(dialect)),
    )
    return "| " + " | ".join(cells) + " |"


def table_of_dialects() -> list[str]:
    return [row(*each) for each in dialects()]


def list_of_parameters() -> list[str]:
    return [
        f"- `{name}`: "
        + "; ".join(
            f"`{option}` ({how.values or how.kind})"
            for option, how in dialect.options.items()
        )
        for name, dialect in dialects()
        if dialect.options
    ]


def table_of_prices() -> list[str]:
    lines: list[str] = []
    for model in ("gpt-image-2", "gpt-image-2.5-flare", "gpt-image-2.6-flare"):
        for size in (Size(1024, 1024), Size(3840, 2160)):
            costs: list[str] = []
            for quality in QUALITIES:
                parameters = {"quality": quality, "size": size}
                price = look_up_price("openai", model, parameters)
                known = price and estimate_cost(price, images=1, megapixels=1).micros
                costs.append(format_micros(known) if known else "")
            lines.append(f"| `{model}`, {size} | {' | '.join(costs)} |")
    return lines


def table_of_ends() -> list[str]:
    names = {dialect.provider for _, dialect in dialects()}
    return [
        f"| {each.provider} | `{each.model}` | {each.day} | `{each.successor}` |"
        for each in load_shutdowns()
        if each.provider in names
    ]


@pytest.mark.parametrize(
    "lines", [table_of_dialects, list_of_parameters, table_of_prices, table_of_ends]
)
def test_the_guide_has_the_data_of_the_adapter(lines) -> None:
    expected = "\n".join(lines())

    assert f"\n{expected}\n" in GUIDE.read_text("utf-8"), expected


def test_the_guide_has_a_config_for_each_dialect() -> None:
    text = GUIDE.read_text("utf-8")

    assert [name for name in load_table() if f"dialect: {name}" not in text] == [
        "openai"
    ]
