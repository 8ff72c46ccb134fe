"""The parameters of a generation, declared once for every shell.

The flags of the commands, the keyword arguments of the Python API and the fields of
the HTTP API are derived from these declarations. `requests.py` turns their values into
a GenerationRequest.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from os import PathLike
from typing import Annotated, Literal, TypeAlias, TypedDict

import msgspec

from imagen.domain.reference import ReferenceImage
from imagen.domain.size import Size

ImageSource: TypeAlias = str | PathLike[str] | bytes | ReferenceImage
"""The path of an image, or its content."""

Kind: TypeAlias = Literal[
    "text",
    "whole number",
    "number",
    "dollars",
    "switch",
    "choice",
    "file",
    "files",
    "pairs",
]


class ParameterInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The description of a parameter, from which flags and fields are derived.

    Attributes:
        help: One or two sentences for `--help` and the docstrings.
        kind: The kind of value that a flag parses.
        group: The section of `--help`.
        default: The value if the parameter is not given.
        python_help: The forms of the value in Python, if they are not obvious.
        cli_help: The forms of the value on the command line, if they are not obvious.
        default_help: The default in words, where it depends on the config.
        rerun_default: The default of `imagen rerun`, in words.
        sweep_default: The default of `imagen sweep`, in words.
        metavar: The placeholder for the value in `--help`.
        flag: The name of the flag, if it is not the name of the parameter.
        sweepable: True if a sweep takes several values.
        http_name: The name of the field in the HTTP API; "" if there is none.
        http_format: The format of the field in words, with an example.
        http_pattern: The format of the field as a regular expression.
    """

    help: str
    kind: Kind = "text"
    group: Literal["Image", "Generation", "Output"] = "Generation"
    default: object = None
    python_help: str = ""
    cli_help: str = ""
    default_help: str = ""
    rerun_default: str = ""
    sweep_default: str = ""
    metavar: str = ""
    flag: str = ""
    sweepable: bool = False
    http_name: str = ""
    http_format: str = ""
    http_pattern: str = ""


class SharedParameters(TypedDict, total=False):
    """Parameters of generate, rerun and sweep that have one value."""

    images: Annotated[
        Sequence[ImageSource] | None,
        ParameterInfo(
            help="Reference images, if the backend accepts any.",
            python_help="Paths, or the content of files as bytes.",
            kind="files",
            group="Image",
            rerun_default="the same images",
            metavar="PATH",
            flag="image",
        ),
    ]
    mask: Annotated[
        ImageSource | None,
        ParameterInfo(
            help="A mask; the first image is repainted where the mask is transparent.",
            kind="file",
            group="Image",
            rerun_default="the same mask",
            metavar="PATH",
        ),
    ]
    timeout: Annotated[
        float | None,
        ParameterInfo(
            help="Time limit for one image in seconds; then its job is cancelled.",
            kind="number",
            default_help="the backend's, else 600",
            metavar="SECONDS",
        ),
    ]
    strict: Annotated[
        bool,
        ParameterInfo(
            help="Fail if a parameter would be ignored or changed, or if a stored image"
            " is not as requested.",
            python_help="`NotAsRequested` has the `image`.",
            kind="switch",
            default=False,
        ),
    ]
    max_cost: Annotated[
        float | str | Decimal | None,
        ParameterInfo(
            help="Fail if the images may cost more than this many US dollars, or if the"
            " cost is unknown.",
            kind="dollars",
            metavar="USD",
        ),
    ]
    fit: Annotated[
        Literal["crop", "pad", "resize"] | None,
        ParameterInfo(
            help="Change the image to the exact size if the backend cannot make it:"
            " crop, pad or resize it.",
            kind="choice",
            group="Output",
        ),
    ]
    fit_upscale: Annotated[
        bool,
        ParameterInfo(
            help="Let `fit` enlarge an image more than twice; without this it is stored"
            " as it came.",
            kind="switch",
            group="Output",
            default=False,
        ),
    ]


class RequestParameters(SharedParameters, total=False):
    """All parameters of a generation except prompt and count."""

    style: Annotated[
        str | None,
        ParameterInfo(
            help="The name of a style: built in, or in the config.",
            group="Image",
            rerun_default="the style of the image, as it was",
            metavar="NAME",
            sweepable=True,
            http_name="style",
        ),
    ]
    negative: Annotated[
        str | None,
        ParameterInfo(
            help="The negative prompt: what to keep out of the image.",
            group="Image",
            rerun_default="that of the image",
            metavar="TEXT",
            http_name="negative_prompt",
        ),
    ]
    size: Annotated[
        str | tuple[int, int] | Size | None,
        ParameterInfo(
            help="Width and height, 16 to 16384, or an aspect ratio such as 16:9.",
            python_help='`"1536x768"`, `(1536, 768)` or `"16:9"`.',
            group="Image",
            default_help="the style's, the backend's, the workflow's, else 1024x1024",
            rerun_default="the requested size of the image",
            metavar="WxH",
            sweepable=True,
            http_name="size",
            http_format="WIDTHxHEIGHT, such as 1024x1024, or WIDTH:HEIGHT, such as"
            " 16:9",
            http_pattern=r"[0-9]{2,5}[xX][0-9]{2,5}|[0-9.]{1,10}:[0-9.]{1,10}",
        ),
    ]
    aspect: Annotated[
        str | None,
        ParameterInfo(
            help="An aspect ratio instead of a size; the number of pixels stays that of"
            " the default size.",
            group="Image",
            metavar="W:H",
            sweepable=True,
            http_name="aspect_ratio",
        ),
    ]
    seed: Annotated[
        int | None,
        ParameterInfo(
            help="The seed; 0 draws one. The seed that was used is recorded.",
            kind="whole number",
            group="Image",
            default=0,
            rerun_default="the seed of the image",
            sweep_default="one seed, drawn for all combinations",
            metavar="N",
            sweepable=True,
            http_name="seed",
        ),
    ]
    steps: Annotated[
        int | None,
        ParameterInfo(
            help="The number of steps; 0 leaves it to the backend.",
            kind="whole number",
            default=0,
            rerun_default="the steps of the image",
            metavar="N",
            sweepable=True,
            http_name="num_inference_steps",
        ),
    ]
    model: Annotated[
        str | None,
        ParameterInfo(
            help="The model, if the backend has several.",
            rerun_default="the model of the image",
            metavar="NAME",
            sweepable=True,
        ),
    ]
    set: Annotated[
        Mapping[str, object] | None,
        ParameterInfo(
            help="Parameters of the backend.",
            kind="pairs",
            rerun_default="the parameters of the image",
            metavar="KEY=VALUE",
            sweepable=True,
        ),
    ]


class RerunParameters(RequestParameters, total=False):
    """The parameters that can be replaced in a rerun."""

    prompt: Annotated[
        str | None,
        ParameterInfo(
            help="Another prompt; the style of the image is applied to it.",
            cli_help="`-` reads it from standard input.",
            group="Image",
            rerun_default="the prompt of the image",
            metavar="TEXT",
        ),
    ]


class SweepParameters(SharedParameters, total=False):
    """The parameters of a sweep: one value or several of each sweepable parameter."""

    style: str | Sequence[str] | None
    size: str | tuple[int, int] | Size | Sequence[str] | None
    aspect: str | Sequence[str] | None
    seed: int | str | Iterable[int] | None
    steps: int | str | Iterable[int] | None
    model: str | Sequence[str] | None
    set: Mapping[str, object] | None
    negative: str | None


_ALL = RerunParameters.__annotations__
_INHERITED = (RequestParameters.__annotations__, SharedParameters.__annotations__)
# As help lists them: those of a class before those that it inherits.
PARAMETERS: Mapping[str, ParameterInfo] = {
    name: _ALL[name].__metadata__[0]
    for name in sorted(_ALL, key=lambda name: sum(name in each for each in _INHERITED))
}
