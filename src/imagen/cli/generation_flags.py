"""The flags of the commands that generate images: generate, rerun and sweep.

The flags of request parameters are derived from their declarations in
`imagen.bootstrap.parameters`; the flags of the command line alone are declared here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, TypeAlias, cast, get_args

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.parameters import (
    PARAMETERS,
    Kind,
    ParameterInfo,
    RequestParameters,
    RerunParameters,
    SweepParameters,
)
from imagen.cli.parameters import (
    GENERATION_GROUP,
    IMAGE_GROUP,
    OUTPUT_GROUP,
    PathWord,
    check_output,
    complete_backends,
    complete_models,
    complete_styles,
    parse_decimal,
    parse_number,
    parse_options,
    parse_whole_number,
    read_prompt,
    split_pairs,
)

if TYPE_CHECKING:
    from typing import BinaryIO

    from imagen.bootstrap.once import Repetition
    from imagen.bootstrap.output import OutputOptions

BackendFlag: TypeAlias = Annotated[
    str | None,
    Parameter(group=GENERATION_GROUP, metavar="NAME", completer=complete_backends),
]
GenerationSwitch: TypeAlias = Annotated[bool, Parameter(group=GENERATION_GROUP)]
OutputSwitch: TypeAlias = Annotated[bool, Parameter(group=OUTPUT_GROUP)]
OutputFlag: TypeAlias = Annotated[
    PathWord | None,
    Parameter(
        alias="-o",
        group=OUTPUT_GROUP,
        metavar="PATH",
        # For `-` alone; `check_output` rejects other values.
        allow_leading_hyphen=True,
    ),
]


@dataclass(frozen=True, kw_only=True)
class OutputFlags:
    """The flags that say where images are stored.

    Attributes:
        output: A file (its extension sets the format; an existing file goes to the
            trash), a folder, or - for stdout. [default: named by the config's template]
        no_sidecar: Write no .json file beside the image.
        no_metadata: Write no metadata into the image file.
        no_cloud: Upload no copy of the image to the cloud.
    """

    output: OutputFlag = None
    no_sidecar: OutputSwitch = False
    no_metadata: OutputSwitch = False
    no_cloud: OutputSwitch = False

    def options(
        self,
        *,
        json: bool = False,
        media_type: str | None = None,
        stream: "BinaryIO | None" = None,
    ) -> "OutputOptions":
        """Return the output options.

        Raises:
            UsageError: the path looks like an option, or stdout has two uses.
        """
        from imagen.bootstrap.output import OutputOptions  # noqa: PLC0415 - not for the help

        return OutputOptions(
            path=check_output(self.output, json=json),
            sidecar=not self.no_sidecar,
            metadata=not self.no_metadata,
            cloud=not self.no_cloud,
            format=media_type,
            stream=stream,
        )


@dataclass(frozen=True, kw_only=True)
class SweepOutputFlags(OutputFlags):
    """The same flags for a sweep, whose images do not fit into one file or pipe.

    Attributes:
        output: A folder, or a file name that gets a number for each image; existing
            files of these names go to the trash. [default: named by the config's
            template]
    """

    output: OutputFlag = None


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """The flags of generate and rerun that say how to run the generation.

    Attributes:
        count: The number of images; their seeds count up from the first. [default: 1,
            or the batch size of a ComfyUI workflow]
        live: Show the picture while it is generated, if the backend and the terminal
            support it.
        estimate: Print the request and its cost, and send nothing.
        preview: Show each image in a tmux window in the background. [default: the
            config's or $IMAGEN_PREVIEW; else in tmux, if stdout is a terminal]
        show: Draw each image in this terminal.
        open: Open each image with the image viewer of the desktop.
    """

    count: Annotated[
        int | None,
        Parameter(
            alias="-n", group=IMAGE_GROUP, metavar="N", converter=parse_whole_number
        ),
    ] = None
    live: GenerationSwitch = False
    estimate: GenerationSwitch = False
    preview: Annotated[
        bool | None, Parameter(group=OUTPUT_GROUP, negative="--no-preview")
    ] = None
    show: OutputSwitch = False
    open: OutputSwitch = False


@dataclass(frozen=True, kw_only=True)
class RepetitionFlags:
    """The flags that say how a command treats an earlier one.

    Attributes:
        key: An idempotency key: the same key with the same request returns the same
            images and is paid once.
        fresh: Do not continue an interrupted command, but start a new one.
        unrecorded: Send calls that may cost money even if they cannot be recorded; a
            crash can then lose an image that was paid for.
    """

    key: Annotated[str | None, Parameter(group=GENERATION_GROUP, metavar="TEXT")] = None
    fresh: GenerationSwitch = False
    unrecorded: GenerationSwitch = False

    def repetition(self) -> "Repetition":
        """Return how the command treats an earlier one.

        Raises:
            InvalidRequest: the key is empty or too long.
        """
        from imagen.bootstrap.once import Repetition  # noqa: PLC0415 - not for the help

        return Repetition(key=self.key, fresh=self.fresh, unrecorded=self.unrecorded)


class RequestFlags:
    """The values of the flags that are derived from the request parameters."""

    def parameters(self) -> RerunParameters:
        """Return the parameters that are given.

        Raises:
            UsageError: the prompt of `--prompt -` cannot be read.
        """
        given = {name: value for name, value in vars(self).items() if value is not None}
        if "prompt" in given:
            given["prompt"] = read_prompt(given["prompt"], flag="--prompt")
        if "set" in given:
            given["set"] = parse_options(given["set"])
        return cast("RerunParameters", given)

    def values(self) -> SweepParameters:
        """Return the parameters of a sweep, with lists of the values to combine.

        Raises:
            InvalidRequest: a value is empty.
        """
        from imagen.domain.sweep import parse_words  # noqa: PLC0415 - only for sweeps

        given = {name: value for name, value in vars(self).items() if value is not None}
        for name, value in given.items():
            info = PARAMETERS[name]
            if info.kind == "text" and info.sweepable:
                given[name] = list(parse_words(name, value).values)
            elif info.kind == "pairs":
                from imagen.settings.document import parse_scalar  # noqa: PLC0415 - costs yaml

                given[name] = {
                    key: list(parse_words(f"set.{key}", text, read=parse_scalar).values)
                    for key, text in split_pairs(value).items()
                }
        return cast("SweepParameters", given)


_GROUPS = {each.name: each for each in (IMAGE_GROUP, GENERATION_GROUP, OUTPUT_GROUP)}
_TYPES: Mapping[Kind, object] = {
    "text": str | None,
    "whole number": int | None,
    "number": float | None,
    "dollars": Decimal | None,
    "switch": bool,
    "file": PathWord | None,
    "files": list[PathWord] | None,
    "pairs": list[str] | None,
}
_PARAMETERS: Mapping[str, type] = {
    "GenerateFlags": RequestParameters,
    "RerunFlags": RerunParameters,
    "SweepFlags": SweepParameters,
}
_COMPLETERS = {"style": complete_styles, "model": complete_models}
_CONVERTERS = {
    "whole number": parse_whole_number,
    "number": parse_number,
    "dollars": parse_decimal,
}


def _build_flags(class_name: str, parameters: type) -> type:
    """Return a dataclass with a flag for each parameter of a TypedDict."""
    command = class_name.removesuffix("Flags").lower()
    fields: list[tuple[str, object, object]] = []
    for name, info in PARAMETERS.items():
        if name not in parameters.__annotations__:
            continue
        several = command == "sweep" and info.sweepable
        is_axis = several and info.kind != "pairs"
        keeps = several or command == "rerun"
        default = None if keeps and info.kind != "switch" else info.default
        flag = Parameter(
            name=f"--{info.flag}" if info.flag else None,
            group=_GROUPS[info.group],
            metavar=f"{info.metavar},..." if is_axis else info.metavar or None,
            converter=None if several else _CONVERTERS.get(info.kind),
            completer=_COMPLETERS.get(name),
            negative=(),
            # For `-` alone; `read_prompt` rejects other values.
            allow_leading_hyphen=name == "prompt",
            show_default=info.kind == "whole number" and default is not None,
            help=_describe(info, command, several=several),
        )
        if info.kind == "choice":
            kind = get_args(RequestParameters.__annotations__[name])[0]
        else:
            kind = str | None if is_axis else _TYPES[info.kind]
        fields.append((name, Annotated[kind, flag], default))
    return make_dataclass(
        class_name,
        fields,
        bases=(RequestFlags,),
        # Python 3.11 would set `types`, and cyclopts skip the class as a builtin.
        namespace={"__module__": __name__},
        frozen=True,
        kw_only=True,
    )


def _describe(info: ParameterInfo, command: str, *, several: bool) -> str:
    default = info.default_help
    if command == "rerun":
        default = info.rerun_default or default
    elif command == "sweep":
        default = info.sweep_default or default
    sentences = [info.help, *([info.cli_help] if info.cli_help else [])]
    if info.kind == "pairs":
        sentences.append("The value is typed as in YAML.")
    if info.kind in {"files", "pairs"}:
        sentences.append("Repeatable.")
    if several and info.kind == "whole number":
        sentences.append("Several: 1,5 or 1..4 or 10..50..20.")
    elif several and info.kind == "pairs":
        sentences.append("Several values: KEY=A,B.")
    elif several:
        sentences.append("Several: A,B.")
    return " ".join(sentences) + (f" [default: {default}]" if default else "")


if TYPE_CHECKING:
    GenerateFlags: TypeAlias = RequestFlags
    RerunFlags: TypeAlias = RequestFlags
    SweepFlags: TypeAlias = RequestFlags
else:

    def __getattr__(name: str) -> type:
        # Built at run time, so that a new parameter needs no change here, and on first
        # use, because each takes about 2 ms. cyclopts reads the fields of the
        # dataclass; the commands use only the methods of RequestFlags.
        if name not in _PARAMETERS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        flags = globals()[name] = _build_flags(name, _PARAMETERS[name])
        return flags
