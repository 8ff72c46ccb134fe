"""The models of our Replicate, and what they draw: one colour, in the right size."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image

SCHNELL = "black-forest-labs/flux-schnell"
PRO = "black-forest-labs/flux-1.1-pro"
SKETCH = "acme/sketch"
COLLAGE = "acme/collage"

SIZES = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "21:9": (1536, 640),
    "3:2": (1216, 832),
    "2:3": (832, 1216),
    "4:5": (896, 1088),
    "5:4": (1088, 896),
    "3:4": (896, 1152),
    "4:3": (1152, 896),
    "9:16": (768, 1344),
    "9:21": (640, 1536),
}
FORMATS = {"webp": "WEBP", "jpg": "JPEG", "png": "PNG"}

Properties = dict[str, dict[str, Any]]


@dataclass
class Model:
    """A model, as it is described and as it behaves."""

    name: str
    properties: Properties
    official: bool = True
    says_official: bool = True
    """Whether its description tells whether it is official."""
    many: bool = True
    """Whether it returns a list even of one."""
    latest: int = 1
    old: dict[int, Properties] = field(default_factory=dict)
    example: object = None
    """The output of the example in its description."""

    @property
    def version(self) -> str:
        """The id of its latest version."""
        return self.version_id(self.latest)

    def version_id(self, number: int) -> str:
        return hashlib.sha256(f"{self.name} {number}".encode()).hexdigest()

    def properties_of(self, version: str) -> Properties | None:
        """The inputs of a version; None when there is no such version."""
        if version in {self.version, "hidden"}:
            return self.properties
        for number, properties in self.old.items():
            if version == self.version_id(number):
                return properties
        return None

    def change(self, properties: Properties) -> None:
        """Become a new version that takes other inputs."""
        self.old[self.latest] = self.properties
        self.latest += 1
        self.properties = properties


def models() -> dict[str, Model]:
    """Every model there is, anew."""
    there = [
        Model(name=SCHNELL, properties=_schnell()),
        Model(name=PRO, properties=_pro(), many=False),
        Model(name=SKETCH, properties=_sketch(), official=False, says_official=False),
        Model(name=COLLAGE, properties=_collage()),
    ]
    return {model.name: model for model in there}


def openapi(properties: Properties) -> dict[str, Any]:
    """A description as Replicate writes one: choices are schemas of their own."""
    schemas: dict[str, Any] = {}
    listed: dict[str, Any] = {}
    for order, (name, said) in enumerate(properties.items()):
        plain = {key: value for key, value in said.items() if key != "required"}
        if "enum" in plain:
            schemas[name] = {
                "enum": plain.pop("enum"),
                "type": plain.pop("type"),
                "title": name,
                "description": "An enumeration.",
            }
            plain["allOf"] = [{"$ref": f"#/components/schemas/{name}"}]
        listed[name] = {"title": name.title(), "x-order": order, **plain}
    schemas["Input"] = {
        "type": "object",
        "title": "Input",
        "required": [name for name, said in properties.items() if said.get("required")],
        "properties": listed,
    }
    return {"openapi": "3.0.2", "components": {"schemas": schemas}}


def faults_in(properties: Properties, given: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is wrong with the inputs, as Replicate lists it."""
    faults = [
        {"type": "required", "field": "input", "description": f"{name} is required"}
        for name, said in properties.items()
        if said.get("required") and name not in given
    ]
    for name, value in given.items():
        said = properties.get(name)
        if said is None:
            words = f"Additional property {name} is not allowed"
            kind = "additional_property_not_allowed"
        elif "enum" in said and value not in said["enum"]:
            listed = ", ".join(f'"{choice}"' for choice in said["enum"])
            words, kind = f"{name} must be one of the following: {listed}", "enum"
        elif not _is_of(said.get("type"), value):
            words, kind = f"Invalid type. Expected: {said['type']}", "invalid_type"
        elif isinstance(value, (int, float)) and not (
            said.get("minimum", value) <= value <= said.get("maximum", value)
        ):
            words, kind = f"{name} is out of range", "number_gte"
        else:
            continue
        faults.append({"type": kind, "field": f"input.{name}", "description": words})
    return faults


def size_of(given: Mapping[str, Any]) -> tuple[int, int]:
    """How large an image is that was asked for like this."""
    ratio = given.get("aspect_ratio", "1:1")
    if "width" in given and ratio in {"custom", "1:1"}:
        return int(given["width"]), int(given.get("height", given["width"]))
    width, height = SIZES[ratio]
    if given.get("megapixels") == "0.25":
        return width // 2, height // 2
    return width, height


def drawn(given: Mapping[str, Any], *, seed: int, kind: str) -> bytes:
    """One colour, which the seed and the words decide."""
    digest = hashlib.sha256(f"{seed} {given.get('prompt')}".encode()).digest()
    buffer = BytesIO()
    with Image.new("RGB", size_of(given), tuple(digest[:3])) as picture:
        picture.save(buffer, FORMATS[kind], **({"method": 0} if kind == "webp" else {}))
    return buffer.getvalue()


def black(kind: str) -> bytes:
    """What models return in place of a picture that they withhold."""
    buffer = BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, FORMATS[kind])
    return buffer.getvalue()


def data_uri(content: bytes, *, kind: str) -> str:
    """The file as an address."""
    named = "jpeg" if kind == "jpg" else kind
    return f"data:image/{named};base64,{base64.b64encode(content).decode()}"


def _is_of(kind: str | None, value: object) -> bool:
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
        "array": (list,),
    }
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, kinds.get(kind or "", (object,)))


def _text(**more: Any) -> dict[str, Any]:
    return {"type": "string", **more}


def _whole(**more: Any) -> dict[str, Any]:
    return {"type": "integer", **more}


def _schnell() -> Properties:
    return {
        "prompt": _text(required=True, description="What to draw."),
        "aspect_ratio": _text(enum=list(SIZES), default="1:1"),
        "megapixels": _text(enum=["1", "0.25"], default="1"),
        "num_outputs": _whole(minimum=1, maximum=4, default=1),
        "num_inference_steps": _whole(minimum=1, maximum=4, default=4),
        "seed": _whole(description="Same seed, same image."),
        "output_format": _text(enum=["webp", "jpg", "png"], default="webp"),
        "output_quality": _whole(minimum=0, maximum=100, default=80),
        "go_fast": {"type": "boolean", "default": True},
        "disable_safety_checker": {"type": "boolean", "default": False},
    }


def _pro() -> Properties:
    side = {"minimum": 256, "maximum": 1440, "description": "a multiple of 32"}
    return {
        "prompt": _text(required=True),
        "aspect_ratio": _text(enum=["custom", *SIZES], default="1:1"),
        "width": _whole(**side),
        "height": _whole(**side),
        "seed": _whole(),
        "image_prompt": _text(format="uri"),
        "safety_tolerance": _whole(minimum=1, maximum=6, default=2),
        "prompt_upsampling": {"type": "boolean", "default": False},
        "output_format": _text(enum=["webp", "jpg", "png"], default="webp"),
        "output_quality": _whole(minimum=0, maximum=100, default=80),
    }


def _sketch() -> Properties:
    """A community model, with its own names."""
    side = {"minimum": 64, "maximum": 512, "default": 256}
    return {
        "prompt": _text(default="a house", description="What to draw."),
        "negative_prompt": _text(default="", description="What to leave out."),
        "width": _whole(**side, description="Multiple of 8."),
        "height": _whole(**side, description="Multiple of 8."),
        "steps": _whole(minimum=1, maximum=100, default=20),
        "guidance_scale": {"type": "number", "minimum": 1, "maximum": 20},
        "seed": _whole(maximum=65535),
        "output_format": _text(enum=["jpg", "png"], default="png"),
        "hf_token": _text(description="For weights behind a door."),
    }


def _collage() -> Properties:
    """One that takes no seed, and makes several at once out of several."""
    return {
        "prompt": _text(required=True),
        "aspect_ratio": _text(enum=["match_input_image", "1:1", "16:9"], default="1:1"),
        "megapixels": _text(enum=["1", "0.25"], default="1"),
        "input_images": {
            "type": "array",
            "items": {"type": "string", "format": "uri"},
            "default": [],
            "description": "Maximum 3 images.",
        },
        "mask": _text(format="uri", description="White is painted anew."),
        "number_of_images": _whole(minimum=1, maximum=4, default=1),
        "output_format": _text(enum=["png", "jpg", "webp"], default="png"),
    }
