"""What is said over HTTP: OpenAI's fields, and our own beside them."""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from imagen.domain.request import MAX_IMAGES, MAX_STEPS

LARGEST_SEED = 2**64 - 1
MAX_PARTIAL_IMAGES = 3
MAX_NAME_LENGTH = 300
MAX_PROMPT_LENGTH = 1_000_000
SIZE = r"^(auto|[0-9]{2,5}[xX][0-9]{2,5})?$"
"""Of a whole size; described so, and looked at where a sentence can be said of it."""

Format: TypeAlias = Literal["png", "webp", "jpeg"]
Name: TypeAlias = Annotated[str, Meta(max_length=MAX_NAME_LENGTH)]


class ImageFields(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that making an image and changing one have in common.

    A field that the backend cannot heed is a warning in the answer and in the sidecar.
    """

    prompt: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_PROMPT_LENGTH,
            description="What the image shows.",
        ),
    ]
    model: Annotated[
        Name | None,
        Meta(
            description="A backend by its name, or BACKEND/MODEL where its model can be"
            " chosen; `GET /v1/models` lists them. Default: the config's."
        ),
    ] = None
    n: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_IMAGES)] | None,
        Meta(description="How many images; the config limits them to 10."),
    ] = None
    size: Annotated[
        Annotated[str, Meta(extra_json_schema={"pattern": SIZE})] | None,
        Meta(description="`auto`, or WIDTHxHEIGHT such as 1536x1024, 16 to 16384."),
    ] = None
    quality: Annotated[
        Name | None,
        Meta(description="`auto`, or what the backend has by that parameter."),
    ] = None
    background: Annotated[
        Literal["auto", "transparent", "opaque"] | None,
        Meta(description="Heeded where the backend has such a parameter."),
    ] = None
    output_format: Annotated[
        Format | None, Meta(description="Default: as the backend made it.")
    ] = None
    output_compression: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(description="Heeded where the backend has such a parameter."),
    ] = None
    moderation: Annotated[
        Name | None, Meta(description="Heeded where the backend has such a parameter.")
    ] = None
    response_format: Annotated[
        Literal["b64_json", "url"] | None,
        Meta(description="Default: b64_json. A URL holds for an hour."),
    ] = None
    stream: Annotated[
        bool | None, Meta(description="Answer with server-sent events.")
    ] = None
    partial_images: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_PARTIAL_IMAGES)] | None,
        Meta(description="With `stream`: previews, where the backend has them."),
    ] = None
    user: Annotated[
        Name | None, Meta(description="Who uses your program; not sent anywhere.")
    ] = None
    safety_identifier: Annotated[Name | None, Meta(description="Likewise.")] = None
    seed: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Ours: 0 draws one, up to 2^64-1; the answer says which."),
    ] = None
    negative_prompt: Annotated[
        Annotated[str, Meta(max_length=MAX_PROMPT_LENGTH)] | None,
        Meta(description="Ours: what to keep out of the image."),
    ] = None
    num_inference_steps: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_STEPS)] | None,
        Meta(description="Ours: 0 is the backend's own number."),
    ] = None
    guidance_scale: Annotated[
        float | None,
        Meta(description="Ours: heeded where the backend has such a parameter."),
    ] = None
    style: Annotated[
        Name | None,
        Meta(
            description="Ours: a style of the config. OpenAI's vivid and natural are"
            " a warning where the config has none of that name."
        ),
    ] = None


class GenerationFields(ImageFields, frozen=True, kw_only=True):
    """What `POST /v1/images/generations` takes."""


class EditTextFields(ImageFields, frozen=True, kw_only=True):
    """What `POST /v1/images/edits` takes besides files."""

    input_fidelity: Annotated[
        Name | None, Meta(description="Heeded where the backend has such a parameter.")
    ] = None


class ImageData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image; what is not OpenAI's is ours."""

    id: str
    b64_json: bytes | None = None
    url: str | None = None
    revised_prompt: str | None = None
    seed: int | None = None
    size: str
    mime_type: str
    cost_usd: float | None = None


class ImagesBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The images of a request; `warnings`, `cost_usd` and `model` are ours."""

    created: int
    data: tuple[ImageData, ...]
    model: str
    size: str | None = None
    output_format: str | None = None
    background: str | None = None
    quality: str | None = None
    cost_usd: float | None = None
    warnings: tuple[str, ...] = ()
