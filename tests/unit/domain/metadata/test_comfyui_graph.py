import pytest

from imagen.domain.metadata.comfyui_graph import read_graph
from imagen.domain.metadata.embedded import Recipe
from imagen.domain.size import Size

FLUX = {
    "sampler": (
        "SamplerCustomAdvanced",
        {
            "noise": ["noise", 0],
            "guider": ["guider", 0],
            "sampler": ["select", 0],
            "sigmas": ["schedule", 0],
            "latent_image": ["empty", 0],
        },
    ),
    "noise": ("RandomNoise", {"noise_seed": 5}),
    "guider": ("BasicGuider", {"model": ["unet", 0], "conditioning": ["flux", 0]}),
    "flux": ("FluxGuidance", {"guidance": 3.5, "conditioning": ["words", 0]}),
    "words": ("CLIPTextEncode", {"text": ["string", 0], "clip": ["clip", 0]}),
    "string": ("PrimitiveString", {"value": "a fox"}),
    "clip": ("DualCLIPLoader", {"clip_name1": "t5.safetensors"}),
    "unet": ("UNETLoader", {"unet_name": "flux.safetensors"}),
    "select": ("KSamplerSelect", {"sampler_name": "euler"}),
    "schedule": ("BasicScheduler", {"scheduler": "simple", "steps": 4, "denoise": 1}),
    "empty": ("EmptySD3LatentImage", {"width": ["side", 0], "height": 768}),
    "side": ("PrimitiveInt", {"value": 1024}),
}
BASE = {
    "noise_seed": 5,
    "steps": 25,
    "cfg": 8,
    "positive": ["words", 0],
    "negative": ["others", 0],
    "latent_image": ["empty", 0],
    "model": ["model", 0],
}
REFINED = {
    "refiner": (
        "KSamplerAdvanced",
        {**BASE, "noise_seed": 0, "steps": 5, "latent_image": ["base", 0]},
    ),
    "base": ("KSamplerAdvanced", BASE),
    "words": ("CLIPTextEncodeSDXL", {"text_g": "a fox", "text_l": "fox"}),
    "others": ("CLIPTextEncode", {"text": "dogs"}),
    "empty": ("EmptyLatentImage", {"width": 512, "height": 512}),
    "model": ("CheckpointLoaderSimple", {"ckpt_name": "sdxl.safetensors"}),
}


def read(nodes: dict[str, tuple[str, dict[str, object]]]) -> Recipe | None:
    return read_graph(
        {
            name: {"class_type": kind, "inputs": inputs}
            for name, (kind, inputs) in nodes.items()
        }
    )


def test_follows_a_custom_sampler() -> None:
    assert read(FLUX) == Recipe(
        tool="ComfyUI",
        prompt="a fox",
        seed=5,
        steps=4,
        size=Size(1024, 768),
        model="flux.safetensors",
        guidance=3.5,
        sampler="euler",
        parameters={"scheduler": "simple", "denoise": 1},
    )


def test_takes_the_sampler_that_no_other_feeds() -> None:
    recipe = read(REFINED)

    assert recipe is not None
    assert (recipe.seed, recipe.steps) == (5, 25)
    assert (recipe.prompt, recipe.negative) == ("a fox", "dogs")
    assert recipe.size == Size(512, 512)


def test_what_is_zeroed_out_says_nothing() -> None:
    zeroed = {
        **REFINED,
        "others": ("ConditioningZeroOut", {"conditioning": ["words", 0]}),
    }

    recipe = read(zeroed)

    assert recipe is not None
    assert (recipe.prompt, recipe.negative) == ("a fox", None)


def test_what_passes_both_on_keeps_them_apart() -> None:
    both = {"positive": ["one", 0], "negative": ["two", 0], "image": ["picture", 0]}
    controlled = {
        **REFINED,
        "words": ("ControlNetApplyAdvanced", both),
        "others": ("ControlNetApplyAdvanced", both),
        "one": ("CLIPTextEncode", {"text": "a fox"}),
        "two": ("CLIPTextEncode", {"text": "dogs"}),
        "picture": ("LoadImage", {"image": "a.png", "text": "no words"}),
    }

    recipe = read(controlled)

    assert recipe is not None
    assert (recipe.prompt, recipe.negative) == ("a fox", "dogs")


def test_one_text_without_a_sampler_is_the_prompt() -> None:
    assert read({"a": ("ImageAPI", {"prompt": "a fox"})}) == Recipe(
        tool="ComfyUI", prompt="a fox"
    )
    assert read({"a": ("X", {"prompt": "one"}), "b": ("X", {"text": "two"})}) == Recipe(
        tool="ComfyUI"
    )


@pytest.mark.parametrize("link", ["sampler", "nowhere", "a"])
def test_links_may_lead_in_a_circle_or_nowhere(link: str) -> None:
    inputs: dict[str, object] = {
        name: [link, 0]
        for name in ("positive", "negative", "model", "latent_image", "seed", "value")
    }

    assert read({"sampler": ("K", inputs), "a": ("X", inputs)}) == Recipe(
        tool="ComfyUI"
    )


@pytest.mark.parametrize("graph", [{}, {"a": 1}, {"a": {"class_type": 1}}])
def test_what_has_no_nodes_is_no_graph(graph: dict[str, object]) -> None:
    assert read_graph(graph) is None


def test_a_node_without_inputs_is_one() -> None:
    assert read_graph({"a": {"class_type": "X", "inputs": []}}) == Recipe(
        tool="ComfyUI"
    )
