"""The table in docs/gemini.md has what the tables of the program have."""

from pathlib import Path

from imagen.adapters.backends.gemini.models import MODELS, PROVIDER
from imagen.adapters.system.prices import look_up_price
from imagen.adapters.system.shutdowns import look_up_shutdown
from imagen.domain.money.cost import format_micros, format_usd
from imagen.domain.money.price import MILLION, estimate_cost

PAGE = Path(__file__).parents[4] / "docs/gemini.md"


def row(model: str) -> str:
    facts, ended = MODELS[model], look_up_shutdown(PROVIDER, model)
    costs: list[str] = []
    for image_size in facts.image_sizes:
        price = look_up_price(PROVIDER, model, {"image_size": image_size})
        assert price is not None
        micros = estimate_cost(price, images=1, megapixels=1).micros
        assert micros is not None
        costs.append(f"{image_size} {format_micros(micros)}")
    rates = {rate.kind: format_usd(rate.usd * MILLION) for rate in price.rates}
    assert rates["input_text"] == rates["input_image"]
    cells = (
        f"`{model}`" + (f", ends {ended.day}" if ended else ""),
        ", ".join(facts.image_sizes),
        str(len(facts.ratios)),
        str(facts.references),
        ", ".join(costs),
        ", ".join(
            rates[kind] for kind in ("input_text", "output_text", "output_image")
        ),
    )
    return f"| {' | '.join(cells)} |"


def test_the_page_has_a_row_for_each_model() -> None:
    lines = PAGE.read_text("utf-8").splitlines()

    assert [row(model) for model in MODELS if row(model) not in lines] == []
