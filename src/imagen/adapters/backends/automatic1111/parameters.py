"""The options of the config, the parameters of `--set`, and the body of a job."""

from collections.abc import Mapping
from typing import Annotated, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from imagen.adapters.remote.models.images import encode_base64
from imagen.adapters.remote.vendor import decode_options
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.size import SizeRule

DEFAULT_STEPS = 20
"""The default of the web page; that of the API is 50 for AUTOMATIC1111."""

SIDE = 8
"""Sides are multiples of this."""

T = TypeVar("T")
Optional: TypeAlias = T | UnsetType
Fraction: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Whole: TypeAlias = Annotated[int, Meta(ge=0)]

DESCRIPTIONS: Mapping[str, str] = {
    "sampler_name": "such as Euler a or DPM++ 2M",
    "scheduler": "such as Karras",
    "cfg_scale": "how closely to follow the prompt",
    "distilled_cfg_scale": "the same for FLUX on Forge; use cfg_scale=1",
    "clip_skip": "layers of CLIP to leave out, from 1",
    "vae": "the name of a VAE",
    "hr_scale": "hires fix: draw at 1/hr_scale of the size, then enlarge; above 1",
    "hr_upscaler": "of the hires fix, such as Latent",
    "hr_second_pass_steps": "of the hires fix; 0: as many as at first",
    "denoising_strength": "of the hires fix or a reference image: 0 to 1",
    "resize_mode": "of a reference image: 0 stretch, 1 crop, 2 fill",
    "mask_blur": "of a mask, in pixels",
    "inpainting_fill": "behind a mask: 0 fill, 1 original, 2 noise, 3 nothing",
    "inpaint_full_res": "draw the masked part alone, at full size",
    "inpaint_full_res_padding": "pixels around the masked part",
    "subseed": "the seed of a variation",
    "subseed_strength": "of a variation: 0 to 1; needs subseed",
    "restore_faces": "improve faces",
    "tiling": "an image that can be repeated",
    "refiner_checkpoint": "the name of a model that draws the last steps",
    "refiner_switch_at": "where it begins: 0 to 1",
    "alwayson_scripts": "arguments of extensions, as their API documents them",
}


class WebuiOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The options of an automatic1111 backend, without those of every API."""

    model: Annotated[
        str,
        Meta(
            description="The model; unset: the one that the server has loaded.",
            examples=["v1-5-pruned-emaonly"],
        ),
    ] = ""


class Parameters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The parameters, by the names of the API where it has them."""

    sampler_name: Optional[str] = UNSET
    scheduler: Optional[str] = UNSET
    cfg_scale: Optional[Annotated[float, Meta(ge=0)]] = UNSET
    distilled_cfg_scale: Optional[Annotated[float, Meta(ge=0)]] = UNSET
    clip_skip: Optional[Annotated[int, Meta(ge=1, le=12)]] = UNSET
    vae: Optional[str] = UNSET
    hr_scale: Optional[Annotated[float, Meta(gt=1, le=8)]] = UNSET
    hr_upscaler: Optional[str] = UNSET
    hr_second_pass_steps: Optional[Whole] = UNSET
    denoising_strength: Optional[Fraction] = UNSET
    resize_mode: Optional[Annotated[int, Meta(ge=0, le=3)]] = UNSET
    mask_blur: Optional[Whole] = UNSET
    inpainting_fill: Optional[Annotated[int, Meta(ge=0, le=3)]] = UNSET
    inpaint_full_res: Optional[bool] = UNSET
    inpaint_full_res_padding: Optional[Whole] = UNSET
    subseed: Optional[Whole] = UNSET
    subseed_strength: Optional[Fraction] = UNSET
    restore_faces: Optional[bool] = UNSET
    tiling: Optional[bool] = UNSET
    refiner_checkpoint: Optional[str] = UNSET
    refiner_switch_at: Optional[Fraction] = UNSET
    alwayson_scripts: Optional[dict[str, object]] = UNSET

    def __post_init__(self) -> None:
        # Without a subseed the server draws one, and the seed repeats nothing.
        if self.subseed_strength is not UNSET and self.subseed is UNSET:
            raise InvalidRequest("subseed_strength needs a subseed.")
        if self.hr_scale is UNSET:
            for name in ("hr_upscaler", "hr_second_pass_steps"):
                if getattr(self, name) is not UNSET:
                    raise InvalidRequest(f"{name} needs hr_scale.")


# They are not fields of a job: two are settings, and imagen sets the size itself.
_SETTINGS = {"clip_skip": "CLIP_stop_at_last_layers", "vae": "sd_vae"}
_OWN = {*_SETTINGS, "hr_scale"}


def describe_capabilities(model: str) -> Capabilities:
    """Return what all servers can do; `model` is the default, "" for the loaded one."""
    return Capabilities(
        model=model,
        models=None,
        sizes=SizeRule(multiple=SIDE, smallest=64, largest=4096),
        largest_seed=2**32 - 1,
        negative=True,
        steps=True,
        parameters=DESCRIPTIONS,
        references=1,
        mask=True,
        may_cost=False,
    )


def build_body(job: ImageJob, *, checkpoint: str, vendor: str) -> dict[str, object]:
    """Return the body of `txt2img` or `img2img` for a job.

    Args:
        job: The job.
        checkpoint: The title of the model; "" for the one that is loaded.
        vendor: The name for messages.

    Raises:
        InvalidRequest: a parameter is invalid.
    """
    parameters = decode_options(job, Parameters, vendor=vendor)
    given: dict[str, object] = msgspec.to_builtins(parameters)
    settings = {_SETTINGS[name]: given[name] for name in given.keys() & _SETTINGS}
    if checkpoint:
        settings["sd_model_checkpoint"] = checkpoint
    return {
        "prompt": job.prompt,
        "negative_prompt": job.negative,
        # -1 would be a seed that the server draws.
        "seed": -1 if job.seed is None else job.seed,
        "steps": job.steps or DEFAULT_STEPS,
        "batch_size": 1,
        "n_iter": 1,
        "send_images": True,
        "save_images": False,
        "do_not_save_grid": True,
        **_choose_sides(job, parameters),
        **_attach_images(job),
        **{name: value for name, value in given.items() if name not in _OWN},
        # Otherwise the server loads its former model after each job.
        **(
            {
                "override_settings": settings,
                "override_settings_restore_afterwards": False,
            }
            if settings
            else {}
        ),
    }


def _choose_sides(job: ImageJob, parameters: Parameters) -> dict[str, object]:
    """Return the sides; with the hires fix, those of both passes."""
    width, height = job.size.sides
    scale = parameters.hr_scale
    if scale is UNSET:
        return {"width": width, "height": height}
    if job.images:
        raise InvalidRequest("hr_scale is for jobs without a reference image.")
    return {
        "enable_hr": True,
        "width": max(SIDE, round(width / scale / SIDE) * SIDE),
        "height": max(SIDE, round(height / scale / SIDE) * SIDE),
        "hr_resize_x": width,
        "hr_resize_y": height,
    }


def _attach_images(job: ImageJob) -> dict[str, object]:
    if not job.images:
        return {}
    body: dict[str, object] = {"init_images": [encode_base64(job.images[0])]}
    if job.mask:
        # The defaults of the web page; those of the API are 0 and true.
        body |= {"inpainting_fill": 1, "inpaint_full_res": False}
        from imagen.adapters.imaging.masks import paint_mask  # noqa: PLC0415 - Pillow

        body["mask"] = encode_base64(paint_mask(job.mask, white=True))
    return body
