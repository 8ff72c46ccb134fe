"""Request and response bodies: OpenAI's fields and imagen's extensions."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from imagen.bootstrap.parameters import PARAMETERS
from imagen.domain.request import MAX_IMAGES, MAX_STEPS
from imagen.domain.size import LARGEST_SIDE

MAX_PARTIAL_IMAGES = 3
MAX_NAME_LENGTH = 300
MAX_PROMPT_LENGTH = 1_000_000
# Only in the OpenAPI description: checked by msgspec, its error message would show the
# regular expression. `request_mapping.check_limits` has a message of its own.
SIZE = rf"^(auto|{PARAMETERS['size'].http_pattern})?$"

Format: TypeAlias = Literal["png", "webp", "jpeg", "jpg"]
Name: TypeAlias = Annotated[str, Meta(max_length=MAX_NAME_LENGTH)]
Side: TypeAlias = Annotated[int, Meta(ge=0, le=LARGEST_SIDE)]

BackendParameter: TypeAlias = Annotated[
    Name | None, Meta(description="Used if the backend has this parameter.")
]
NotForwarded: TypeAlias = Annotated[
    Name | None, Meta(description="Accepted and not forwarded.")
]


class KnownFields(msgspec.Struct, frozen=True, kw_only=True):
    """The common fields of generations and edits.

    A field that the backend does not support becomes a warning in the response and in
    the sidecar.
    """

    prompt: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_PROMPT_LENGTH,
            description="Description of the image.",
        ),
    ]
    model: Annotated[
        Name | None,
        Meta(
            description="The name of a backend, BACKEND/MODEL if the backend has"
            " several models, or an alias of the config; `GET /v1/models` lists them."
            " Default, also if empty: the config's default backend."
        ),
    ] = None
    n: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_IMAGES)] | None,
        Meta(description="Number of images; the default limit is 10."),
    ] = None
    size: Annotated[
        Annotated[str, Meta(extra_json_schema={"pattern": SIZE})] | None,
        Meta(
            description=f"`auto`, or {PARAMETERS['size'].http_format}; 16 to 16384"
            " each."
        ),
    ] = None
    quality: Annotated[
        Name | None,
        Meta(
            description="`auto`, or a value of the backend's own parameter `quality`."
        ),
    ] = None
    background: Annotated[
        Literal["auto", "transparent", "opaque"] | None,
        Meta(description="Used if the backend has this parameter."),
    ] = None
    output_format: Annotated[
        Format | None, Meta(description="Default: the format that the backend returns.")
    ] = None
    output_compression: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(description="Used if the backend has this parameter."),
    ] = None
    moderation: BackendParameter = None
    response_format: Annotated[
        Literal["b64_json", "url"] | None,
        Meta(
            description="Default: url for a model named dall-e-..., otherwise b64_json."
            " A URL expires after one hour."
        ),
    ] = None
    stream: Annotated[
        bool | None, Meta(description="Respond with server-sent events.")
    ] = None
    partial_images: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_PARTIAL_IMAGES)] | None,
        Meta(description="Number of previews with `stream`, if supported."),
    ] = None
    user: NotForwarded = None
    safety_identifier: NotForwarded = None
    seed: Annotated[
        Annotated[int, Meta(ge=-1)] | None,
        Meta(
            description="Extension: up to 2^64-1; 0 and -1 pick a random seed, which"
            " the response contains."
        ),
    ] = None
    negative_prompt: Annotated[
        Annotated[str, Meta(max_length=MAX_PROMPT_LENGTH)] | None,
        Meta(description="Extension: what the image must not show."),
    ] = None
    num_inference_steps: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_STEPS)] | None,
        Meta(description="Extension: 0 is the backend's default."),
    ] = None
    guidance_scale: Annotated[
        float | None,
        Meta(description="Extension: used if the backend has this parameter."),
    ] = None
    style: Annotated[
        Name | None,
        Meta(
            description="Extension: a style of the config. OpenAI's vivid and natural"
            " are ignored with a warning unless the config has a style of that name."
        ),
    ] = None
    width: Annotated[
        Side | None,
        Meta(description="Extension: with `height`, the same as `size`."),
    ] = None
    height: Annotated[
        Side | None, Meta(description="Extension: with `width`, the same as `size`.")
    ] = None
    steps: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_STEPS)] | None,
        Meta(description="Extension: another name of `num_inference_steps`."),
    ] = None
    cfg_scale: Annotated[
        float | None,
        Meta(description="Extension: another name of `guidance_scale`."),
    ] = None


if TYPE_CHECKING:
    ImageFields: TypeAlias = KnownFields
else:
    # Built at run time, so that a new parameter needs no change here.
    ImageFields = msgspec.defstruct(
        "ImageFields",
        [
            (info.http_name, Annotated[Name | None, Meta(description=info.help)], None)
            for info in PARAMETERS.values()
            if info.http_name and info.http_name not in KnownFields.__struct_fields__
        ],
        bases=(KnownFields,),
        frozen=True,
        kw_only=True,
    )


class GenerationFields(ImageFields, frozen=True, kw_only=True):
    """The body of `POST /v1/images/generations`."""


class ImageData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image; all but `b64_json`, `url` and `revised_prompt` are extensions."""

    id: str
    b64_json: bytes | None = None
    url: str | None = None
    revised_prompt: str | None = None
    seed: int | None = None
    size: str
    mime_type: str
    cost_usd: float | None = None
    warnings: tuple[str, ...] = ()


class ImagesBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The images of a request; `model`, `cost_usd` and `warnings` are extensions."""

    created: int
    data: tuple[ImageData, ...]
    model: str
    size: str | None = None
    output_format: str | None = None
    background: str | None = None
    quality: str | None = None
    cost_usd: float | None = None
    warnings: tuple[str, ...] = ()
