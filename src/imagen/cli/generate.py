"""The command `imagen generate`."""

import sys
from contextlib import nullcontext
from decimal import Decimal
from typing import Annotated, Literal

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen import bootstrap
from imagen.bootstrap import STDOUT, Wish
from imagen.cli import exit_codes
from imagen.cli.output import Output, event_listener, progress_bar, say
from imagen.cli.parameters import (
    HOW,
    WHAT,
    WHERE,
    ConfigFlag,
    JsonFlag,
    PathWord,
    QuietFlag,
    VerboseFlag,
    backend_names,
    exact_number,
    number,
    options_of,
    output_of,
    path_of,
    prompt_of,
    style_names,
    whole_number,
)
from imagen.cli.signals import StopSignals
from imagen.domain.errors import Cancelled, ImagenError, UsageError
from imagen.domain.estimate import estimate_of
from imagen.domain.result import FailedImage
from imagen.settings.environment import process_environment


def generate(
    prompt: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    backend: Annotated[
        str | None, Parameter(group=HOW, metavar="NAME", completer=backend_names)
    ] = None,
    style: Annotated[
        str | None, Parameter(group=WHAT, metavar="NAME", completer=style_names)
    ] = None,
    negative: Annotated[str, Parameter(group=WHAT, show_default=False)] = "",
    size: Annotated[str | None, Parameter(group=WHAT, metavar="WxH")] = None,
    count: Annotated[
        int, Parameter(alias="-n", group=WHAT, metavar="N", converter=whole_number)
    ] = 1,
    seed: Annotated[
        int, Parameter(group=WHAT, metavar="N", converter=whole_number)
    ] = 0,
    steps: Annotated[
        int, Parameter(group=HOW, metavar="N", converter=whole_number)
    ] = 0,
    model: Annotated[str | None, Parameter(group=HOW, metavar="NAME")] = None,
    set: Annotated[  # noqa: A002 - the flag is called so
        list[str] | None, Parameter(group=HOW, metavar="KEY=VALUE", negative=())
    ] = None,
    image: Annotated[
        list[PathWord] | None,
        Parameter(group=WHAT, metavar="PATH", negative=()),
    ] = None,
    mask: Annotated[PathWord | None, Parameter(group=WHAT, metavar="PATH")] = None,
    timeout: Annotated[
        float | None, Parameter(group=HOW, metavar="SECONDS", converter=number)
    ] = None,
    strict: Annotated[bool, Parameter(group=HOW, show_default=False)] = False,
    estimate: Annotated[bool, Parameter(group=HOW, show_default=False)] = False,
    max_cost: Annotated[
        Decimal | None, Parameter(group=HOW, metavar="USD", converter=exact_number)
    ] = None,
    output: Annotated[
        PathWord | None,
        Parameter(
            alias="-o",
            group=WHERE,
            metavar="PATH",
            allow_leading_hyphen=True,  # for `-` alone; `output_of` refuses the rest
        ),
    ] = None,
    fit: Annotated[Literal["crop", "pad", "resize"] | None, Parameter(group=WHERE)] = (
        None
    ),
    no_sidecar: Annotated[bool, Parameter(group=WHERE, show_default=False)] = False,
    no_metadata: Annotated[bool, Parameter(group=WHERE, show_default=False)] = False,
    preview: Annotated[
        bool | None,
        Parameter(group=WHERE, negative="--no-preview", show_default=False),
    ] = None,
    config: ConfigFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Generate images of PROMPT, and print where each of them is.

    ```
    imagen generate "a cat in a fishbowl" --seed 42 -o cat.png
    imagen generate "RAG systems" --style blog-header --size 1536x768
    echo "a red fox" | imagen generate - --count 4 --json
    ```

    Args:
        prompt: What the image shows; `-` reads it from standard input.
        backend: An instance of the config. [default: its default_backend]
        style: A style of the config; an unknown name lists those there are.
        negative: What to keep out of the image.
        size: Width and height, 16 to 16384. [default: the style's, the
            backend's, else 1024x1024]
        count: How many images; their seeds follow on from the first.
        seed: 0 draws one; the seed used is always recorded.
        steps: 0 is the backend's own number.
        model: Where the backend lets it be chosen.
        set: A parameter of the backend's own, typed as in YAML; repeatable.
        image: A reference image, for backends that edit or take them; repeatable.
        mask: Where it is transparent the first image is painted anew.
        timeout: For one image; then the job is cancelled. [default: 600]
        strict: Refuse what would be ignored or changed.
        estimate: Print what would be sent and cost, and send nothing.
        max_cost: Refuse what would cost more, in dollars, or nobody knows how much.
        output: A file (its extension is the format), a folder, or - for the
            bytes on stdout. [default: named by the config's template]
        fit: Reach exactly the size if the backend only came near it.
        no_sidecar: Write no .json beside the image.
        no_metadata: Write nothing about the making inside the file.
        preview: Show it in a tmux window in the background. [default: the config's
            or $IMAGEN_PREVIEW; else in tmux, if stdout is a terminal]
    """
    environment = process_environment()
    said = Output(
        json=json, quiet=quiet, verbose=verbose, silent_results=output == STDOUT
    )
    settings = bootstrap.load(path_of(config), environment=environment)
    request = bootstrap.build_request(
        settings,
        prompt_of(prompt),
        negative=negative,
        style=style,
        size=size,
        seed=seed,
        steps=steps,
        model=model,
        count=count,
        options=options_of(set or []),
        images=[
            bootstrap.read_reference(each, environment=environment)
            for each in image or []
        ],
        mask=None
        if mask is None
        else bootstrap.read_reference(mask, environment=environment),
        max_cost=max_cost,
        fit=fit,
        timeout=timeout,
        strict=strict,
    )
    where = output_of(output)
    if where == STDOUT and json:
        raise UsageError("The bytes of an image and JSON cannot both go to stdout.")
    chosen = bootstrap.find_backend(settings, backend)
    logs = verbose or bool(environment.log)  # which a bar would garble
    bar = progress_bar(quiet=quiet or logs)
    maker = bootstrap.build_backend(chosen, environment=environment)
    listen = event_listener(said, bar, environment)
    window = bootstrap.build_preview(
        settings,
        environment=environment,
        flag=preview,
        on_terminal=sys.stdout.isatty() and where != STDOUT,
        listen=listen,
    )
    use_case = bootstrap.build_generate(
        settings,
        chosen,
        maker,
        environment=environment,
        accounts=bootstrap.open_accounts(environment),
        wish=Wish(
            output=where,
            sidecar=not no_sidecar,
            metadata=not no_metadata,
            stream=sys.stdout.buffer,
        ),
        count=count,
        listen=listen,
    )
    plan = use_case.plan(request)
    if estimate:
        use_case.check_budget(plan)
        said.estimate(estimate_of(plan))
        return exit_codes.DONE
    failures: dict[int, BaseException] = {}
    unheard: ImagenError | None = None
    nobody_reads = False
    with bootstrap.closing(maker), StopSignals() as signals, bar or nullcontext():
        for outcome in use_case.outcomes(plan, signals.cancellation):
            with bar.hidden() if bar else nullcontext():
                if isinstance(outcome, FailedImage):
                    failures[outcome.number] = outcome.error
                    said.error(outcome.error)
                    continue
                try:
                    said.stored(outcome)
                    if window is not None:
                        window.run(outcome)
                except BrokenPipeError:  # no more is wanted; what is made is stored
                    nobody_reads = True
                    signals.cancellation.cancel()
                except ImagenError as error:
                    unheard = error
                    said.error(error)
                    say(f"The image is at {outcome.location}.")
    if nobody_reads and failures:
        return exit_codes.NOBODY_READS
    if not failures:
        return exit_codes.DONE if unheard is None else exit_codes.code_of(unheard)
    first = failures[min(failures)]
    if isinstance(first, Cancelled) and signals.exit_code is not None:
        return signals.exit_code
    return exit_codes.code_of(first)
