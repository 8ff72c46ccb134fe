"""Small builders of workflows in API format, after the shapes that people publish."""

from typing import TypeAlias

from imagen.adapters.backends.comfyui.bindings import BindingOverrides
from imagen.adapters.backends.comfyui.workflow import Workflow, open_workflow

Node: TypeAlias = dict[str, object]
Nodes: TypeAlias = dict[str, Node]


def load_workflow(
    name_or_path: str,
    *,
    files: dict[str, str] | None = None,
    bindings: BindingOverrides | None = None,
) -> Workflow:
    """Read a workflow that is not in the editor's format."""
    found = open_workflow(name_or_path, files=files, bindings=bindings)
    assert isinstance(found, Workflow)
    return found


def node(class_type: str, title: str = "", /, **inputs: object) -> Node:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


def text(words: object, class_type: str = "CLIPTextEncode") -> Node:
    return node(class_type, text=words, clip=["4", 1])


def sampler(**inputs: object) -> Node:
    usual: dict[str, object] = {
        "seed": 1,
        "steps": 20,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
        "model": ["4", 0],
        "positive": ["6", 0],
        "negative": ["7", 0],
        "latent_image": ["5", 0],
    }
    return node("KSampler", **{**usual, **inputs})


def changed(nodes: Nodes, changes: Nodes) -> Nodes:
    """Return the nodes with some replaced, named n1, n2, ... as keywords must be."""
    return {**nodes, **{name.lstrip("n"): body for name, body in changes.items()}}


def stock(**changes: Node) -> Nodes:
    """The workflow that every ComfyUI starts with, with some nodes changed."""
    nodes = {
        "4": node("CheckpointLoaderSimple", ckpt_name="v1-5.safetensors"),
        "5": node("EmptyLatentImage", width=512, height=512, batch_size=1),
        "7": text("blurry"),  # before the prompt, as the order says nothing
        "6": text("a cat"),
        "3": sampler(),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="x", images=["8", 0]),
    }
    return changed(nodes, changes)


def guided(**changes: Node) -> Nodes:
    """FLUX dev, as it was recorded."""
    nodes = {
        "12": node("UNETLoader", unet_name="flux1-dev.safetensors"),
        "4": node("DualCLIPLoader", clip_name1="a", clip_name2="b", type="flux"),
        "6": text("a cat"),
        "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
        "27": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        "30": node("ModelSamplingFlux", width=64, height=64, model=["12", 0]),
        "22": node("BasicGuider", model=["30", 0], conditioning=["26", 0]),
        "16": node("KSamplerSelect", sampler_name="euler"),
        "17": node("BasicScheduler", scheduler="simple", steps=4, model=["30", 0]),
        "25": node("RandomNoise", noise_seed=1),
        "13": node(
            "SamplerCustomAdvanced",
            noise=["25", 0],
            guider=["22", 0],
            sampler=["16", 0],
            sigmas=["17", 0],
            latent_image=["27", 0],
        ),
        "8": node("VAEDecode", samples=["13", 0], vae=["10", 0]),
        "10": node("VAELoader", vae_name="ae.safetensors"),
        "9": node("SaveImage", filename_prefix="x", images=["8", 0]),
    }
    return changed(nodes, changes)
