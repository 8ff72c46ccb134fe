"""The slot finder on workflows of the shapes that people publish: never a wrong slot.

Each workflow is either bound as its author meant it, or refused with an error that
names the candidates. At most one in ten may be refused.
"""

import json
from collections.abc import Mapping

import msgspec
import pytest
from tests.unit.adapters.backends.comfyui.graphs import (
    Node,
    Nodes,
    changed,
    guided,
    node,
    sampler,
    stock,
    text,
)

from imagen.adapters.backends.comfyui.bindings import find_bindings
from imagen.adapters.backends.comfyui.graph import parse_graph
from imagen.domain.errors import Misconfigured


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow and what its author meant.

    Attributes:
        want: Inputs by binding, as `node.input` separated by spaces; "" for none.
        refused: What the error must name, instead.
    """

    nodes: Mapping[str, Mapping[str, object]]
    want: Mapping[str, str] = {}
    refused: tuple[str, ...] = ()


SHAPES: dict[str, Shape] = {}


def shape(name: str, nodes: Nodes, **want: str) -> None:
    assert name not in SHAPES
    SHAPES[name] = Shape(nodes=nodes, want=want)


def unclear(name: str, nodes: Nodes, *named: str) -> None:
    assert name not in SHAPES
    SHAPES[name] = Shape(nodes=nodes, refused=named)


def joined(**inputs: object) -> Node:
    return node("StringConcatenate", **{"delimiter": ", ", **inputs})


def fed(**more: Node) -> Nodes:
    """The stock workflow whose prompt comes from node 30."""
    return stock(n6=text(["30", 0]), **more)


def paired(class_type: str, *, positive: int, **more: object) -> Nodes:
    """The stock workflow with a node for both conditionings before the sampler."""
    between = node(class_type, positive=["6", 0], negative=["7", 0], **more)
    model = {"model": ["20", 0]} if positive == 1 else {}
    return stock(
        n3=sampler(positive=["20", positive], negative=["20", positive + 1], **model),
        n20=between,
        n50=node("ControlNetLoader", control_net_name="c.safetensors"),
        n51=node("LoadImage", image="pose.png"),
    )


USUAL = {"prompt": "6.text", "negative": "7.text", "seed": "3.seed", "width": "5.width"}
PICTURE = {"control_net": ["50", 0], "image": ["51", 0]}

# Stock workflows of the model families

shape("sd15", stock(), **USUAL, steps="3.steps", output="9", model="4.ckpt_name")
shape("sdxl", stock(n5=node("EmptyLatentImage", width=1024, height=1024)), **USUAL)
shape("sd3", stock(n5=node("EmptySD3LatentImage", width=1024, height=1024)), **USUAL)
shape("turbo", stock(n3=sampler(cfg=1, steps=1)), prompt="6.text", negative="")
shape("flux-dev", guided(), prompt="6.text", negative="", seed="25.noise_seed")
shape(
    "flux-schnell-zeroed",
    stock(
        n3=sampler(cfg=1, negative=["33", 0]),
        n33=node("ConditioningZeroOut", conditioning=["6", 0]),
    ),
    prompt="6.text",
    negative="",
)
shape(
    "flux-two-texts",
    stock(
        n6=node(
            "CLIPTextEncodeFlux", clip_l="a", t5xxl="b", guidance=3.5, clip=["4", 0]
        )
    ),
    prompt="6.clip_l 6.t5xxl",
    guidance="6.guidance",
)
shape(
    "flux2",
    guided(
        n27=node("EmptyFlux2LatentImage", width=1024, height=768, batch_size=1),
        n17=node("Flux2Scheduler", steps=20, width=1024, height=768),
        n30=node("ModelSamplingFlux", width=1024, height=768, model=["12", 0]),
    ),
    prompt="6.text",
    width="27.width 30.width 17.width",
    steps="17.steps",
)
shape(
    "flux2-klein",
    guided(
        n22=node(
            "CFGGuider", cfg=5, model=["12", 0], positive=["6", 0], negative=["7", 0]
        ),
        n7=text(""),
    ),
    prompt="6.text",
    negative="7.text",
    cfg="22.cfg",
)
shape(
    "qwen-image",
    stock(
        n3=sampler(cfg=4, model=["66", 0]),
        n66=node("ModelSamplingAuraFlow", shift=3, model=["4", 0]),
    ),
    **USUAL,
)
shape(
    "qwen-edit",
    stock(
        n6=node(
            "TextEncodeQwenImageEdit", prompt="red", clip=["4", 1], image=["51", 0]
        ),
        n7=node("TextEncodeQwenImageEdit", prompt="", clip=["4", 1], image=["51", 0]),
        n51=node("LoadImage", image="a.png"),
    ),
    prompt="6.prompt",
    negative="7.prompt",
    image="51.image",
)
shape(
    "qwen-edit-plus",
    stock(
        n6=node(
            "TextEncodeQwenImageEditPlus",
            prompt="red",
            clip=["4", 1],
            image1=["51", 0],
            image2=["52", 0],
        ),
        n51=node("LoadImage", image="a.png"),
        n52=node("LoadImage", image="b.png"),
    ),
    prompt="6.prompt",
    image="51.image 52.image",
)
shape(
    "qwen-image-21",
    stock(
        n3=sampler(positive=["6", 0], negative=["6", 1]),
        n6=node(
            "TextEncodeQwenImage21", prompt="a", negative_prompt="b", clip=["4", 1]
        ),
    ),
    prompt="6.prompt",
    negative="6.negative_prompt",
)
shape(
    "lumina2",
    stock(
        n6=node(
            "CLIPTextEncodeLumina2",
            system_prompt="superior",
            user_prompt="a",
            clip=["4", 1],
        )
    ),
    prompt="6.user_prompt",
)
shape(
    "hidream",
    stock(
        n6=node(
            "CLIPTextEncodeHiDream",
            clip_l="a",
            clip_g="a",
            t5xxl="a",
            llama="a",
            clip=["4", 1],
        )
    ),
    prompt="6.clip_l 6.clip_g 6.t5xxl 6.llama",
)
shape(
    "sd3-texts",
    stock(
        n6=node(
            "CLIPTextEncodeSD3",
            clip_l="a",
            clip_g="a",
            t5xxl="a",
            empty_padding="none",
            clip=["4", 1],
        )
    ),
    prompt="6.clip_l 6.clip_g 6.t5xxl",
)
shape(
    "sdxl-texts",
    stock(
        n6=node(
            "CLIPTextEncodeSDXL",
            text_g="a",
            text_l="a",
            width=4096,
            height=4096,
            target_width=512,
            target_height=512,
            clip=["4", 1],
        )
    ),
    prompt="6.text_g 6.text_l",
    width="5.width 6.target_width",
)
shape(
    "cascade",
    stock(
        n5=node(
            "StableCascade_EmptyLatentImage",
            width=1024,
            height=1024,
            compression=42,
            batch_size=1,
        ),
        n40=node(
            "StableCascade_StageB_Conditioning", conditioning=["6", 0], stage_c=["3", 0]
        ),
        n41=sampler(positive=["40", 0], latent_image=["5", 1], cfg=1.1, steps=10),
        n8=node("VAEDecode", samples=["41", 0], vae=["4", 2]),
    ),
    **{**USUAL, "seed": "3.seed 41.seed", "cfg": "3.cfg"},
)

# Samplers in parts

CUSTOM = {
    "model": ["4", 0],
    "positive": ["6", 0],
    "negative": ["7", 0],
    "sampler": ["50", 0],
    "sigmas": ["51", 0],
    "latent_image": ["5", 0],
}
PARTS = {
    "n50": node("KSamplerSelect", sampler_name="euler"),
    "n51": node("BasicScheduler", scheduler="normal", steps=3, model=["4", 0]),
}
shape(
    "sampler-custom",
    stock(
        n3=node("SamplerCustom", add_noise=True, noise_seed=5, cfg=7, **CUSTOM), **PARTS
    ),
    prompt="6.text",
    negative="7.text",
    seed="3.noise_seed",
    steps="51.steps",
    cfg="3.cfg",
)
DUAL = node(
    "DualCFGGuider",
    cfg_conds=7,
    cfg_cond2_negative=3,
    model=["4", 0],
    cond1=["6", 0],
    cond2=["6", 0],
    negative=["7", 0],
)
ADVANCED = node(
    "SamplerCustomAdvanced",
    noise=["52", 0],
    guider=["53", 0],
    sampler=["50", 0],
    sigmas=["51", 0],
    latent_image=["5", 0],
)
shape(
    "dual-cfg",
    stock(n3=ADVANCED, n52=node("RandomNoise", noise_seed=5), n53=DUAL, **PARTS),
    prompt="6.text",
    negative="7.text",
    cfg="53.cfg_conds",
    seed="52.noise_seed",
)
shape(
    "dual-cfg-other-second",
    stock(
        n3=ADVANCED,
        n52=node("RandomNoise", noise_seed=5),
        n53=node(
            "DualCFGGuider",
            cfg_conds=7,
            model=["4", 0],
            cond1=["6", 0],
            cond2=["60", 0],
            negative=["7", 0],
        ),
        n60=text("of the source"),
        **PARTS,
    ),
    prompt="6.text",
    negative="7.text",
)
shape(
    "refiner",
    stock(
        n3=sampler(add_noise="enable"),
        n11=sampler(
            add_noise="disable",
            positive=["15", 0],
            negative=["16", 0],
            latent_image=["3", 0],
        ),
        n15=text("a cat"),
        n16=text("blurry"),
        n8=node("VAEDecode", samples=["11", 0], vae=["4", 2]),
    ),
    prompt="6.text 15.text",
    negative="7.text 16.text",
    seed="3.seed",
)
shape(
    "xlabs",
    guided(
        n13=node(
            "XlabsSampler",
            model=["12", 0],
            conditioning=["6", 0],
            neg_conditioning=["7", 0],
            latent_image=["27", 0],
            noise_seed=7,
            steps=20,
            true_gs=3.5,
            timestep_to_start_cfg=1,
            denoise_strength=1.0,
        ),
        n7=text("ugly"),
    ),
    prompt="6.text",
    negative="7.text",
    seed="13.noise_seed",
    steps="13.steps",
    width="27.width",
)
shape(
    "tiled",
    stock(n3={**sampler(tile_width=512), "class_type": "BNK_TiledKSampler"}),
    **USUAL,
)
shape(
    "nag",
    stock(
        n3={**sampler(nag_negative=["77", 0]), "class_type": "KSamplerWithNAG"},
        n77=text("nag"),
    ),
    **USUAL,
)

# Nodes with outputs for both conditionings

for kind in (
    "ControlNetApplyAdvanced",
    "ControlNetApplySD3",
    "ACN_AdvancedControlNetApply",
):
    shape(kind, paired(kind, positive=0, **PICTURE), **USUAL, image="51.image")
shape(
    "inpaint-model",
    paired("InpaintModelConditioning", positive=0, pixels=["51", 0], mask=["51", 1]),
    **USUAL,
)
for kind in (
    "ApplyInstantID",
    "BrushNet",
    "PowerPaint",
    "Attention couple",
    "ACN_ModelFirst",
):
    shape(kind, paired(kind, positive=1, model=["4", 0], **PICTURE), **USUAL)
shape(
    "model-first-unused-model",
    changed(
        paired("ApplyInstantID", positive=1, model=["4", 0]),
        {"n3": sampler(positive=["20", 1], negative=["20", 2])},
    ),
    **USUAL,
)
shape(
    "model-first-twice",
    stock(
        n3=sampler(model=["21", 0], positive=["21", 1], negative=["21", 2]),
        n21=node("BrushNet", model=["20", 0], positive=["20", 1], negative=["20", 2]),
        n20=node(
            "ApplyInstantID", model=["4", 0], positive=["6", 0], negative=["7", 0]
        ),
    ),
    **USUAL,
)
shape(
    "model-first-negative-elsewhere",
    stock(
        n3=sampler(model=["20", 0], positive=["20", 1], negative=["7", 0]),
        n20=node(
            "ApplyInstantID", model=["4", 0], positive=["6", 0], negative=["7", 0]
        ),
    ),
    **USUAL,
)
shape(
    "model-first-zeroed",
    stock(
        n3=sampler(model=["20", 0], positive=["20", 1], negative=["33", 0]),
        n33=node("ConditioningZeroOut", conditioning=["20", 1]),
        n20=node("PowerPaint", model=["4", 0], positive=["6", 0], negative=["7", 0]),
    ),
    prompt="6.text",
    negative="",
)
shape(
    "control-positive-only",
    stock(
        n3=sampler(positive=["20", 0]),
        n20=node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0]),
    ),
    **USUAL,
)
shape(
    "control-and-guidance",
    guided(
        n26=node("FluxGuidance", guidance=3.5, conditioning=["20", 0]),
        n20=node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0]),
        n7=text(""),
    ),
    prompt="6.text",
    negative="",
    guidance="26.guidance",
)
shape(
    "control-chain",
    stock(
        n3=sampler(positive=["21", 0], negative=["21", 1]),
        n21=node("ControlNetApplyAdvanced", positive=["20", 0], negative=["20", 1]),
        n20=node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0]),
    ),
    **USUAL,
)
unclear(
    "one-output-of-a-model-node",
    stock(
        n3=sampler(positive=["20", 1], negative=["33", 0]),
        n33=node("ConditioningZeroOut", conditioning=["20", 1]),
        n20=node("Unknown", model=["4", 0], positive=["6", 0], negative=["7", 0]),
    ),
    "6.text",
    "7.text",
)
unclear(
    "crossed",
    stock(
        n3=sampler(positive=["20", 1], negative=["20", 0]),
        n20=node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0]),
    ),
    "6.text",
    "7.text",
)
shape(
    "regional-pack",
    stock(
        n3=sampler(positive=["20", 0], negative=["20", 1]),
        n20=node(
            "CR Apply Multi-ControlNet", base_positive=["6", 0], base_negative=["7", 0]
        ),
    ),
    **USUAL,
)

# Joined and edited texts

shape(
    "concat-empty",
    fed(n30=joined(string_a="", string_b="best quality")),
    prompt="30.string_a",
    negative="7.text",
)
shape(
    "concat-empty-last",
    fed(n30=joined(string_a="in oil", string_b="")),
    prompt="30.string_b",
)
shape(
    "concat-suffix",
    fed(
        n30=joined(string_a=["31", 0], string_b="best"),
        n31=node("PrimitiveStringMultiline", value="a fox"),
    ),
    prompt="31.value",
)
shape(
    "concat-prefix",
    fed(
        n30=joined(string_a="photo of", string_b=["31", 0]),
        n31=node("PrimitiveString", value="a fox"),
    ),
    prompt="31.value",
)
shape(
    "concat-two-nodes",
    fed(
        n30=joined(string_a=["31", 0], string_b=["32", 0]),
        n31=node("PrimitiveStringMultiline", value="a fox"),
        n32=node("PrimitiveString", value="best quality"),
    ),
    prompt="31.value",
)
shape(
    "concat-empty-node",
    fed(
        n30=joined(string_a=["31", 0], string_b=["32", 0]),
        n31=node("PrimitiveString", value="trigger"),
        n32=node("PrimitiveString", value=""),
    ),
    prompt="32.value",
)
shape(
    "concat-nested",
    fed(
        n30=joined(string_a=["31", 0], string_b=["32", 0]),
        n31=joined(string_a="photo of", string_b=["33", 0]),
        n32=joined(string_a="best", string_b="sharp"),
        n33=node("Text Multiline", text="a fox"),
    ),
    prompt="33.text",
)
shape(
    "concat-was",
    fed(
        n30=node(
            "Text Concatenate",
            delimiter=", ",
            clean_whitespace="true",
            text_a=["31", 0],
            text_b=["32", 0],
        ),
        n31=node("Text Multiline", text="a fox"),
        n32=node("CR Text", text=""),
    ),
    prompt="32.text",
)
shape(
    "concat-easy",
    fed(
        n30=node(
            "easy promptConcat", prompt1=["31", 0], prompt2="best", separator=", "
        ),
        n31=node("easy positive", positive="a fox"),
    ),
    prompt="31.positive",
)
shape(
    "concat-kj",
    fed(
        n30=node(
            "JoinStringMulti",
            inputcount=2,
            string_1=["31", 0],
            string_2="best",
            delimiter=" ",
        ),
        n31=node("StringConstantMultiline", string="a fox", strip_newlines=True),
    ),
    prompt="31.string",
)
shape(
    "concat-pysssss",
    fed(
        n30=node(
            "StringFunction|pysssss",
            action="append",
            tidy_tags="yes",
            text_a=["31", 0],
            text_b="best",
            text_c="sharp",
        ),
        n31=node("String Literal", string="a fox"),
    ),
    prompt="31.string",
)
unclear(
    "concat-two-words",
    fed(n30=joined(string_a="a cat", string_b="in oil")),
    "30.string_a",
    "30.string_b",
)
unclear(
    "concat-two-same-nodes",
    fed(
        n30=joined(string_a=["31", 0], string_b=["32", 0]),
        n31=node("PrimitiveString", value="a"),
        n32=node("PrimitiveString", value="b"),
    ),
    "31.value",
    "32.value",
)
shape(
    "caption-and-words",
    fed(
        n30=joined(string_a=["31", 0], string_b=""),
        n31=node("Florence2Run", image=["51", 0], text_input="", task="caption"),
        n51=node("LoadImage", image="a.png"),
    ),
    prompt="30.string_b",
)
unclear(
    "caption-only",
    fed(
        n30=node("JoyCaption", image=["51", 0], prompt="Describe it"),
        n51=node("LoadImage", image="a.png"),
    ),
    "6.text",
)
shape(
    "replace-word",
    fed(n30=node("StringReplace", string="a photo of X", find="X", replace="cat")),
    prompt="30.replace",
)
shape(
    "replace-word-linked",
    fed(
        n30=node("StringReplace", string="a photo of X", find="X", replace=["31", 0]),
        n31=node("PrimitiveString", value="cat"),
    ),
    prompt="31.value",
)
shape(
    "replace-was",
    fed(
        n30=node("Text Find and Replace", text=["31", 0], find="X", replace=["32", 0]),
        n31=node("Text Multiline", text="photo of X"),
        n32=node("Text Multiline", text="cat"),
    ),
    prompt="32.text",
)
shape(
    "replace-cleans",
    fed(
        n30=node("StringReplace", string=["31", 0], find="\n", replace=" "),
        n31=node("PrimitiveStringMultiline", value="a fox"),
    ),
    prompt="31.value",
)
shape(
    "llm-upsampler",
    fed(
        n30=node("TextGenerate", clip=["4", 1], prompt=["31", 0], max_length=256),
        n31=node("PrimitiveStringMultiline", value="a fox"),
    ),
    prompt="31.value",
)
shape(
    "show-text",
    fed(
        n30=node("ShowText|pysssss", text=["31", 0], text_0="old"),
        n31=node("CR Prompt Text", prompt="a fox"),
    ),
    prompt="31.prompt",
)
shape(
    "styler",
    stock(
        n6=text(["30", 0]),
        n7=text(["30", 1]),
        n30=node(
            "SDXLPromptStyler",
            text_positive="a fox",
            text_negative="bad",
            style="base",
            log_prompt="No",
        ),
    ),
    prompt="30.text_positive",
    negative="30.text_negative",
)
shape(
    "wildcards",
    stock(
        n3=sampler(positive=["30", 2]),
        n30=node(
            "ImpactWildcardEncode",
            wildcard_text="a __col__",
            populated_text="a red",
            mode="populate",
            seed=4,
            model=["4", 0],
            clip=["4", 1],
        ),
    ),
    prompt="30.wildcard_text 30.populated_text",
    negative="7.text",
    seed="3.seed",
)
shape(
    "wildcard-text",
    fed(
        n30=node(
            "ImpactWildcardProcessor",
            wildcard_text="a __col__",
            populated_text="a red",
            mode=True,
            seed=4,
        )
    ),
    prompt="30.wildcard_text 30.populated_text",
)
shape(
    "dynamic-prompts",
    fed(
        n30=node("DPRandomGenerator", text="a {red|blue} fox", seed=1, autorefresh="No")
    ),
    prompt="30.text",
)
shape(
    "text-switch",
    fed(
        n30=node("CR Text Input Switch", Input=2, text1=["31", 0], text2=["32", 0]),
        n31=node("CR Text", text="a"),
        n32=node("CR Text", text="b"),
    ),
    prompt="32.text",
)
shape(
    "lazy-switch",
    fed(
        n30=node("easy ifElse", boolean=True, on_true=["31", 0], on_false=["32", 0]),
        n31=node("CR Text", text="a"),
        n32=node("CR Text", text="b"),
    ),
    prompt="31.text",
)
shape(
    "any-switch",
    fed(
        n30=node("Any Switch (rgthree)", any_02=["32", 0], any_01=["31", 0]),
        n31=node("CR Text", text="a"),
        n32=node("CR Text", text="b"),
    ),
    prompt="31.text",
)
shape(
    "index-switch",
    fed(
        n30=node(
            "easy anythingIndexSwitch",
            index=["33", 0],
            value0=["31", 0],
            value1=["32", 0],
        ),
        n31=node("CR Text", text="a"),
        n32=node("CR Text", text="b"),
        n33=node("PrimitiveInt", value=1),
    ),
    prompt="32.text",
)
unclear(
    "computed-switch",
    fed(
        n30=node("ImpactSwitch", select=["33", 0], input1=["31", 0], input2=["32", 0]),
        n31=node("CR Text", text="a"),
        n32=node("CR Text", text="b"),
        n33=node("Random", min=1, max=2),
    ),
    "31.text",
    "32.text",
)
shape(
    "reroutes",
    stock(
        n3=sampler(positive=["30", 0]),
        n30=node("Reroute", **{"": ["31", 0]}),
        n31=node("Reroute (rgthree)", **{"": ["6", 0]}),
    ),
    **USUAL,
)
shape(
    "power-prompt",
    stock(
        n6=node(
            "Power Prompt (rgthree)",
            prompt="a",
            opt_model=["4", 0],
            opt_clip=["4", 1],
            insert_lora="x",
        )
    ),
    prompt="6.prompt",
)

# Pipes of node packs

shape(
    "efficient",
    {
        "1": node(
            "Efficient Loader",
            ckpt_name="x.safetensors",
            vae_name="Baked VAE",
            clip_skip=-1,
            lora_name="None",
            positive="good",
            negative="bad",
            empty_latent_width=512,
            empty_latent_height=768,
            batch_size=1,
        ),
        "2": node(
            "KSampler (Efficient)",
            seed=1,
            steps=20,
            cfg=7,
            sampler_name="euler",
            scheduler="normal",
            denoise=1,
            preview_method="auto",
            vae_decode="true",
            model=["1", 0],
            positive=["1", 1],
            negative=["1", 2],
            latent_image=["1", 3],
            optional_vae=["1", 4],
        ),
        "3": node("SaveImage", images=["2", 5]),
    },
    prompt="1.positive",
    negative="1.negative",
    seed="2.seed",
    width="1.empty_latent_width",
    height="1.empty_latent_height",
    model="1.ckpt_name",
)
shape(
    "efficient-hires",
    {
        "0": node("Text Multiline", text="good"),
        "1": node(
            "Efficient Loader",
            ckpt_name="x.safetensors",
            positive=["0", 0],
            negative="bad",
            empty_latent_width=512,
            empty_latent_height=768,
            batch_size=1,
        ),
        "2": node(
            "KSampler (Efficient)",
            seed=1,
            steps=20,
            cfg=7,
            model=["1", 0],
            positive=["1", 1],
            negative=["1", 2],
            latent_image=["1", 3],
        ),
        "4": node(
            "KSampler (Efficient)",
            seed=2,
            steps=10,
            cfg=7,
            denoise=0.5,
            model=["2", 0],
            positive=["2", 1],
            negative=["2", 2],
            latent_image=["2", 3],
        ),
        "3": node("SaveImage", images=["4", 5]),
    },
    prompt="0.text",
    negative="1.negative",
    seed="2.seed",
)
shape(
    "efficient-sdxl",
    {
        "1": node(
            "Eff. Loader SDXL",
            base_ckpt_name="x.safetensors",
            refiner_ckpt_name="None",
            positive="good",
            negative="bad",
            empty_latent_width=1024,
            empty_latent_height=1024,
            batch_size=1,
        ),
        "2": node(
            "KSampler SDXL (Eff.)",
            noise_seed=1,
            steps=20,
            cfg=7,
            sampler_name="euler",
            scheduler="normal",
            sdxl_tuple=["1", 0],
            latent_image=["1", 1],
            optional_vae=["1", 2],
        ),
        "3": node("SaveImage", images=["2", 3]),
    },
    prompt="1.positive",
    negative="1.negative",
    seed="2.noise_seed",
    steps="2.steps",
    width="1.empty_latent_width",
)
EASY = node(
    "easy fullLoader",
    ckpt_name="x.safetensors",
    vae_name="Baked VAE",
    clip_skip=-2,
    lora_name="None",
    resolution="1024 x 1024",
    empty_latent_width=512,
    empty_latent_height=512,
    positive="good",
    negative="bad",
    batch_size=1,
)
shape(
    "easy",
    {
        "1": EASY,
        "2": node(
            "easy fullkSampler",
            pipe=["1", 0],
            steps=20,
            cfg=8.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
            image_output="Preview",
            save_prefix="x",
            seed=1,
        ),
        "3": node("SaveImage", images=["2", 1]),
    },
    prompt="1.positive",
    negative="1.negative",
    seed="2.seed",
    steps="2.steps",
    width="1.empty_latent_width",
    model="1.ckpt_name",
)
shape(
    "easy-presampling",
    {
        "0": node("easy positive", positive="good"),
        "1": {**EASY, "inputs": {**EASY["inputs"], "positive": ["0", 0]}},  # type: ignore[dict-item]
        "2": node(
            "easy preSampling",
            pipe=["1", 0],
            steps=20,
            cfg=8.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
            seed=5,
        ),
        "4": node("easy kSampler", pipe=["2", 0], image_output="Hide", save_prefix="x"),
        "3": node("SaveImage", images=["4", 1]),
    },
    prompt="0.positive",
    negative="1.negative",
    seed="2.seed",
    steps="2.steps",
    cfg="2.cfg",
)
shape(
    "easy-shows-itself",
    {
        "1": EASY,
        "2": node(
            "easy fullkSampler",
            pipe=["1", 0],
            steps=20,
            cfg=8.0,
            image_output="Save",
            save_prefix="x",
            seed=1,
        ),
    },
    prompt="1.positive",
    output="2",
)
shape(
    "easy-pipe-out",
    {
        "1": EASY,
        "2": node("easy pipeOut", pipe=["1", 0]),
        "3": sampler(
            model=["2", 1], positive=["2", 2], negative=["2", 3], latent_image=["2", 4]
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["2", 5]),
        "9": node("SaveImage", images=["8", 0]),
    },
    prompt="1.positive",
    negative="1.negative",
    width="1.empty_latent_width",
    model="1.ckpt_name",
)
shape(
    "impact-basic-pipe",
    stock(
        n20=node(
            "ToBasicPipe",
            model=["4", 0],
            clip=["4", 1],
            vae=["4", 2],
            positive=["6", 0],
            negative=["7", 0],
        ),
        n3=node(
            "ImpactKSamplerBasicPipe",
            basic_pipe=["20", 0],
            seed=1,
            steps=20,
            cfg=7,
            sampler_name="euler",
            scheduler="normal",
            latent_image=["5", 0],
            denoise=1,
        ),
        n8=node("VAEDecode", samples=["3", 1], vae=["3", 2]),
    ),
    **USUAL,
    model="4.ckpt_name",
)
shape(
    "impact-from-pipe",
    stock(
        n20=node(
            "ToBasicPipe",
            model=["4", 0],
            clip=["4", 1],
            vae=["4", 2],
            positive=["6", 0],
            negative=["7", 0],
        ),
        n21=node("FromBasicPipe", basic_pipe=["20", 0]),
        n3=sampler(model=["21", 0], positive=["21", 3], negative=["21", 4]),
    ),
    **USUAL,
    model="4.ckpt_name",
)
shape(
    "rgthree-context",
    stock(
        n20=node(
            "Context (rgthree)",
            model=["4", 0],
            clip=["4", 1],
            positive=["6", 0],
            negative=["7", 0],
            latent=["5", 0],
        ),
        n21=node("Context (rgthree)", base_ctx=["20", 0]),
        n3=sampler(
            model=["21", 1],
            positive=["21", 4],
            negative=["21", 5],
            latent_image=["21", 6],
        ),
    ),
    **USUAL,
)
DETAILER = {
    "image": ["8", 0],
    "seed": 9,
    "steps": 12,
    "cfg": 7,
    "denoise": 0.4,
    "model": ["4", 0],
}
shape(
    "face-detailer",
    stock(
        n20=node("FaceDetailer", positive=["6", 0], negative=["7", 0], **DETAILER),
        n9=node("SaveImage", images=["20", 0]),
    ),
    **USUAL,
    steps="3.steps",
    denoise="3.denoise",
)
shape(
    "face-detailer-own-text",
    stock(
        n20=node("FaceDetailer", positive=["21", 0], negative=["22", 0], **DETAILER),
        n21=text("sharp eyes"),
        n22=text("lazy eye"),
        n9=node("SaveImage", images=["20", 0]),
    ),
    **USUAL,
)
shape(
    "face-detailer-pipe",
    stock(
        n19=node(
            "ToDetailerPipe",
            model=["4", 0],
            clip=["4", 1],
            vae=["4", 2],
            positive=["6", 0],
            negative=["7", 0],
        ),
        n20=node(
            "FaceDetailerPipe",
            image=["8", 0],
            detailer_pipe=["19", 0],
            seed=9,
            steps=12,
            cfg=7,
            denoise=0.4,
        ),
        n9=node("SaveImage", images=["20", 0]),
    ),
    **USUAL,
)

# Several passes and several outputs

LATER = {"latent_image": ["10", 0], "denoise": 0.5}
HIRES = {
    "n10": node(
        "LatentUpscaleBy",
        upscale_method="nearest-exact",
        scale_by=1.5,
        samples=["3", 0],
    ),
    "n11": sampler(seed=6, **LATER),
    "n12": node("VAEDecode", samples=["11", 0], vae=["4", 2]),
    "n13": node("SaveImage", filename_prefix="hires", images=["12", 0]),
}
shape("hires-two-saves", stock(**HIRES), **USUAL, output="13 9")
shape(
    "two-passes-two-saves",
    stock(
        n63=sampler(seed=5, latent_image=["3", 0]),
        n68=node("VAEDecode", samples=["63", 0], vae=["4", 2]),
        n101=node("SaveImage", images=["68", 0]),
    ),
    **USUAL,
    output="101 9",
)
shape(
    "hires-preview-first",
    stock(**HIRES, n9=node("PreviewImage", images=["8", 0])),
    **USUAL,
    output="13",
)
shape(
    "upscaler",
    stock(
        n70=node("UpscaleModelLoader", model_name="4x.pth"),
        n71=node("ImageUpscaleWithModel", upscale_model=["70", 0], image=["8", 0]),
        n9=node("SaveImage", images=["71", 0]),
        n72=node("PreviewImage", images=["8", 0]),
    ),
    **USUAL,
    output="9",
    model="4.ckpt_name",
)
shape(
    "ultimate",
    stock(
        n20=node(
            "UltimateSDUpscale",
            image=["8", 0],
            upscale_by=2,
            seed=2,
            steps=12,
            cfg=7,
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            tile_width=512,
        ),
        n9=node("SaveImage", images=["20", 0]),
    ),
    **USUAL,
)
shape(
    "iterative-upscale",
    stock(
        n20=node(
            "PixelKSampleUpscalerProvider",
            model=["4", 0],
            vae=["4", 2],
            seed=2,
            steps=12,
            cfg=7,
            positive=["6", 0],
            negative=["7", 0],
            denoise=0.4,
        ),
        n21=node(
            "IterativeLatentUpscale",
            samples=["3", 0],
            upscale_factor=2,
            steps=3,
            upscaler=["20", 0],
        ),
        n8=node("VAEDecode", samples=["21", 0], vae=["4", 2]),
    ),
    **USUAL,
)
unclear(
    "refiner-other-prompt",
    stock(
        n11=sampler(positive=["15", 0], latent_image=["3", 0]),
        n15=text("a dog"),
        n8=node("VAEDecode", samples=["11", 0]),
    ),
    "6.text",
    "15.text",
)
shape(
    "two-models-one-prompt",
    stock(
        n44=node("CheckpointLoaderSimple", ckpt_name="b.safetensors"),
        n13=sampler(model=["44", 0]),
        n18=node("VAEDecode", samples=["13", 0]),
        n19=node("SaveImage", images=["18", 0]),
    ),
    prompt="6.text",
    negative="7.text",
    output="9 19",
    model="4.ckpt_name",
)

# Images in

shape(
    "img2img",
    stock(
        n5=node("VAEEncode", pixels=["14", 0], vae=["4", 2]),
        n14=node("LoadImage", image="a.png"),
    ),
    prompt="6.text",
    image="14.image",
    width="",
)
shape(
    "img2img-scaled",
    stock(
        n5=node("VAEEncode", pixels=["15", 0], vae=["4", 2]),
        n15=node("ImageScale", image=["14", 0], width=768, height=512),
        n14=node("LoadImage", image="a.png"),
    ),
    prompt="6.text",
    image="14.image",
    width="15.width",
)
shape(
    "inpaint",
    stock(
        n5=node(
            "VAEEncodeForInpaint",
            pixels=["14", 0],
            vae=["4", 2],
            mask=["14", 1],
            grow_mask_by=6,
        ),
        n14=node("LoadImage", image="a.png"),
    ),
    prompt="6.text",
    image="14.image",
)
shape(
    "ipadapter",
    stock(
        n3=sampler(model=["20", 0]),
        n20=node(
            "IPAdapterAdvanced",
            model=["4", 0],
            image=["14", 0],
            weight=0.8,
            image_negative=["15", 0],
        ),
        n14=node("LoadImage", image="a.png"),
        n15=node("LoadImage", image="b.png"),
    ),
    **USUAL,
    image="14.image 15.image",
)
shape(
    "redux",
    guided(
        n26=node(
            "StyleModelApply",
            conditioning=["6", 0],
            style_model=["40", 0],
            clip_vision_output=["41", 0],
        ),
        n40=node("StyleModelLoader", style_model_name="x"),
        n41=node("CLIPVisionEncode", image=["14", 0]),
        n14=node("LoadImage", image="a.png"),
    ),
    prompt="6.text",
    image="14.image",
)
shape(
    "kontext",
    guided(
        n26=node("ReferenceLatent", conditioning=["6", 0], latent=["41", 0]),
        n41=node("VAEEncode", pixels=["14", 0]),
        n14=node("LoadImage", image="a.png"),
    ),
    prompt="6.text",
    image="14.image",
    width="27.width 30.width",
)

# Values from other nodes

shape(
    "primitives",
    stock(
        n5=node("EmptyLatentImage", width=["80", 0], height=["80", 0], batch_size=1),
        n3=sampler(seed=["82", 0], cfg=["81", 0]),
        n80=node("PrimitiveInt", value=64),
        n81=node("PrimitiveFloat", value=5.5),
        n82=node("Seed (rgthree)", seed=77),
    ),
    prompt="6.text",
    seed="82.seed",
    width="5.width",
    cfg="81.value",
)
shape(
    "size-preset",
    stock(
        n5=node("EmptyLatentImage", width=["80", 0], height=["80", 1], batch_size=1),
        n80=node(
            "CR SDXL Aspect Ratio",
            width=1024,
            height=1024,
            aspect_ratio="16:9 landscape",
            swap_dimensions="Off",
            batch_size=1,
        ),
    ),
    prompt="6.text",
    width="",
)
shape(
    "size-custom",
    stock(
        n5=node("EmptyLatentImage", width=["80", 0], height=["80", 1], batch_size=1),
        n80=node(
            "CR SDXL Aspect Ratio",
            width=1024,
            height=512,
            aspect_ratio="custom",
            batch_size=1,
        ),
    ),
    prompt="6.text",
    width="80.width",
    height="80.height",
)
shape(
    "lora-stack",
    stock(
        n6=text("a", "CLIPTextEncode"),
        n40=node(
            "LoraLoader",
            lora_name="a",
            strength_model=0.6,
            model=["4", 0],
            clip=["4", 1],
        ),
        n41=node(
            "LoraLoader",
            lora_name="b",
            strength_model=0.3,
            model=["40", 0],
            clip=["40", 1],
        ),
        n3=sampler(model=["41", 0]),
    ),
    **USUAL,
    model="4.ckpt_name",
)

# Without a sampler

API = node("OpenAIGPTImage1", prompt="a cat", seed=0, quality="low", size="auto", n=1)
shape(
    "api-node",
    {"1": API, "2": node("SaveImage", images=["1", 0])},
    prompt="1.prompt",
    seed="1.seed",
)
shape(
    "kolors",
    {
        "1": node(
            "KolorsTextEncode", prompt="a", negative_prompt="b", chatglm3_model=["5", 0]
        ),
        "5": node("LoadChatGLM3", chatglm3_checkpoint="x"),
        "2": node(
            "KolorsSampler",
            kolors_embeds=["1", 0],
            width=1024,
            height=768,
            seed=1,
            steps=25,
            cfg=5,
        ),
        "3": node("VAEDecode", samples=["2", 0]),
        "4": node("SaveImage", images=["3", 0]),
    },
    prompt="1.prompt",
    negative="1.negative_prompt",
    width="2.width",
    steps="2.steps",
)
unclear(
    "no-text",
    {
        "1": node("LoadImage", image="a.png"),
        "2": node("UpscaleModelLoader", model_name="4x.pth"),
        "3": node("ImageUpscaleWithModel", image=["1", 0], upscale_model=["2", 0]),
        "4": node("SaveImage", images=["3", 0]),
    },
    "bindings: {prompt: []}",
)
unclear(
    "no-background",
    {
        "1": node("LoadImage", image="a.png"),
        "2": node(
            "easy imageRemBg", images=["1", 0], rem_mode="RMBG-1.4", image_output="Hide"
        ),
        "4": node("SaveImage", images=["2", 0]),
    },
    "bindings: {prompt: []}",
)
unclear(
    "two-regions",
    stock(
        n3=sampler(positive=["20", 0]),
        n20=node(
            "ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["21", 0]
        ),
        n21=text("a hat"),
    ),
    "6.text",
    "21.text",
)


@pytest.mark.parametrize("name", SHAPES)
def test_each_workflow_is_bound_as_meant_or_refused(name: str) -> None:
    case = SHAPES[name]
    graph = parse_graph(json.dumps(case.nodes).encode(), source="mine.json")

    if case.refused:
        with pytest.raises(Misconfigured) as caught:
            find_bindings(graph, {})
        said = f"{caught.value.message} {caught.value.hint}"
        assert all(words in said for words in case.refused)
    else:
        found = find_bindings(graph, {})
        bound = {key: " ".join(map(str, getattr(found, key))) for key in case.want}
        assert bound == dict(case.want)


def test_at_most_one_workflow_in_ten_is_refused() -> None:
    refused = [name for name, case in SHAPES.items() if case.refused]

    assert len(SHAPES) >= 80
    assert len(refused) <= len(SHAPES) / 10
