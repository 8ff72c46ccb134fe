"""The requests and responses of each dialect, written out from its documentation."""

from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from imagen.testing.fakes import tiny_png

PICTURE = tiny_png(64, 64)
B64 = b64encode(PICTURE).decode()
DATA = {"data": [{"b64_json": B64}]}
TOKENS = {
    "input_tokens": 660,
    "input_tokens_details": {"text_tokens": 20, "image_tokens": 640},
    "output_tokens": 439,
}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One dialect.

    Attributes:
        sends: The JSON body of a generation.
        headers: Headers that it must have.
        answer: The body of the response; None for one image as Base64.
        costs: The cost in micro-dollars that the response states.
        tokens: The tokens that it states.
        edits: The JSON body of an edit; None for a form.
    """

    model: str = "m"
    path: str = "/v1/images/generations"
    sends: Mapping[str, object]
    headers: Mapping[str, str] = MappingProxyType({"authorization": "Bearer key-7f3a"})
    answer: object = None
    answer_headers: Mapping[str, str] = {}
    costs: int | None = None
    tokens: Mapping[str, int] | None = None
    edit_path: str = ""
    edits: Mapping[str, object] | None = None
    files: tuple[str, ...] = ()


REFERENCE = tiny_png(64, 64, (1, 2, 3))
REF_B64 = b64encode(REFERENCE).decode()
REF_URI = f"data:image/png;base64,{REF_B64}"
OPENAI = {"model": "m", "prompt": "a fox", "n": 1, "size": "1024x1024"}
PNG = {"output_format": "png"}
AS_B64 = {"response_format": "b64_json"}
EDITS = "/v1/images/edits"

CASES = {
    "openai": Case(
        sends={**OPENAI, **PNG},
        answer={**DATA, "usage": TOKENS, "quality": "high"},
        tokens={"input_text": 20, "input_image": 640, "output_image": 439},
        edit_path=EDITS,
        files=("image[]", "mask"),
    ),
    "azure": Case(
        path="/v1/images/generations?api-version=v1",
        headers={"api-key": "key-7f3a"},
        sends={**OPENAI, **PNG},
        answer={**DATA, "usage": TOKENS},
        tokens={"input_text": 20, "input_image": 640, "output_image": 439},
        edit_path=f"{EDITS}?api-version=v1",
        files=("image[]", "mask"),
    ),
    "xai": Case(
        sends={
            "model": "m",
            "prompt": "a fox",
            "n": 1,
            **AS_B64,
            "aspect_ratio": "1:1",
            "resolution": "1k",
        },
        answer={**DATA, "usage": {"cost_in_usd_ticks": 600_000_001}},
        costs=60_001,
        edit_path=EDITS,
        edits={"image": {"url": REF_URI, "type": "image_url"}},
    ),
    "together": Case(
        model="black-forest-labs/FLUX.2-dev",
        sends={
            "model": "black-forest-labs/FLUX.2-dev",
            "prompt": "a fox",
            "n": 1,
            "width": 1024,
            "height": 1024,
            "seed": 7,
            "steps": 8,
            "negative_prompt": "blur",
            "response_format": "base64",
            **PNG,
        },
        edit_path="/v1/images/generations",
        edits={"reference_images": [REF_URI]},
    ),
    "deepinfra": Case(sends=OPENAI, edit_path=EDITS, files=("image", "mask")),
    "ark": Case(
        sends={
            "model": "m",
            "prompt": "a fox",
            "size": "2048x2048",
            **AS_B64,
            "watermark": False,
        },
        edit_path="/v1/images/generations",
        edits={"image": [REF_URI]},
    ),
    "recraft": Case(
        sends={
            "model": "m",
            "prompt": "a fox",
            "n": 1,
            "size": "1:1",
            "random_seed": 7,
            "image_format": "png",
            **AS_B64,
        },
        answer={**DATA, "credits": 40},
        costs=40_000,
    ),
    "venice": Case(
        sends={"model": "m", "prompt": "a fox", "size": "1024x1024", **PNG, **AS_B64}
    ),
    "fireworks": Case(
        path="/v1/workflows/accounts/fireworks/models/m/text_to_image",
        headers={"authorization": "Bearer key-7f3a", "accept": "image/png"},
        sends={
            "prompt": "a fox",
            "aspect_ratio": "1:1",
            "seed": 7,
            "num_inference_steps": 8,
        },
        answer=PICTURE,
    ),
    "litellm": Case(
        sends=OPENAI,
        answer_headers={"x-litellm-response-cost": "0.0401", "x-litellm-call-id": "7b"},
        costs=40_100,
        edit_path=EDITS,
        files=("image[]", "mask"),
    ),
    "localai": Case(
        sends={
            **OPENAI,
            "prompt": "a fox|blur",
            "seed": 7,
            "step": 8,
            **AS_B64,
        },
        edit_path="/v1/images/generations",
        edits={"ref_images": [REF_B64]},
    ),
    "vllm-omni": Case(
        sends={
            **OPENAI,
            "seed": 7,
            "num_inference_steps": 8,
            "negative_prompt": "blur",
            **PNG,
            **AS_B64,
        },
        edit_path=EDITS,
        files=("image[]",),
    ),
    "sglang": Case(
        sends={
            **OPENAI,
            "seed": 7,
            "num_inference_steps": 8,
            "negative_prompt": "blur",
            **PNG,
            **AS_B64,
        },
        answer={"data": [{"url": "/v1/images/r-2/content"}]},
        edit_path=EDITS,
        files=("image[]",),
    ),
    "sd-server": Case(
        headers={},
        sends={
            "n": 1,
            "size": "1024x1024",
            **PNG,
            "prompt": 'a fox <sd_cpp_extra_args>{"seed":7,"sample_params":'
            '{"sample_steps":8},"negative_prompt":"blur"}</sd_cpp_extra_args>',
        },
        edit_path=EDITS,
        files=("image[]", "mask"),
    ),
    "lemonade": Case(
        sends={
            "model": "m",
            "prompt": "a fox",
            "size": "1024x1024",
            **AS_B64,
            "seed": 7,
            "steps": 8,
        },
        edit_path=EDITS,
        files=("image", "mask"),
    ),
    "imagen": Case(
        sends={
            "model": "m",
            "prompt": "a fox",
            "size": "1024x1024",
            **AS_B64,
            "seed": 7,
            "num_inference_steps": 8,
            "negative_prompt": "blur",
        },
        answer={"data": [{"b64_json": B64, "seed": 7}], "cost_usd": 0.04},
        costs=40_000,
        edit_path=EDITS,
        files=("image[]", "mask"),
    ),
}
