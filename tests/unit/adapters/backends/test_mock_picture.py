from itertools import combinations

import pytest

from imagen.adapters.backends.mock.painter import encode_png, paint, to_legible
from imagen.formats.container import read_facts


def painted(**wishes: object) -> bytes:
    usual: dict[str, object] = {
        "prompt": "a cat in a fishbowl",
        "negative": "",
        "seed": 42,
        "width": 96,
        "height": 64,
        "steps": 20,
    }
    return encode_png(paint(**{**usual, **wishes}))  # type: ignore[arg-type]


def pixels(**wishes: object) -> bytes:
    from io import BytesIO

    from PIL import Image

    with Image.open(BytesIO(painted(**wishes))) as picture:
        return picture.tobytes()


def test_the_same_wishes_give_the_same_bytes() -> None:
    assert painted() == painted()


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a dog in a fishbowl"},
        {"negative": "water"},
        {"seed": 43},
        {"seed": 2**64 - 1},
        {"steps": 21},
    ],
)
@pytest.mark.parametrize("size", [(96, 64), (16, 16), (256, 200)])
def test_any_other_wish_gives_other_pixels(
    change: dict[str, object], size: tuple[int, int]
) -> None:
    width, height = size

    usual = pixels(width=width, height=height)

    assert pixels(width=width, height=height, **change) != usual


def test_no_number_of_steps_looks_like_another() -> None:
    steps = [1, 2, 3, 20, 49, 50, 51, 52, 1000]

    different = {pixels(steps=number) for number in steps}

    assert len(different) == len(steps)


def test_the_border_between_prompt_and_negative_matters() -> None:
    assert pixels(prompt="a cat", negative="dog") != pixels(
        prompt="a", negative="cat dog"
    )


@pytest.mark.parametrize(
    "size", [(16, 16), (17, 31), (160, 160), (4096, 16), (16, 4096), (999, 161)]
)
def test_has_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    facts = read_facts(painted(width=size[0], height=size[1]))

    assert (facts.width, facts.height) == size


@pytest.mark.parametrize(
    "prompt",
    [
        "北京の夜 🌃 café",
        "שלום עולם",
        "x" * 100_000,
        "word " * 20_000,
        "one\ntwo\tthree\r\n\x07",
        "\ud800 half a letter",
        "e\u0301\u0302" * 50,
        "   ",
        "%s {prompt} <b> \\",
    ],
)
def test_paints_a_prompt_in_any_script(prompt: str) -> None:
    facts = read_facts(painted(prompt=prompt, width=300, height=200))

    assert facts.media_type == "image/png"


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("a cat", "a cat"),
        ("Ünïcödé “quotes” ½ €5", "Unicode “quotes” 1/2 EUR 5"),
        ("北京の夜 🌃 café", "··· cafe"),
        ("one\ttwo\x07three", "one two three"),
        ("\u202eleft\u202c", "left"),
        ("北京の夜", "a prompt in letters this font lacks"),
        (" \n", "no prompt"),
    ],
)
def test_the_caption_spells_a_prompt_with_the_letters_there_are(
    prompt: str, caption: str
) -> None:
    assert to_legible(prompt) == caption


def test_seeds_look_different_at_a_glance() -> None:
    from PIL import Image, ImageChops, ImageStat

    pictures = [
        paint(prompt="a", negative="", seed=seed, width=64, height=64, steps=20)
        for seed in range(8)
    ]

    def distance(one: Image.Image, other: Image.Image) -> float:
        return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean)

    assert min(distance(*pair) for pair in combinations(pictures, 2)) > 10
