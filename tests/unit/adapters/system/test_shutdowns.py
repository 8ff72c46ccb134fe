"""The table of models that end."""

from datetime import date

import pytest

from imagen.adapters.system.shutdowns import load_shutdowns, look_up_shutdown


def test_every_row_has_a_source_and_a_date_and_a_successor_that_lasts_longer() -> None:
    for row in load_shutdowns():
        assert row.source
        assert row.successor
        assert date.fromisoformat(row.as_of) <= date(2027, 1, 1)
        later = look_up_shutdown(row.provider, row.successor)
        assert later is None or later.day > row.day


@pytest.mark.parametrize(
    ("provider", "model", "day"),
    [
        ("openai", "gpt-image-1.5", date(2026, 12, 1)),
        ("azure", "gpt-image-1.5", date(2026, 12, 16)),
        ("openai", "dall-e-3", date(2026, 5, 12)),
        ("openai", "gpt-image-2.6-flare", None),
        ("replicate", "gpt-image-1.5", None),
    ],
)
def test_a_model_is_found_by_its_provider_and_name(
    provider: str, model: str, day: date | None
) -> None:
    found = look_up_shutdown(provider, model)

    assert (found and found.day) == day


def test_the_end_of_a_model_is_described_with_its_successor() -> None:
    found = look_up_shutdown("openai", "gpt-image-1.5")

    assert found is not None
    assert found.describe("gpt-image-1.5", today=date(2026, 11, 30)) == (
        "gpt-image-1.5 will be shut down on 2026-12-01; use gpt-image-2.6-sunburst."
    )
    assert "was shut down on" in found.describe("m", today=date(2026, 12, 1))
