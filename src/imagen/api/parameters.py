"""The keyword arguments of the Python API."""

from collections.abc import Callable, Sequence
from inspect import Parameter, cleandoc, signature
from os import PathLike
from typing import Annotated, Any, TypedDict, TypeVar, get_args

from imagen.bootstrap.parameters import (
    PARAMETERS,
    ParameterInfo,
    RequestParameters,
    RerunParameters,
    SweepParameters,
)
from imagen.domain.events import Listener, ignore_event

Function = TypeVar("Function", bound=Callable[..., Any])


class RunOptions(TypedDict, total=False):
    """The options of every function that generates images."""

    output: Annotated[
        str | PathLike[str] | None,
        ParameterInfo(
            help="A file (its extension sets the format; an existing file goes to the"
            " trash) or a folder; None uses the naming template of the config."
        ),
    ]
    sidecar: Annotated[
        bool,
        ParameterInfo(help="False writes no `.json` beside the image.", default=True),
    ]
    metadata: Annotated[
        bool,
        ParameterInfo(help="False writes no metadata into the file.", default=True),
    ]
    cloud: Annotated[
        bool, ParameterInfo(help="False uploads no copy to the cloud.", default=True)
    ]
    key: Annotated[
        str | None,
        ParameterInfo(
            help="An idempotency key: the same key with the same request returns the"
            " same images and is paid once."
        ),
    ]
    fresh: Annotated[
        bool,
        ParameterInfo(
            help="True does not continue an interrupted call with the same arguments,"
            " but starts a new one.",
            default=False,
        ),
    ]
    unrecorded: Annotated[
        bool,
        ParameterInfo(
            help="True sends calls that may cost money without a record if none can be"
            " written.",
            default=False,
        ),
    ]
    progress: Annotated[
        bool,
        ParameterInfo(
            help="False shows no progress in a notebook; elsewhere none is shown.",
            default=True,
        ),
    ]
    listen: Annotated[
        Listener,
        ParameterInfo(
            help="Called with every event as it happens, from any thread.",
            default=ignore_event,
        ),
    ]


class SingleRunOptions(RunOptions, total=False):
    """The options of the functions that make one request."""

    backend: Annotated[
        str | None,
        ParameterInfo(help="The name of a backend in the config; None for a default."),
    ]
    preview: Annotated[
        bool,
        ParameterInfo(help="True shows each image in a tmux window.", default=False),
    ]
    live: Annotated[
        bool,
        ParameterInfo(
            help="True sends `Previewed` events to `listen` while an image is"
            " generated, if the backend has previews.",
            default=False,
        ),
    ]


class Parameters(SingleRunOptions, RequestParameters, total=False):
    """The keyword arguments of `generate`."""


class RerunArguments(SingleRunOptions, RerunParameters, total=False):
    """The keyword arguments of `rerun`."""


class ConfigOption(TypedDict, total=False):
    """The option of the functions that a `Studio` has for all its calls."""

    config: Annotated[
        str | PathLike[str] | None,
        ParameterInfo(
            help="The config file; None uses the same file as the command line."
        ),
    ]


class ConfiguredParameters(ConfigOption, Parameters, total=False):
    """The same, for the function that opens a `Studio` itself."""


class ConfiguredRerunArguments(ConfigOption, RerunArguments, total=False):
    """The same, for the function that opens a `Studio` itself."""


class SweepArguments(RunOptions, SweepParameters, total=False):
    """The keyword arguments of `sweep`."""

    backend: Annotated[
        str | Sequence[str] | None,
        ParameterInfo(
            help="The name of a backend in the config, or several; None for a default."
        ),
    ]
    jobs: Annotated[
        int | None,
        ParameterInfo(
            help="The largest number of concurrent calls; None for the concurrency of"
            " each backend."
        ),
    ]
    sheet: Annotated[
        bool, ParameterInfo(help="False makes no contact sheet.", default=True)
    ]


def check_names(function: str, given: RunOptions, kind: type) -> None:
    """Reject unknown keyword arguments.

    Python does not check arguments that are passed on as `**parameters`.

    Raises:
        TypeError: a name is not one of the TypedDict.
    """
    unknown = sorted(given.keys() - kind.__annotations__.keys())
    if unknown:
        raise TypeError(
            f"{function}() got an unexpected keyword argument {unknown[0]!r}"
        )


def document(kind: type, *, defaults: bool = True) -> Callable[[Function], Function]:
    """Add the keyword arguments of a TypedDict to signature and docstring.

    Type checkers and editors read the TypedDict. `help()`, `inspect.signature` and
    notebooks would show only `**parameters`.

    Args:
        defaults: False if a missing parameter does not mean its default.
    """

    def add(function: Function) -> Function:
        keywords: list[Parameter] = []
        lines: list[str] = []
        for name, annotation in kind.__annotations__.items():
            known = PARAMETERS.get(name)
            info: ParameterInfo = known or annotation.__metadata__[0]
            keywords.append(
                Parameter(
                    name,
                    Parameter.KEYWORD_ONLY,
                    default=info.default if defaults or not known else None,
                    # The values without `ParameterInfo`, which would fill the page.
                    annotation=get_args(annotation)[0]
                    if hasattr(annotation, "__metadata__")
                    else annotation,
                )
            )
            default = info.rerun_default if not defaults else ""
            default = default or info.default_help
            sentences = [info.help, info.python_help]
            sentences.append(f"Default: {default}." if default else "")
            lines.append(f"    {name}: {' '.join(filter(None, sentences))}")
        plain = signature(function)
        others = [p for p in plain.parameters.values() if p.kind != p.VAR_KEYWORD]
        function.__signature__ = plain.replace(parameters=[*others, *keywords])  # type: ignore[attr-defined]
        # Python 3.13 removes the indentation when it compiles a function.
        text = cleandoc(function.__doc__ or "")
        before, mark, after = text.partition("    parameters:")
        if mark:
            _, _, rest = after.partition("\n\n")
            function.__doc__ = "\n".join([before.rstrip(), *lines, "", rest])
        return function

    return add
