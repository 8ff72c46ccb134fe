"""One job, and what it becomes for models of all kinds."""

from typing import Any

import msgspec
import pytest

from imagen.adapters.remote.models.inputs import (
    AttachedImages,
    ModelInputs,
    build_model_inputs,
    mask_is_inverted,
)
from imagen.adapters.remote.models.schema import Field, read_fields
from imagen.domain.errors import InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.size import Size

JOB = ImageJob(number=1, prompt="a cat", size=Size(1024, 1024), seed=7, timeout=60)

PROMPT = {"prompt": {"type": "string"}}
RATIOS = {"aspect_ratio": {"type": "string", "enum": ["1:1", "16:9", "9:16"]}}
WHOLE = {"type": "integer"}
TEXT = {"type": "string"}
SIDES = {
    "width": {"type": "integer", "minimum": 256, "maximum": 1440},
    "height": {"type": "integer", "minimum": 256, "maximum": 1440},
}


def choice(*words: object, default: object = None) -> dict[str, object]:
    return {"type": "string", "enum": list(words), "default": default}


def model(own: dict[str, object] | None = None, **properties: Any) -> ModelInputs:
    ordered = {
        name: {**said, "x-order": order}
        for order, (name, said) in enumerate({**PROMPT, **properties}.items())
    }
    schema = {"components": {"schemas": {"Input": {"properties": ordered}}}}
    return build_model_inputs(read_fields(schema), configured=own)


def sent(
    inputs: ModelInputs,
    own: dict[str, object] | None = None,
    attached: AttachedImages | None = None,
    **changes: Any,
) -> dict[str, object]:
    job = msgspec.structs.replace(JOB, **changes)
    rest = inputs.build_payload(job, own or {}, attached or AttachedImages())
    rest.pop("prompt")
    return rest


# Sizes, in all the ways that there are


@pytest.mark.parametrize(
    ("properties", "asked", "expected"),
    [
        (SIDES, Size(1280, 720), {"width": 1280, "height": 720}),
        (SIDES, Size(1283, 721), {"width": 1280, "height": 720}),
        (SIDES, Size(4096, 4096), {"width": 1440, "height": 1440}),
        (
            {**SIDES, "aspect_ratio": choice("1:1", "custom")},
            Size(512, 768),
            {"aspect_ratio": "custom", "width": 512, "height": 768},
        ),
        (
            {**SIDES, "size": choice("1K", "2K", "custom")},
            Size(512, 768),
            {"size": "custom", "width": 512, "height": 768},
        ),
        (
            {"width": choice(512, 768), "height": choice(512, 768)},
            Size(800, 500),
            {"width": 768, "height": 512},
        ),
        (RATIOS, Size(1920, 1080), {"aspect_ratio": "16:9"}),
        (RATIOS, Size(1000, 1010), {"aspect_ratio": "1:1"}),
        (
            {**RATIOS, "megapixels": choice("1", "0.25")},
            Size(640, 360),
            {"aspect_ratio": "16:9", "megapixels": "0.25"},
        ),
        (
            {**RATIOS, "resolution": choice("match_input_image", "1 MP", "4 MP")},
            Size(2048, 2048),
            {"aspect_ratio": "1:1", "resolution": "4 MP"},
        ),
        (
            {**RATIOS, "resolution": choice("1K", "2K", "4K")},
            Size(2300, 2300),
            {"aspect_ratio": "1:1", "resolution": "2K"},
        ),
        (
            {**RATIOS, "resolution": choice("512", "1024")},
            Size(500, 500),
            {"aspect_ratio": "1:1", "resolution": "512"},
        ),
        (
            {"size": choice("1024x1024", "1536x768"), **RATIOS},
            Size(1500, 800),
            {"size": "1536x768"},
        ),
        (
            {"size": choice("1K", "2K", "1024*1024", "1280*720")},
            Size(1280, 720),
            {"size": "1280*720"},
        ),
        (
            {"resolution": choice("None", "832x1216")},
            JOB.size,
            {"resolution": "832x1216"},
        ),
        ({}, Size(512, 512), {}),
        ({"aspect_ratio": choice("wide", "tall")}, Size(512, 512), {}),
        ({"aspect_ratio": choice("0:1", "1:0")}, Size(512, 512), {}),
    ],
    ids=str,
)
def test_asks_for_the_size_in_the_models_words(
    properties: dict[str, Any], asked: Size, expected: dict[str, object]
) -> None:
    assert sent(model(**properties), size=asked) == expected


def test_takes_the_grid_from_the_models_words() -> None:
    note = {"description": "Only with custom. Must be a multiple of 32."}
    sides = {name: {**said, **note} for name, said in SIDES.items()}

    rule = model(**sides).capabilities("m", models=None).sizes

    assert (rule.multiple, rule.smallest, rule.largest) == (32, 256, 1440)


def test_sends_the_sides_in_an_object() -> None:
    note = "The width and height must be between 512 and 2048 pixels."
    size = {"type": "object", "properties": SIDES, "description": note}
    inputs = model(image_size={**size, "enum": ["square", "wide"]})

    rule = inputs.capabilities("m", models=None).sizes

    assert (rule.smallest, rule.largest) == (512, 2048)
    sides = {"width": 1280, "height": 720}
    assert sent(inputs, size=Size(1280, 720)) == {"image_size": sides}
    assert sent(inputs, options={"image_size": "wide"}) == {"image_size": "wide"}
    assert sent(inputs, options={"image_size": sides}) == {"image_size": sides}


@pytest.mark.parametrize(
    ("words", "size"),
    [(("1k", "1.5k"), Size(1536, 1536)), (("768sq",), Size(768, 768))],
)
def test_knows_the_scales_of_newer_models(words: tuple[str, ...], size: Size) -> None:
    inputs = model(**RATIOS, resolution=choice(*words))

    assert size in inputs.capabilities("m", models=None).sizes.choices


def test_says_which_sizes_there_are() -> None:
    inputs = model(**RATIOS, megapixels=choice("1", "0.25"))

    sizes = inputs.capabilities("m", models=None).sizes.choices

    assert Size(1344, 768) in sizes
    assert Size(672, 384) in sizes
    assert len(sizes) == 6


def test_of_a_model_without_a_choice_the_usual_size_is_expected() -> None:
    sizes = model().capabilities("m", models=None).sizes

    assert sizes.choices == (Size(1024, 1024),)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"aspect_ratio": "16:9"}, {"aspect_ratio": "16:9", "megapixels": "1"}),
        (
            {"aspect_ratio": "16:9", "megapixels": 0.25},
            {"aspect_ratio": "16:9", "megapixels": "0.25"},
        ),
        ({"aspect_ratio": "match"}, {"aspect_ratio": "match"}),
    ],
    ids=str,
)
def test_what_is_set_goes_before_the_size(
    options: dict[str, object], expected: dict[str, object]
) -> None:
    inputs = model(
        aspect_ratio=choice("1:1", "16:9", "match"), megapixels=choice("1", "0.25")
    )

    assert sent(inputs, options=options) == expected


def test_a_ratio_that_is_set_goes_before_width_and_height() -> None:
    inputs = model(**SIDES, aspect_ratio=choice("1:1", "16:9", "custom"))

    assert sent(inputs, options={"aspect_ratio": "16:9"}) == {"aspect_ratio": "16:9"}


# The other inputs, under their several names


@pytest.mark.parametrize(
    ("properties", "changes", "expected"),
    [
        ({"seed": WHOLE}, {}, {"seed": 7}),
        ({"random_seed": WHOLE}, {}, {"random_seed": 7}),
        ({"seed": WHOLE}, {"seed": None}, {}),
        ({"num_inference_steps": WHOLE}, {"steps": 9}, {"num_inference_steps": 9}),
        ({"steps": WHOLE}, {"steps": 9}, {"steps": 9}),
        ({"steps": WHOLE}, {}, {}),
        ({"steps": {**WHOLE, "description": "Deprecated"}}, {"steps": 9}, {}),
        ({"negative_prompt": TEXT}, {"negative": "x"}, {"negative_prompt": "x"}),
        ({"negative_prompt": TEXT}, {}, {}),
        ({"num_outputs": {**WHOLE, "default": 1}}, {"count": 1}, {}),
        ({"num_outputs": {**WHOLE, "default": 4}}, {"count": 1}, {"num_outputs": 1}),
        ({"number_of_images": WHOLE}, {"count": 3}, {"number_of_images": 3}),
        ({"max_images": WHOLE}, {"count": 3}, {"max_images": 3}),
        (
            {
                "max_images": WHOLE,
                "sequential_image_generation": choice("disabled", "auto"),
            },
            {"count": 1},
            {},
        ),
        ({"output_format": choice("webp", "png", default="webp")}, {}, {}),
        (
            {"output_format": choice("webp", "jpg", default="webp")},
            {"media_type": "image/jpeg"},
            {"output_format": "jpg"},
        ),
        (
            {"output_format": choice("png", "jpeg", default="png")},
            {"media_type": "image/jpeg"},
            {"output_format": "jpeg"},
        ),
        ({"output_format": choice("webp", "png")}, {}, {"output_format": "webp"}),
        (
            {"output_format": choice("gif", "png", default="gif")},
            {},
            {"output_format": "png"},
        ),
        ({"output_format": choice("svg", default="svg")}, {}, {}),
    ],
    ids=str,
)
def test_says_the_rest_in_the_models_words(
    properties: dict[str, Any], changes: dict[str, Any], expected: dict[str, object]
) -> None:
    assert sent(model(**properties), **changes) == expected


@pytest.mark.parametrize(
    ("name", "several"),
    [
        ("image", False),
        ("image_prompt", False),
        ("input_image", False),
        ("input_images", True),
        ("images", True),
        ("image_input", True),
    ],
)
def test_hands_pictures_over_under_their_name(name: str, several: bool) -> None:
    kind = {"type": "array"} if several else {"type": "string"}
    inputs = model(**{name: kind})
    pictures = ("a", "b") if several else ("a",)

    assert sent(inputs, attached=AttachedImages(images=pictures)) == {
        name: ["a", "b"] if several else "a"
    }


@pytest.mark.parametrize(
    ("said", "many"),
    [
        ({"type": "string"}, 1),
        ({"type": "array", "maxItems": 3}, 3),
        ({"type": "array", "description": "Maximum 8 images. JPEG or PNG."}, 8),
        ({"type": "array", "description": "(supports up to 14 images)"}, 14),
        ({"type": "array", "description": "List of 1-10 images for one"}, 10),
        ({"type": "array", "description": "up to 9 input images"}, 9),
        ({"type": "array"}, 8),
    ],
    ids=str,
)
def test_knows_how_many_pictures_there_may_be(said: dict[str, Any], many: int) -> None:
    assert model(images=said).capabilities("m", models=None).references == many


def test_a_model_that_needs_a_picture_says_so_before_it_costs() -> None:
    needed = Field(name="image", kind="text", required=True)
    inputs = build_model_inputs([Field(name="prompt"), needed])

    with pytest.raises(InvalidRequest, match="needs a reference image"):
        sent(inputs)


def test_a_model_without_a_prompt_is_told_before_it_costs() -> None:
    inputs = build_model_inputs([Field(name="image", kind="text")])

    with pytest.raises(InvalidRequest, match="takes no prompt"):
        inputs.build_payload(JOB, {}, AttachedImages())


@pytest.mark.parametrize(
    ("said", "largest"),
    [
        ({}, 2**32 - 1),
        ({"maximum": 65535}, 65535),
        ({"maximum": 9223372036854775807}, 2**53 - 1),
        ({"description": "Range: 0-2147483647"}, 2**31 - 1),
    ],
    ids=str,
)
def test_knows_the_largest_seed(said: dict[str, Any], largest: int) -> None:
    can = model(seed={"type": "integer", **said}).capabilities("m", models=None)

    assert can.largest_seed == largest


# What is the model's own


def test_offers_what_has_no_word_of_ours_and_no_secret() -> None:
    inputs = model(
        seed={"type": "integer"},
        aspect_ratio=choice("1:1", "16:9"),
        **SIDES,
        guidance={"type": "number", "description": "How closely to follow."},
        hf_api_token={"type": "string"},
        openai_api_key={"type": "string"},
        interval={"type": "number", "description": "Deprecated."},
    )

    assert inputs.unmapped == {
        "aspect_ratio": "1:1, 16:9",
        "guidance": "How closely to follow",
    }


@pytest.mark.parametrize("name", ["openai_api_key", "hf_token", "secret"])
def test_writes_no_secret_down(name: str) -> None:
    inputs = model(**{name: {"type": "string"}})

    with pytest.raises(InvalidRequest, match="secret") as refused:
        sent(inputs, options={name: "canary-1"})

    assert "canary-1" not in str(refused.value)


def test_a_name_that_there_is_not_is_refused_with_a_suggestion() -> None:
    inputs = model(guidance={"type": "number"})

    with pytest.raises(InvalidRequest, match="no input 'guidence'") as refused:
        sent(inputs, options={"guidence": 3})

    assert refused.value.hint == "Did you mean guidance?"


def test_the_config_stands_for_the_defaults_and_the_job_goes_before() -> None:
    own: dict[str, object] = {"output_format": "png", "steps": 8, "guidance": 2}
    inputs = model(
        own,
        output_format=choice("webp", "png", default="webp"),
        steps={"type": "integer"},
        guidance={"type": "number"},
    )

    assert inputs.formats == ("image/png", "image/webp")
    assert sent(inputs, own) == own
    assert sent(inputs, own, steps=4, options={"guidance": 5}) == {
        "output_format": "png",
        "steps": 4,
        "guidance": 5,
    }


def test_unknown_inputs_of_the_config_are_passed_on() -> None:
    assert sent(model(), {"brand_new": True}) == {"brand_new": True}


def test_a_model_of_which_nothing_is_known_gets_the_words_and_what_is_set() -> None:
    inputs = build_model_inputs([])

    assert sent(inputs, options={"anything": [1]}) == {"anything": [1]}
    assert inputs.capabilities("m", models=None).parameters is None


@pytest.mark.parametrize(
    ("note", "black"),
    [
        ("Black areas will be preserved, white areas will be inpainted.", False),
        ("Black pixels are inpainted, white pixels are preserved.", True),
        ("A mask.", False),
        ("", False),
    ],
)
def test_knows_which_part_of_a_mask_is_painted(note: str, black: bool) -> None:
    assert mask_is_inverted(Field(name="mask", note=note)) is black
