"""The table of well-known models, which saves a request for their description.

Input names, choices and limits are those of Replicate's own descriptions between
2025-12 and 2026-08. Pixels come from the vendors' documentation or the models' sources,
where either states them. If a model has changed since, Replicate answers with a 422,
which costs nothing, and its description is read.
"""

import re
from collections.abc import Mapping
from functools import cache, partial

import msgspec

from imagen.adapters.remote.models.inputs import ModelInputs, build_model_inputs
from imagen.adapters.remote.models.schema import Field, Kind
from imagen.adapters.remote.models.sizes import Pixels, parse_ratio_sizes
from imagen.domain.media import SVG

_OUTPUT_TYPES = {
    "svg": SVG,
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
}
_EXTENSION = re.compile(r"[^/:]/[^?#]*\.([A-Za-z0-9]{2,5})(?:[?#].*)?")
_VIDEO_INPUTS = {"fps", "frame_rate", "frames_per_second", "num_frames", "duration"}


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The description of one model.

    Attributes:
        fields: Its inputs; empty if they are unknown.
        pixels: The known sizes of its images, where its inputs do not state them.
        version: Its latest version; "" if unknown.
        official: Whether Replicate maintains it, so that it runs without naming a
            version; None if unknown.
        examples: URLs of the outputs of its example.
    """

    fields: tuple[Field, ...] = ()
    pixels: Pixels = {}
    version: str = ""
    official: bool | None = None
    examples: tuple[str, ...] = ()

    def build_inputs(self, configured: Mapping[str, object]) -> ModelInputs:
        """Return the inputs, with the config's values as their defaults."""
        return build_model_inputs(
            self.fields, pixels=self.pixels, configured=configured
        )

    def guess_output_type(self, name: str) -> str:
        """Return the media type of the outputs of the model `owner/name`.

        "" if it is one of common images, as far as the description tells.
        """
        for url in self.examples:
            # The name of the file, which a data URI does not have.
            if not url.startswith("data:") and (found := _EXTENSION.search(url)):
                return _OUTPUT_TYPES.get(found[1].lower(), "")
        if name.lower().endswith("-svg"):
            return SVG
        inputs = (field.name for field in self.fields)
        return "" if _VIDEO_INPUTS.isdisjoint(inputs) else "video/mp4"


def _model(
    *fields: Field, official: bool = True, pixels: Mapping[str, str] | None = None
) -> Model:
    sizes = {scale: parse_ratio_sizes(text) for scale, text in (pixels or {}).items()}
    return Model(fields=fields, pixels=sizes, official=official)


def _choice(name: str, words: str, default: str | None = None, note: str = "") -> Field:
    return Field(
        name=name,
        kind="text",
        choices=tuple(word.strip() for word in words.split(",")),
        default=default,
        note=note,
    )


def _ratio(words: str, default: str | None = "1:1") -> Field:
    return _choice("aspect_ratio", words.replace(" ", ","), default)


def _number(  # noqa: PLR0917 - keeps the table narrow
    name: str,
    low: float | None = None,
    high: float | None = None,
    default: float | None = None,
    note: str = "",
    kind: Kind = "number",
) -> Field:
    return Field(
        name=name, kind=kind, lowest=low, highest=high, default=default, note=note
    )


_whole = partial(_number, kind="whole")


def _flag(name: str, note: str, *, default: bool = False) -> Field:
    return Field(name=name, kind="flag", default=default, note=note)


def _text(name: str, note: str, default: str | None = None) -> Field:
    return Field(name=name, kind="text", default=default, note=note)


def _picture(name: str) -> Field:
    return Field(name=name, kind="text", note="a reference image")


def _pictures(name: str, largest: int) -> Field:
    return Field(name=name, kind="list", max_items=largest, note="reference images")


def _mask(note: str) -> Field:
    return Field(name="mask", kind="text", note=note)


def _sides(
    multiple: int,
    low: int | None = None,
    high: int | None = None,
    default: int | None = None,
) -> tuple[Field, Field]:
    side = _whole("width", low, high, default, f"a multiple of {multiple}")
    return side, msgspec.structs.replace(side, name="height")


_PROMPT = Field(name="prompt", kind="text", required=True)
_NEGATIVE = _text("negative_prompt", "what the image must not show")
_SEED = _whole("seed")
_SMALL_SEED = _whole("seed", high=2**31 - 1)
_WEBP = _choice("output_format", "webp,jpg,png", "webp")
_WEBP_OR_JPG = _choice("output_format", "webp,jpg,png", "jpg")
_JPG = _choice("output_format", "jpg,png", "jpg")
_PNG = _choice("output_format", "jpg,png", "png")
_QUALITY = _whole("output_quality", 0, 100, 80, "of WebP and JPEG")
_OUTPUTS = _whole("num_outputs", 1, 4, 1)
_FOLLOW = "how closely to follow the prompt"
_FORGET = "at 1 the reference image has no effect"
_UNSAFE = _flag("disable_safety_checker", "do not withhold unsafe images")
_FAST = _flag("go_fast", "faster; a seed gives similar images", default=True)
_STRENGTH = _number("prompt_strength", 0, 1, 0.8, _FORGET)
_UPSAMPLING = _flag("prompt_upsampling", "expand the prompt")
_MATCH = "match_input_image"

_F11 = "1:1 16:9 21:9 3:2 2:3 4:5 5:4 3:4 4:3 9:16 9:21"
_P9 = "1:1 16:9 3:2 2:3 4:5 5:4 9:16 3:4 4:3"
_SD35 = "16:9 1:1 21:9 2:3 3:2 4:5 5:4 9:16 9:21"
_SCHEDULERS = "DDIM,DPMSolverMultistep,HeunDiscrete,KarrasDPM,K_EULER_ANCESTRAL,K_EULER"


def _steps(largest: int, default: int, name: str = "num_inference_steps") -> Field:
    return _whole(name, 1, largest, default)


def _tolerance(low: int, high: int) -> Field:
    return _whole("safety_tolerance", low, high, 2, f"{low} is the strictest")


def _flux_1(steps: Field, *more: Field) -> Model:
    size = _ratio(_F11), _choice("megapixels", "1,0.25", "1")
    return _model(
        *(_PROMPT, *size, _SEED, _OUTPUTS, steps, *more),
        *(_WEBP, _QUALITY, _FAST, _UNSAFE),
    )


def _flux_2(*more: Field, pictures: int) -> Model:
    size = (
        _ratio(f"{_MATCH} custom {_P9}"),
        _choice("resolution", f"{_MATCH},0.5 MP,1 MP,2 MP,4 MP", "1 MP"),
        *_sides(16, 256, 2048),
    )
    return _model(
        *(_PROMPT, *size, _SEED, _pictures("input_images", pictures), *more),
        *(_tolerance(1, 5), _WEBP, _QUALITY),
    )


def _kontext() -> Model:
    ratios = "1:1 16:9 9:16 4:3 3:4 3:2 2:3 4:5 5:4 21:9 9:21 2:1 1:2"
    return _model(
        *(_PROMPT, _ratio(f"{_MATCH} {ratios}", _MATCH), _picture("input_image")),
        *(_SEED, _tolerance(0, 6), _UPSAMPLING, _PNG),
        pixels={
            "": (
                "1:1 1024x1024, 16:9 1392x752, 9:16 752x1392, 4:3 1184x880,"
                " 3:4 880x1184, 3:2 1248x832, 2:3 832x1248, 21:9 1568x672,"
                " 9:21 672x1568, 2:1 1456x720, 1:2 720x1456"
            )
        },
    )


def _sd35(guidance: float) -> Model:
    return _model(
        *(_PROMPT, _ratio(_SD35), _SEED, _NEGATIVE, _picture("image"), _STRENGTH),
        *(_number("cfg", 1, 10, guidance, _FOLLOW), _WEBP),
    )


def _imagen() -> Model:
    levels = "block_low_and_above,block_medium_and_above,block_only_high"
    return _model(
        *(_PROMPT, _ratio("1:1 9:16 16:9 3:4 4:3"), _JPG),
        _choice("safety_filter_level", levels, "block_only_high"),
        pixels={
            "": (
                "1:1 1024x1024, 9:16 768x1408, 16:9 1408x768, 3:4 896x1280,"
                " 4:3 1280x896"
            )
        },
    )


def _banana(ratios: str, resolution: str, *more: Field) -> Model:
    return _model(
        *(_PROMPT, _ratio(f"{_MATCH} {ratios}", _MATCH), _JPG),
        *(_choice("resolution", "1K,2K,4K", resolution), *more),
        _pictures("image_input", 14),
        pixels={
            "1K": (
                "1:1 1024x1024, 2:3 848x1264, 3:2 1264x848, 3:4 896x1200, 4:3 1200x896,"
                " 4:5 928x1152, 5:4 1152x928, 9:16 768x1376, 16:9 1376x768,"
                " 21:9 1584x672, 1:4 512x2048, 4:1 2048x512, 1:8 384x3072, 8:1 3072x384"
            )
        },
    )


_IDEOGRAM_SIZES = (
    "512x1536,576x1408,576x1472,576x1536,640x1344,640x1408,640x1472,640x1536,704x1152,"
    "704x1216,704x1280,704x1344,704x1408,704x1472,736x1312,768x1088,768x1216,768x1280,"
    "768x1344,800x1280,832x960,832x1024,832x1088,832x1152,832x1216,832x1248,864x1152,"
    "896x960,896x1024,896x1088,896x1120,896x1152,960x832,960x896,960x1024,960x1088,"
    "1024x832,1024x896,1024x960,1024x1024,1088x768,1088x832,1088x896,1088x960,1120x896,"
    "1152x704,1152x832,1152x864,1152x896,1216x704,1216x768,1216x832,1248x832,1280x704,"
    "1280x768,1280x800,1312x736,1344x640,1344x704,1344x768,1408x576,1408x640,1408x704,"
    "1472x576,1472x640,1472x704,1536x512,1536x576,1536x640"
)


def _ideogram_3() -> Model:
    ratios = "1:3 3:1 1:2 2:1 9:16 16:9 10:16 16:10 2:3 3:2 3:4 4:3 4:5 5:4 1:1"
    return _model(
        *(_PROMPT, _ratio(ratios), _SMALL_SEED, _picture("image")),
        _choice("resolution", f"None,{_IDEOGRAM_SIZES}", "None"),
        _mask("black parts are inpainted, white parts are kept"),
        _choice("style_type", "None,Auto,General,Realistic,Design", "None"),
        _text("style_preset", "one of about sixty styles", "None"),
        _choice("magic_prompt_option", "Auto,On,Off", "Auto"),
        Field(name="style_reference_images", kind="list", note="style references"),
    )


def _seedream(sizes: str, pixels: str, *more: Field, pictures: int = 14) -> Model:
    ratios = f"{_MATCH} 1:1 4:3 3:4 16:9 9:16 3:2 2:3 21:9"
    return _model(
        *(_PROMPT, _choice("size", sizes, "2K"), _ratio(ratios, _MATCH)),
        *(_pictures("image_input", pictures), _whole("max_images", 1, 15, 1), *more),
        _choice("sequential_image_generation", "disabled,auto", "disabled"),
        pixels={"2K": pixels} if pixels else {},
    )


_TWO_K = (
    "1:1 2048x2048, 4:3 2304x1728, 3:4 1728x2304, 16:9 2848x1600, 9:16 1600x2848,"
    " 3:2 2496x1664, 2:3 1664x2496, 21:9 3136x1344"
)
_RECRAFT_3 = (
    "1024x1024,1365x1024,1024x1365,1536x1024,1024x1536,1820x1024,1024x1820,1024x2048,"
    "2048x1024,1434x1024,1024x1434,1024x1280,1280x1024,1024x1707,1707x1024"
)
_RECRAFT_4 = (
    "1024x1024,1536x768,768x1536,1280x832,832x1280,1216x896,896x1216,1152x896,896x1152,"
    "832x1344,1280x896,896x1280,1344x768,768x1344"
)


def _recraft(sizes: str, ratios: str, *more: Field) -> Model:
    return _model(
        *(_PROMPT, _choice("size", sizes, "1024x1024"), *more),
        _choice("aspect_ratio", f"Not set,{ratios}", "Not set"),
    )


# Built at the first lookup: every config that names Replicate loads this module.
@cache
def known_models() -> Mapping[str, Model]:
    """Return the table: each model by its name, `owner/name`."""
    guidance = _number("guidance", 0, 10, 3, _FOLLOW)
    flex = _number("guidance", 1.5, 10, 4.5, _FOLLOW)
    return {
        "black-forest-labs/flux-schnell": _flux_1(_steps(4, 4)),
        "black-forest-labs/flux-dev": _flux_1(
            _steps(50, 28), guidance, _picture("image"), _STRENGTH
        ),
        "black-forest-labs/flux-1.1-pro": _model(
            *(_PROMPT, _ratio(f"custom {_P9}"), *_sides(32, 256, 1440), _SEED),
            *(_picture("image_prompt"), _tolerance(1, 6), _UPSAMPLING, _WEBP),
            _QUALITY,
        ),
        "black-forest-labs/flux-1.1-pro-ultra": _model(
            *(_PROMPT, _ratio(_F11), _SEED, _picture("image_prompt")),
            _number("image_prompt_strength", 0, 1, 0.1, "its strength"),
            *(_flag("raw", "less processed images"), _tolerance(1, 6), _JPG),
            # Four megapixels. Only the first three sizes are confirmed.
            pixels={
                "": (
                    "1:1 2048x2048, 16:9 2752x1536, 9:16 1536x2752, 4:3 2368x1792,"
                    " 3:4 1792x2368, 3:2 2496x1664, 2:3 1664x2496, 21:9 3136x1344,"
                    " 9:21 1344x3136, 5:4 2272x1824, 4:5 1824x2272"
                )
            },
        ),
        "black-forest-labs/flux-2-flex": _flux_2(
            _steps(50, 30, "steps"),
            flex,
            msgspec.structs.replace(_UPSAMPLING, default=True),
            pictures=10,
        ),
        "black-forest-labs/flux-2-klein-4b": _model(
            *(_PROMPT, _ratio(f"{_F11} {_MATCH}"), _SEED, _pictures("images", 5)),
            _choice("output_megapixels", "0.25,0.5,1,2,4", "1"),
            *(_WEBP_OR_JPG, msgspec.structs.replace(_QUALITY, default=95)),
            *(msgspec.structs.replace(_FAST, default=False), _UNSAFE),
        ),
        "stability-ai/sdxl": _model(
            *(_PROMPT, *_sides(8, default=1024)),
            *(_SEED, _OUTPUTS, _steps(500, 50), _NEGATIVE, _picture("image")),
            _mask("black parts are kept, white parts are redrawn"),
            *(_STRENGTH, _number("guidance_scale", 1, 50, 7.5, _FOLLOW)),
            _choice("scheduler", f"{_SCHEDULERS},PNDM", "K_EULER"),
            _choice(
                "refine",
                "no_refiner,expert_ensemble_refiner,base_image_refiner",
                "no_refiner",
            ),
            _whole("refine_steps", note="steps of the refiner"),
            _number("high_noise_frac", 0, 1, 0.8, "share of expert_ensemble_refiner"),
            _flag("apply_watermark", "add an invisible watermark", default=True),
            _text("replicate_weights", "a LoRA that was trained on Replicate"),
            _number("lora_scale", 0, 1, 0.6, "its strength"),
            _UNSAFE,
            official=False,
        ),
        "google/nano-banana-pro": _banana(
            "1:1 2:3 3:2 3:4 4:3 4:5 5:4 9:16 16:9 21:9",
            "2K",
            _text("safety_filter_level", "how strict the filter is", "block_only_high"),
            _flag("allow_fallback_model", "use another model if this one is busy"),
        ),
        "google/nano-banana-2": _banana(
            "1:1 1:4 1:8 2:3 3:2 3:4 4:1 4:3 4:5 5:4 8:1 9:16 16:9 21:9",
            "1K",
            _flag("google_search", "search the web"),
            _flag("image_search", "search the web for images"),
        ),
        "recraft-ai/recraft-v3": _recraft(
            _RECRAFT_3,
            "1:1,4:3,3:4,3:2,2:3,16:9,9:16,1:2,2:1,7:5,5:7,4:5,5:4,3:5,5:3",
            _text("style", "such as realistic_image or digital_illustration", "any"),
        ),
        "recraft-ai/recraft-v4": _recraft(
            _RECRAFT_4, "1:1,4:3,3:4,3:2,2:3,16:9,9:16,1:2,2:1,14:10,10:14,4:5,5:4,6:10"
        ),
        "qwen/qwen-image": _model(
            *(_PROMPT, _ratio("1:1 16:9 9:16 4:3 3:4 3:2 2:3", "16:9")),
            _choice(
                "image_size",
                "optimize_for_quality,optimize_for_speed",
                "optimize_for_quality",
            ),
            *(_SEED, _steps(50, 30), _NEGATIVE, _picture("image"), _WEBP, _QUALITY),
            _number("guidance", 0, 10, 3, _FOLLOW),
            _number("strength", 0, 1, 0.9, _FORGET),
            _flag("enhance_prompt", "expand the prompt"),
            _text("lora_weights", "the URL of a LoRA"),
            _number("lora_scale", note="its strength"),
            *(_FAST, _UNSAFE),
            pixels={
                "optimize_for_quality": (
                    "1:1 1328x1328, 16:9 1664x928, 9:16 928x1664, 4:3 1472x1104,"
                    " 3:4 1104x1472, 3:2 1584x1056, 2:3 1056x1584"
                )
            },
        ),
        "qwen/qwen-image-2-pro": _model(
            *(_PROMPT, _ratio("1:1 16:9 9:16 4:3 3:4 3:2 2:3 2:1 1:2"), _SEED),
            *(_NEGATIVE, _picture("image")),
            _flag("match_input_image", "the size of the reference image"),
            _flag("enable_prompt_expansion", "expand the prompt", default=True),
        ),
        "bytedance/seedream-4": _seedream(
            "1K,2K,4K,custom",
            "",
            *_sides(16, 1024, 4096),
            _flag("enhance_prompt", "expand the prompt", default=True),
            pictures=10,
        ),
        "bytedance/seedream-4.5": _seedream("2K,4K", _TWO_K, _UNSAFE),
        "bytedance/seedream-5-lite": _seedream(
            "2K,3K", _TWO_K, _choice("output_format", "png,jpeg", "png")
        ),
        "openai/gpt-image-1.5": _model(
            *(_PROMPT, _ratio("1:1 3:2 2:3"), _pictures("input_images", 16)),
            _choice("quality", "low,medium,high,auto", "auto"),
            _choice("background", "auto,transparent,opaque", "auto"),
            _choice("moderation", "auto,low", "auto"),
            _choice("input_fidelity", "low,high", "low"),
            _whole("number_of_images", 1, 10, 1),
            _choice("output_format", "png,jpeg,webp", "webp"),
            _whole("output_compression", 0, 100, 90, "of WebP and JPEG"),
            _text("user_id", "id of the end user, for OpenAI"),
            pixels={"": "1:1 1024x1024, 3:2 1536x1024, 2:3 1024x1536"},
        ),
        "prunaai/z-image-turbo": _model(
            *(_PROMPT, *_sides(16, default=1024)),
            *(_SEED, _whole("num_inference_steps", 1, default=8)),
            _number("guidance_scale", 0, default=0, note=_FOLLOW),
            msgspec.structs.replace(_WEBP, default=None),
            *(_QUALITY, msgspec.structs.replace(_FAST, default=False)),
        ),
        "black-forest-labs/flux-kontext-pro": _kontext(),
        "black-forest-labs/flux-kontext-max": _kontext(),
        "black-forest-labs/flux-2-pro": _flux_2(pictures=8),
        "black-forest-labs/flux-2-max": _flux_2(pictures=8),
        "stability-ai/stable-diffusion-3.5-large": _sd35(5),
        "stability-ai/stable-diffusion-3.5-large-turbo": _sd35(1),
        "stability-ai/stable-diffusion-3.5-medium": _sd35(5),
        "google/imagen-4": _imagen(),
        "google/imagen-4-fast": _imagen(),
        "google/imagen-4-ultra": _imagen(),
        "ideogram-ai/ideogram-v3-turbo": _ideogram_3(),
        "ideogram-ai/ideogram-v3-balanced": _ideogram_3(),
        "ideogram-ai/ideogram-v3-quality": _ideogram_3(),
    }
