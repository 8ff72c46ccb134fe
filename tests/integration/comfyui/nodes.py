"""The nodes and the model files that our ComfyUI pretends to have."""

from collections.abc import Collection, Mapping

Schema = dict[str, object]

MODELS: Mapping[str, tuple[str, ...]] = {
    "checkpoints": (
        "flux1-schnell-fp8.safetensors",
        "sd3.5_large_fp8_scaled.safetensors",
        "sd_xl_base_1.0.safetensors",
        "sd_xl_refiner_1.0.safetensors",
        "sd_xl_turbo_1.0_fp16.safetensors",
        "v1-5-pruned-emaonly-fp16.safetensors",
    ),
    "vae": (
        "ae.safetensors",
        "flux2-vae.safetensors",
        "full_encoder_small_decoder.safetensors",
        "qwen_image_vae.safetensors",
    ),
    "text_encoders": (
        "clip_g.safetensors",
        "clip_l.safetensors",
        "mistral_3_small_flux2_bf16.safetensors",
        "qwen_2.5_vl_7b_fp8_scaled.safetensors",
        "qwen_3_4b.safetensors",
        "qwen_3_8b_fp8mixed.safetensors",
        "t5xxl_fp16.safetensors",
    ),
    "diffusion_models": (
        "flux-2-klein-4b.safetensors",
        "flux-2-klein-base-4b.safetensors",
        "flux-2-klein-base-9b-fp8.safetensors",
        "flux1-dev.safetensors",
        "flux1-krea-dev_fp8_scaled.safetensors",
        "flux1-schnell.safetensors",
        "flux2_dev_fp8mixed.safetensors",
        "qwen_image_2512_fp8_e4m3fn.safetensors",
        "qwen_image_fp8_e4m3fn.safetensors",
        "z_image_bf16.safetensors",
        "z_image_turbo_bf16.safetensors",
    ),
}

SAMPLERS = [
    "euler",
    "euler_cfg_pp",
    "euler_ancestral",
    "euler_ancestral_cfg_pp",
    "heun",
    "heunpp2",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde",
    "dpmpp_sde_gpu",
    "dpmpp_2m",
    "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu",
    "dpmpp_2m_sde_heun",
    "dpmpp_2m_sde_heun_gpu",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_gpu",
    "ddpm",
    "lcm",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "res_multistep_cfg_pp",
    "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp",
    "gradient_estimation",
    "gradient_estimation_cfg_pp",
    "er_sde",
    "seeds_2",
    "seeds_3",
    "sa_solver",
    "sa_solver_pece",
    "ddim",
    "uni_pc",
    "uni_pc_bh2",
]
SCHEDULERS = [
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
]
MAX_SEED = 2**64 - 1

SAMPLING = frozenset({"KSampler", "SamplerCustomAdvanced"})


def object_info(
    models: Mapping[str, Collection[str]],
    *,
    newer: bool = False,
    without: Collection[str] = (),
    inputs: Collection[str] = (),
) -> dict[str, Schema]:
    """List every node of a server that has these model files."""

    def files(folder: str, **said: object) -> list[object]:
        return [sorted(models.get(folder, ())), *([said] if said else [])]

    size = {"min": 16, "max": 16384}
    latent = {
        "width": whole(512, **size, step=8, tooltip="Width in pixels."),
        "height": whole(512, **size, step=8, tooltip="Height in pixels."),
        "batch_size": whole(1, min=1, max=4096, tooltip="Pictures in one go."),
    }
    latent16 = {
        "width": whole(1024, **size, step=16),
        "height": whole(1024, **size, step=16),
        "batch_size": whole(1, min=1, max=4096),
    }
    sampler = {
        "seed": whole(
            0,
            min=0,
            max=MAX_SEED,
            control_after_generate=True,
            tooltip="Where the noise begins.",
        ),
        "steps": whole(20, min=1, max=10000, tooltip="Steps of denoising."),
        "cfg": number(8.0, min=0.0, max=100.0, step=0.1, round=0.01),
        "sampler_name": [SAMPLERS, {"tooltip": "How to sample."}],
        "scheduler": [SCHEDULERS, {"tooltip": "How the noise goes."}],
    }
    noise_seed = whole(0, min=0, max=MAX_SEED, control_after_generate=True)
    clip_types = ["stable_diffusion", "stable_cascade", "sd3", "stable_audio", "mochi"]
    clip_types += ["ltxv", "pixart", "cosmos", "lumina2", "wan", "hidream", "chroma"]
    clip_types += ["ace", "omnigen2", "qwen_image", "hunyuan_image"]
    if newer:
        clip_types += ["flux2", "ovis", "longcat_image"]
    dual_types = ["sdxl", "sd3", "flux", "hunyuan_video", "hidream", "hunyuan_image"]
    device = {"device": [["default", "cpu"], {"advanced": True}]}
    dtypes = ["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"]
    text = ["STRING", {"multiline": True, "dynamicPrompts": True}]

    nodes = [
        node(
            "KSampler",
            {
                "model": ["MODEL", {"tooltip": "The model that denoises."}],
                **sampler,
                "positive": ["CONDITIONING", {"tooltip": "What to draw."}],
                "negative": ["CONDITIONING", {"tooltip": "What not to draw."}],
                "latent_image": ["LATENT", {"tooltip": "What to denoise."}],
                "denoise": number(1.0, min=0.0, max=1.0, step=0.01),
            },
            "LATENT",
            category="sampling",
        ),
        node(
            "SamplerCustomAdvanced",
            {
                "noise": ["NOISE"],
                "guider": ["GUIDER"],
                "sampler": ["SAMPLER"],
                "sigmas": ["SIGMAS"],
                "latent_image": ["LATENT"],
            },
            "LATENT",
            "LATENT",
            category="sampling/custom_sampling",
        ),
        node("RandomNoise", {"noise_seed": noise_seed}, "NOISE"),
        node("KSamplerSelect", {"sampler_name": [SAMPLERS]}, "SAMPLER"),
        node(
            "BasicScheduler",
            {
                "model": ["MODEL"],
                "scheduler": [SCHEDULERS],
                "steps": whole(20, min=1, max=10000),
                "denoise": number(1.0, min=0.0, max=1.0, step=0.01),
            },
            "SIGMAS",
        ),
        node(
            "BasicGuider",
            {"model": ["MODEL"], "conditioning": ["CONDITIONING"]},
            "GUIDER",
        ),
        node(
            "CFGGuider",
            {
                "model": ["MODEL"],
                "positive": ["CONDITIONING"],
                "negative": ["CONDITIONING"],
                "cfg": sampler["cfg"],
            },
            "GUIDER",
        ),
        node(
            "ModelSamplingFlux",
            {
                "model": ["MODEL"],
                "max_shift": number(1.15, min=0.0, max=100.0, step=0.01),
                "base_shift": number(0.5, min=0.0, max=100.0, step=0.01),
                "width": whole(1024, **size, step=8),
                "height": whole(1024, **size, step=8),
            },
            "MODEL",
        ),
        node(
            "ModelSamplingAuraFlow",
            {
                "model": ["MODEL"],
                "shift": number(1.73, min=0.0, max=100.0, step=0.01),
            },
            "MODEL",
        ),
        node(
            "CheckpointLoaderSimple",
            {"ckpt_name": files("checkpoints", tooltip="The checkpoint to load.")},
            "MODEL",
            "CLIP",
            "VAE",
            category="loaders",
        ),
        node(
            "UNETLoader",
            {"unet_name": files("diffusion_models"), "weight_dtype": [dtypes]},
            "MODEL",
            category="advanced/loaders",
        ),
        node(
            "CLIPLoader",
            {"clip_name": files("text_encoders"), "type": [clip_types]},
            "CLIP",
            optional=device,
            category="advanced/loaders",
        ),
        node(
            "DualCLIPLoader",
            {
                "clip_name1": files("text_encoders"),
                "clip_name2": files("text_encoders"),
                "type": [dual_types],
            },
            "CLIP",
            optional=device,
            category="advanced/loaders",
        ),
        node(
            "VAELoader",
            {"vae_name": [[*sorted(models.get("vae", ())), "pixel_space"]]},
            "VAE",
            category="loaders",
        ),
        node("CLIPTextEncode", {"text": text, "clip": ["CLIP"]}, "CONDITIONING"),
        node(
            "FluxGuidance",
            {
                "conditioning": ["CONDITIONING"],
                "guidance": number(3.5, min=0.0, max=100.0, step=0.1),
            },
            "CONDITIONING",
        ),
        node("ConditioningZeroOut", {"conditioning": ["CONDITIONING"]}, "CONDITIONING"),
        node("EmptyLatentImage", latent, "LATENT", category="latent"),
        node("EmptySD3LatentImage", latent16, "LATENT", category="latent/sd3"),
        node(
            "EmptyImage",
            {
                "width": whole(512, min=1, max=16384, step=1),
                "height": whole(512, min=1, max=16384, step=1),
                "batch_size": whole(1, min=1, max=4096),
                "color": whole(0, min=0, max=0xFFFFFF, step=1, display="color"),
            },
            "IMAGE",
            category="image",
        ),
        node(
            "VAEDecode",
            {"samples": ["LATENT"], "vae": ["VAE"]},
            "IMAGE",
            category="vae",
        ),
        node("VAEEncode", {"pixels": ["IMAGE"], "vae": ["VAE"]}, "LATENT"),
        node(
            "LoadImage",
            {"image": [sorted(inputs), {"image_upload": True}]},
            "IMAGE",
            "MASK",
            category="image",
        ),
        node(
            "VAEEncodeForInpaint",
            {
                "pixels": ["IMAGE"],
                "vae": ["VAE"],
                "mask": ["MASK"],
                "grow_mask_by": whole(6, min=0, max=64),
            },
            "LATENT",
        ),
        node(
            "SaveImage",
            {
                "images": ["IMAGE", {"tooltip": "The pictures to save."}],
                "filename_prefix": [
                    "STRING",
                    {"default": "ComfyUI", "tooltip": "How the name begins."},
                ],
            },
            hidden=True,
            saves=True,
            category="image",
        ),
        node(
            "PreviewImage",
            {"images": ["IMAGE"]},
            hidden=True,
            saves=True,
            category="image",
        ),
        *media_nodes(),
    ]
    if newer:
        nodes += [
            node("EmptyFlux2LatentImage", latent16, "LATENT"),
            node(
                "Flux2Scheduler",
                {
                    "steps": whole(20, min=1, max=4096),
                    "width": whole(1024, **size, step=1),
                    "height": whole(1024, **size, step=1),
                },
                "SIGMAS",
            ),
        ]
    return {schema["name"]: schema for schema in nodes if schema["name"] not in without}


def media_nodes() -> list[Schema]:
    """List the nodes whose result is no file of one picture."""
    prefix = ["STRING", {"default": "ComfyUI"}]
    fps = number(6.0, min=0.01, max=1000.0, step=0.01)
    return [
        node("SaveImageWebsocket", {"images": ["IMAGE"]}, saves=True),
        node(
            "SaveAnimatedWEBP",
            {
                "images": ["IMAGE"],
                "filename_prefix": prefix,
                "fps": fps,
                "lossless": ["BOOLEAN", {"default": True}],
                "quality": whole(80, min=0, max=100),
                "method": [["default", "fastest", "slowest"]],
            },
            hidden=True,
            saves=True,
        ),
        node(
            "SaveWEBM",
            {"images": ["IMAGE"], "filename_prefix": prefix, "fps": fps},
            hidden=True,
            saves=True,
        ),
        node("CreateVideo", {"images": ["IMAGE"], "fps": fps}, "VIDEO"),
        node(
            "SaveVideo",
            {
                "video": ["VIDEO"],
                "filename_prefix": prefix,
                "format": [["auto", "mp4"]],
                "codec": [["auto", "h264"]],
            },
            hidden=True,
            saves=True,
        ),
        node(
            "LatentUpscaleBy",
            {
                "samples": ["LATENT"],
                "upscale_method": [["nearest-exact", "bilinear"]],
                "scale_by": number(1.5, min=0.01, max=8.0, step=0.01),
            },
            "LATENT",
        ),
    ]


def whole(default: int, **limits: object) -> list[object]:
    """Describe an input that is a whole number."""
    return ["INT", {"default": default, **limits}]


def number(default: float, **limits: object) -> list[object]:
    """Describe an input that is a number."""
    return ["FLOAT", {"default": default, **limits}]


def node(
    name: str,
    required: Mapping[str, object],
    *outputs: str,
    optional: Mapping[str, object] | None = None,
    hidden: bool = False,
    saves: bool = False,
    category: str = "sampling/custom_sampling",
) -> Schema:
    """Describe a node with the keys, and in the order, of `/object_info`."""
    inputs: dict[str, object] = {"required": dict(required)}
    order: dict[str, object] = {"required": list(required)}
    if optional:
        inputs["optional"] = dict(optional)
        order["optional"] = list(optional)
    if hidden:
        inputs["hidden"] = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
        order["hidden"] = ["prompt", "extra_pnginfo"]
    return {
        "input": inputs,
        "input_order": order,
        "output": list(outputs),
        "output_is_list": [False] * len(outputs),
        "output_name": list(outputs),
        "name": name,
        "display_name": name,
        "description": "",
        "python_module": "nodes",
        "category": category,
        "output_node": saves,
    }
