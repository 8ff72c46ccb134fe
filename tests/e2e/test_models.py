"""The commands `imagen models` and `imagen styles`."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Ask, assert_one_sentence

CONFIG = r"""
default_backend: flux
backends:
  flux: {adapter: replicate, model: black-forest-labs/flux-schnell}
  google: {adapter: gemini, model: gemini-3.1-flash-image}
  gone: {adapter: comfyui, workflow: gone.json}
styles:
  ink:
    {prompt: "{prompt}, ink on \x1b paper", set: {guidance: 3.5}, seed: 7,
     images: [/x/palette.png]}
"""


@pytest.fixture
def asked(ask: Ask, here: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Ask with a config whose models are known without a network."""
    (here / "c.yaml").write_text(CONFIG)
    monkeypatch.setenv("IMAGEN_CONFIG", "c.yaml")
    return ask


def test_the_models_have_a_price_abilities_and_an_end(asked: Ask) -> None:
    run = asked("models")

    assert run.code == 0
    assert max(map(len, run.lines)) <= 80
    at = run.lines.index("flux (replicate)")
    assert run.lines[at + 1] == ("  * black-forest-labs/flux-schnell: $0.003 an image")
    assert run.lines[at + 2].startswith("      seed, ")
    assert run.lines[at + 3] == "    any other model by its name: --model NAME"
    at = run.lines.index(
        "  * gemini-3.1-flash-image: about $0.04482 to $0.1512 an image, by tokens"
    )
    assert run.lines[at + 2] == (
        "      ENDED on 2026-10-29; use gemini-nano-banana-2.1"
    )
    assert run.lines[-2:] == ["  * mock: free", "      seed, steps, negative prompt"]
    assert_one_sentence(run.err, "gone: Unknown workflow gone.json")


def test_the_models_of_one_backend_are_an_object(asked: Ask) -> None:
    run = asked("models", "mock", "--json")

    assert (run.code, run.err) == (0, "")
    assert run.objects == [
        {
            "backend": "mock",
            "adapter": "mock",
            "models": [
                {
                    "model": "mock",
                    "default": True,
                    "may_cost": False,
                    "price": "",
                    "abilities": ["seed", "steps", "negative prompt"],
                    "shutdown": None,
                    "successor": "",
                }
            ],
            "any_model": False,
            "problem": "",
        }
    ]


def test_an_unknown_backend_has_no_models(asked: Ask) -> None:
    run = asked("models", "frob")

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, "Unknown backend 'frob'.")


def test_generate_warns_of_a_model_that_ends(asked: Ask) -> None:
    run = asked("generate", "a fox", "--backend", "google", "--estimate")

    assert run.code == 0
    end = "gemini-3.1-flash-image was shut down on 2026-10-29; use"
    assert f"notes: {end} gemini-nano-banana-2.1" in run.lines


def test_the_styles_are_those_of_the_config_and_the_built_in_ones(asked: Ask) -> None:
    run = asked("styles")

    assert (run.code, run.err) == (0, "")
    assert max(map(len, run.lines)) <= 80
    assert run.lines[:3] == [
        "ink: seed 7, 1 reference image, guidance 3.5",
        "    {prompt}, ink on \\x1b paper",
        "blog-header: size 1536x768, built in",
    ]
    assert "    without: text, watermark" in run.lines


def test_each_style_is_an_object(asked: Ask) -> None:
    ink, header, *_ = asked("styles", "--json").objects

    assert ink == {
        "name": "ink",
        "prompt": "{prompt}, ink on \x1b paper",
        "negative": "",
        "size": None,
        "steps": 0,
        "seed": 7,
        "options": {"guidance": 3.5},
        "images": ["/x/palette.png"],
        "built_in": False,
    }
    assert (header["size"], header["built_in"]) == ("1536x768", True)
