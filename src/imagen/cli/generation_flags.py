"""What commands that make images share: flags, and how a plan is carried out."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.cli import exit_codes
from imagen.cli.output import Output, say
from imagen.cli.parameters import (
    HOW,
    WHAT,
    WHERE,
    PathWord,
    complete_backends,
    parse_decimal,
    parse_number,
    parse_whole_number,
)
from imagen.cli.signals import StopSignals
from imagen.domain.errors import Cancelled, ImagenError
from imagen.domain.result import FailedImage, StoredImage
from imagen.engine.cancellation import Cancellation

if TYPE_CHECKING:
    from imagen.cli.live import LivePicture
    from imagen.cli.progress import ProgressBar

BackendFlag: TypeAlias = Annotated[
    str | None, Parameter(group=HOW, metavar="NAME", completer=complete_backends)
]
SizeFlag: TypeAlias = Annotated[str | None, Parameter(group=WHAT, metavar="WxH")]
CountFlag: TypeAlias = Annotated[
    int, Parameter(alias="-n", group=WHAT, metavar="N", converter=parse_whole_number)
]
ModelFlag: TypeAlias = Annotated[str | None, Parameter(group=HOW, metavar="NAME")]
SetFlag: TypeAlias = Annotated[
    list[str] | None, Parameter(group=HOW, metavar="KEY=VALUE", negative=())
]
ImageFlag: TypeAlias = Annotated[
    list[PathWord] | None, Parameter(group=WHAT, metavar="PATH", negative=())
]
MaskFlag: TypeAlias = Annotated[PathWord | None, Parameter(group=WHAT, metavar="PATH")]
TimeoutFlag: TypeAlias = Annotated[
    float | None,
    Parameter(
        group=HOW,
        metavar="SECONDS",
        converter=parse_number,
        help="For one image; then the job is cancelled. [default: 600]",
    ),
]
StrictFlag: TypeAlias = Annotated[
    bool,
    Parameter(
        group=HOW,
        show_default=False,
        help="Refuse what would be ignored or changed.",
    ),
]
LiveFlag: TypeAlias = Annotated[
    bool,
    Parameter(
        group=HOW,
        show_default=False,
        help="Show the picture while it is made, where backend and terminal can.",
    ),
]
EstimateFlag: TypeAlias = Annotated[
    bool,
    Parameter(
        group=HOW,
        show_default=False,
        help="Print what would be sent and cost, and send nothing.",
    ),
]
MaxCostFlag: TypeAlias = Annotated[
    Decimal | None,
    Parameter(
        group=HOW,
        metavar="USD",
        converter=parse_decimal,
        help="Refuse what would cost more, in dollars, or nobody knows how much.",
    ),
]
OutputFlag: TypeAlias = Annotated[
    PathWord | None,
    Parameter(
        alias="-o",
        group=WHERE,
        metavar="PATH",
        allow_leading_hyphen=True,  # for `-` alone; `check_output` refuses the rest
    ),
]
FitFlag: TypeAlias = Annotated[
    Literal["crop", "pad", "resize"] | None,
    Parameter(
        group=WHERE,
        help="Reach exactly the size if the backend only came near it.",
    ),
]
NoSidecarFlag: TypeAlias = Annotated[
    bool,
    Parameter(group=WHERE, show_default=False, help="Write no .json beside the image."),
]
NoMetadataFlag: TypeAlias = Annotated[
    bool,
    Parameter(
        group=WHERE,
        show_default=False,
        help="Write nothing about the making inside the file.",
    ),
]
NoCloudFlag: TypeAlias = Annotated[
    bool,
    Parameter(
        group=WHERE, show_default=False, help="Keep no copy of the image in the cloud."
    ),
]
PreviewFlag: TypeAlias = Annotated[
    bool | None,
    Parameter(
        group=WHERE,
        negative="--no-preview",
        show_default=False,
        help="Show it in a tmux window in the background. [default: the config's"
        " or $IMAGEN_PREVIEW; else in tmux, if stdout is a terminal]",
    ),
]


def run_generation(
    outcomes: Callable[[Cancellation], Iterator[StoredImage | FailedImage]],
    said: Output,
    bar: "ProgressBar | None",
    *,
    picture: "LivePicture | None" = None,
    tell: Callable[[StoredImage], None] | None = None,
    name: Callable[[FailedImage], str] | None = None,
    deliver: Callable[[Cancellation], None] | None = None,
) -> int:
    """Make the images, say what becomes of each, and return how the program ends.

    Args:
        outcomes: Begins, and yields what becomes of each image once it is known.
        said: What speaks to the user.
        bar: How far each image is; None shows nothing.
        picture: The picture while it is made, drawn above the bar; None for none.
        tell: Prints an image that is stored; None has `said` print it.
        name: Says which image failed, where it is one of many of a kind.
        deliver: Delivers afterwards what is owed to the cloud, in a moment.
    """
    tell = tell or said.stored
    failures: dict[int, BaseException] = {}
    unheard: ImagenError | None = None
    nobody_reads = False
    above = picture or bar
    hiding = above.hidden if above else nullcontext
    with StopSignals() as signals:
        with bar or nullcontext(), picture or nullcontext():
            for outcome in outcomes(signals.cancellation):
                with hiding():
                    if isinstance(outcome, FailedImage):
                        failures[outcome.number] = outcome.error
                        said.error(outcome.error, image=name(outcome) if name else "")
                        continue
                    try:
                        tell(outcome)
                    except BrokenPipeError:  # no more is wanted; what is made is stored
                        nobody_reads = True
                        signals.cancellation.cancel()
                    except ImagenError as error:
                        unheard = error
                        said.error(error)
                        say(f"The image is at {outcome.location}.")
        if deliver is not None:
            deliver(signals.cancellation)
    if nobody_reads and failures:
        return exit_codes.NOBODY_READS
    if not failures:
        return exit_codes.DONE if unheard is None else exit_codes.exit_code_for(unheard)
    first = failures[min(failures)]
    if isinstance(first, Cancelled) and signals.exit_code is not None:
        return signals.exit_code
    return exit_codes.exit_code_for(first)
