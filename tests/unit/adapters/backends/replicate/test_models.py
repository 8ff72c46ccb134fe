"""The table of well-known models is one that can be worked with."""

import pytest

from imagen.adapters.backends.replicate.models import known_models
from imagen.adapters.remote.models.inputs import (
    AttachedImages,
    ModelInputs,
    build_model_inputs,
    mask_is_inverted,
)
from imagen.domain.job import ImageJob
from imagen.domain.size import Size


def of(name: str) -> ModelInputs:
    known = known_models().get(name)
    assert known is not None
    return build_model_inputs(known.fields, pixels=known.pixels)


@pytest.mark.parametrize("name", known_models())
def test_every_model_takes_all_that_it_says_it_does(name: str) -> None:
    inputs = of(name)
    can = inputs.capabilities(name, models=None)
    assert can.parameters is not None
    for size in (can.sizes.choices or (can.sizes.nearest(Size()),))[:100]:
        job = ImageJob(
            number=1,
            prompt="a cat",
            size=size,
            seed=can.largest_seed,
            steps=4 if can.steps else None,
            negative="fog" if can.negative else "",
            media_type=can.formats[-1] if can.formats else None,
            count=can.largest_batch,
            timeout=60,
        )
        pictures = ("https://example.com/1.png",) * can.references
        mask = "https://example.com/mask.png" if can.mask else None

        sent = inputs.build_payload(job, {}, AttachedImages(images=pictures, mask=mask))

        assert sent["prompt"] == "a cat"
        assert set(sent) <= set(inputs.fields)
    assert all(can.parameters.values()), can.parameters


@pytest.mark.parametrize("name", known_models())
def test_every_default_is_one_that_may_be_sent(name: str) -> None:
    for field in of(name).fields.values():
        if field.default is not None:
            assert field.convert(field.default) == field.default


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("black-forest-labs/flux-schnell", "1344x768"),
        ("black-forest-labs/flux-dev", "672x384"),
        ("black-forest-labs/flux-1.1-pro", "1440x800"),
        ("black-forest-labs/flux-kontext-pro", "1392x752"),
        ("black-forest-labs/flux-2-pro", "1920x1088"),
        ("google/imagen-4", "1408x768"),
        ("google/nano-banana-pro", "2752x1536"),
        ("google/nano-banana-pro", "5504x3072"),
        ("bytedance/seedream-4.5", "2848x1600"),
        ("openai/gpt-image-1.5", "1536x1024"),
        ("qwen/qwen-image", "1664x928"),
        ("recraft-ai/recraft-v4", "1536x768"),
        ("stability-ai/sdxl", "1024x768"),
    ],
)
def test_knows_sizes_that_are_published(name: str, size: str) -> None:
    assert of(name).capabilities(name, models=None).sizes.allows(Size.parse(size))


@pytest.mark.parametrize(
    ("name", "asked", "nearest"),
    [
        ("black-forest-labs/flux-schnell", "1536x768", "1344x768"),
        ("black-forest-labs/flux-schnell", "512x288", "672x384"),
        ("black-forest-labs/flux-2-klein-4b", "512x288", "672x384"),
        ("google/nano-banana-pro", "1920x1080", "1376x768"),
        ("ideogram-ai/ideogram-v3-turbo", "1536x768", "1408x704"),
    ],
)
def test_comes_as_near_as_the_model_lets_it(
    name: str, asked: str, nearest: str
) -> None:
    rule = of(name).capabilities(name, models=None).sizes

    assert str(rule.nearest(Size.parse(asked))) == nearest


def test_some_take_no_seed() -> None:
    without = {name for name in known_models() if of(name).seed is None}

    assert without == {
        "bytedance/seedream-4",
        "bytedance/seedream-4.5",
        "bytedance/seedream-5-lite",
        "google/imagen-4",
        "google/imagen-4-fast",
        "google/imagen-4-ultra",
        "google/nano-banana-2",
        "google/nano-banana-pro",
        "openai/gpt-image-1.5",
        "recraft-ai/recraft-v3",
        "recraft-ai/recraft-v4",
    }


def test_masks_are_painted_where_each_model_paints() -> None:
    painted = {
        name: mask_is_inverted(mask)
        for name in known_models()
        if (mask := of(name).mask)
    }

    assert painted.pop("stability-ai/sdxl") is False
    assert set(painted.values()) == {True}
