"""What the tools of the field write, after what they document."""

import json

from PIL.PngImagePlugin import PngInfo
from tests.unit.domain.pictures import encoded, picture

INFOTEXT = (
    "a fox, <lora:ink:0.8>\nin the snow\nNegative prompt: blurry\n"
    "Steps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7.5, "
    'Seed: 18446744073709551615, Size: 512x768, Model hash: abcd1234, Model: "sd: 1",'
    ' Lora hashes: "ink: 11, b: 22", Version: '
)
GRAPH = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 7,
            "steps": 20,
            "cfg": 8.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["10", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd.ckpt"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 640, "height": 480}},
    "6": {
        "class_type": "CLIPTextEncode",
        "inputs": {"text": "a fox", "clip": ["4", 1]},
    },
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "dogs", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}},
    "10": {
        "class_type": "LoraLoader",
        "inputs": {"lora_name": "ink", "model": ["4", 0], "clip": ["4", 1]},
    },
}
INVOKEAI = {
    "generation_mode": "flux_txt2img",
    "positive_prompt": "a fox",
    "negative_prompt": "dogs",
    "width": 1024,
    "height": 768,
    "seed": 9,
    "steps": 4,
    "cfg_scale": 3.5,
    "scheduler": "euler",
    "model": {"key": "k", "hash": "blake3:00", "name": "FLUX Dev", "base": "flux"},
    "app_version": "5.6.0",
}
MFLUX = {
    "mflux_version": "0.9.0",
    "model": "dev",
    "seed": 3,
    "steps": 4,
    "guidance": 3.5,
    "height": 512,
    "width": 1024,
    "quantize": 8,
    "lora_paths": None,
    "prompt": "a fox, 狐",
    "negative_prompt": None,
}
FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)",
    "base_model": "juggernautXL",
    "full_prompt": ["a fox", "cinematic"],
    "guidance_scale": 4,
    "negative_prompt": "dogs",
    "prompt": "a fox",
    "resolution": "(1152, 896)",
    "sampler": "dpmpp_2m_sde_gpu",
    "seed": "123",
    "steps": 30,
    "version": "Fooocus v2.5.5",
}
NOVELAI = {
    "prompt": "1girl, fox",
    "steps": 28,
    "height": 1216,
    "width": 832,
    "scale": 5.0,
    "seed": 42,
    "noise_schedule": "karras",
    "sampler": "k_euler",
    "uc": "lowres",
}
EARLY_INVOKEAI = {
    "model": "stable diffusion",
    "model_weights": "sd-1.4",
    "app_version": "2.2.4",
    "image": {
        "prompt": "a fox",
        "steps": 50,
        "cfg_scale": 7.5,
        "seed": 1,
        "sampler": "k_lms",
        "width": 512,
        "height": 512,
    },
}


def png(**texts: object) -> bytes:
    """A PNG with texts, as Pillow writes them for most of these tools."""
    info = PngInfo()
    for key, words in texts.items():
        info.add_text(key, words if isinstance(words, str) else json.dumps(words))
    return encoded(picture(), "PNG", pnginfo=info)
