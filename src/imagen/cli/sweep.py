"""The command `imagen sweep`."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.cloud import build_brief_delivery
from imagen.bootstrap.generation import build_contact_sheet, build_sweep
from imagen.bootstrap.output import OutputOptions
from imagen.bootstrap.requests import (
    build_sweep_requests,
    parse_max_cost,
    read_reference,
)
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.generation_flags import (
    EstimateFlag,
    FitFlag,
    ImageFlag,
    MaskFlag,
    MaxCostFlag,
    NoCloudFlag,
    NoMetadataFlag,
    NoSidecarFlag,
    OutputFlag,
    SetFlag,
    StrictFlag,
    TimeoutFlag,
    run_generation,
)
from imagen.cli.output import (
    Output,
    build_event_listener,
    create_progress_bar,
    display_path,
    say,
)
from imagen.cli.parameters import (
    HOW,
    WHAT,
    WHERE,
    ConfigFlag,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
    check_output,
    complete_backends,
    complete_styles,
    keep_path,
    parse_whole_number,
    read_prompt,
    split_pairs,
)
from imagen.domain.errors import ImagenError, UsageError
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.sweep import (
    Axis,
    SweepGrid,
    estimate_sweep,
    parse_numbers,
    parse_words,
)
from imagen.engine.cancellation import Cancellation
from imagen.settings.environment import process_environment
from imagen.usecases.contact_sheet import ContactSheet


def sweep(
    prompt: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    seed: Annotated[str | None, Parameter(group=WHAT, metavar="N..M")] = None,
    steps: Annotated[str | None, Parameter(group=HOW, metavar="N,M")] = None,
    backend: Annotated[
        str | None, Parameter(group=HOW, metavar="NAMES", completer=complete_backends)
    ] = None,
    model: Annotated[str | None, Parameter(group=HOW, metavar="NAMES")] = None,
    style: Annotated[
        str | None, Parameter(group=WHAT, metavar="NAMES", completer=complete_styles)
    ] = None,
    size: Annotated[str | None, Parameter(group=WHAT, metavar="WxH,WxH")] = None,
    set: SetFlag = None,  # noqa: A002 - the flag is called so
    negative: Annotated[str, Parameter(group=WHAT, show_default=False)] = "",
    image: ImageFlag = None,
    mask: MaskFlag = None,
    jobs: Annotated[
        int | None, Parameter(group=HOW, metavar="N", converter=parse_whole_number)
    ] = None,
    timeout: TimeoutFlag = None,
    strict: StrictFlag = False,
    estimate: EstimateFlag = False,
    max_cost: MaxCostFlag = None,
    output: OutputFlag = None,
    fit: FitFlag = None,
    no_sidecar: NoSidecarFlag = False,
    no_metadata: NoMetadataFlag = False,
    no_cloud: NoCloudFlag = False,
    no_sheet: Annotated[bool, Parameter(group=WHERE, show_default=False)] = False,
    config: ConfigFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Make every combination of the values given, and a contact sheet of them.

    Prints the path of each image; the paths of the sheet, a picture and an HTML page,
    go to stderr. One image that fails does not keep the others from being made.

    ```
    imagen sweep "a fox" --seed 1..4 --steps 4,8 --backend flux,mock --estimate
    imagen sweep "a fox" --seed 1..3 --set guidance=2,3.5,5 -o foxes/
    ```

    Args:
        prompt: What the images show; `-` reads it from standard input.
        seed: Numbers and ranges: 1..4 is 1,2,3,4, and 10..50..20 is 10,30,50.
            [default: one that is drawn for all]
        steps: Likewise. [default: the backend's own number]
        backend: Instances of the config. [default: its default_backend]
        model: Where the backend lets it be chosen.
        style: Styles of the config.
        size: Width and height, 16 to 16384.
        set: A parameter of the backend's own, as KEY=A,B; repeatable.
        negative: What to keep out of the images.
        image: A reference image, for backends that edit or take them; repeatable.
        mask: Where it is transparent the first image is painted anew.
        jobs: Calls at once. [default: of each backend its concurrency]
        max_cost: Refuse the sweep if all of it would cost more, in dollars.
        output: A folder, or a name that is numbered. [default: named by the config's
            template]
        no_sheet: Make no contact sheet.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs} is below 1.")
    environment = process_environment()
    said = Output(json=json, quiet=quiet, verbose=verbose)
    runtime = Runtime.load(keep_path(config), environment=environment)
    asked = SweepGrid.of(
        [
            *_words(backend=backend, model=model, style=style, size=size),
            *_numbers(steps=steps, seed=seed),
            *_options(set or []),
        ]
    )
    references = [
        read_reference(each, environment=environment)
        for each in [*(image or []), *([] if mask is None else [mask])]
    ]
    cells = build_sweep_requests(
        runtime.settings,
        asked,
        read_prompt(prompt),
        negative=negative,
        images=references[: len(image or [])],
        mask=None if mask is None else references[-1],
        fit=fit,
        timeout=timeout,
        strict=strict,
    )
    bar = create_progress_bar(quiet=quiet or verbose or bool(environment.log))
    listen = build_event_listener(said, bar, environment)
    with runtime:
        use_case = build_sweep(
            runtime,
            [name for name, _ in cells],
            output=OutputOptions(
                path=check_output(output),
                sidecar=not no_sidecar,
                metadata=not no_metadata,
                cloud=not no_cloud,
            ),
            listen=listen,
        )
        plan = use_case.plan(asked, cells, max_cost=parse_max_cost(max_cost))
        if estimate:
            use_case.check_budget(plan)
            said.sweep(estimate_sweep(plan))
            return exit_codes.DONE
        sheet = None if no_sheet else build_contact_sheet(use_case, plan)

        def outcomes(
            cancellation: Cancellation,
        ) -> Iterator[StoredImage | FailedImage]:
            for outcome in use_case.outcomes(plan, cancellation, at_once=jobs):
                if sheet is not None:
                    sheet.add(outcome)
                yield outcome

        def tell(image: StoredImage) -> None:
            if not json:
                said.stored(image)
                return
            said.object(
                {
                    **msgspec.to_builtins(image.sidecar),
                    "path": display_path(image.location),
                    "cell": plan.cells[image.number - 1].values,
                }
            )

        deliver = build_brief_delivery(runtime, images=not no_cloud, listen=listen)
        code = run_generation(
            outcomes,
            said,
            bar,
            tell=tell,
            name=lambda failed: plan.cells[failed.number - 1].label,
            deliver=deliver,
        )
    return code if sheet is None else _save(sheet, said, code)


def _save(sheet: ContactSheet, said: Output, code: int) -> int:
    """Store the sheet and say where it is; return how the program ends."""
    if sheet.is_empty:
        return code
    try:
        saved = sheet.save()
    except ImagenError as error:
        said.error(error)
        return code or exit_codes.exit_code_for(error)
    if said.json and code != exit_codes.NOBODY_READS:
        page, picture = (
            display_path(saved.page_location),
            display_path(saved.picture_location),
        )
        said.object({"sheet": {"page": page, "picture": picture}})
    elif not said.quiet:
        say(sheet.sheet().total)
        say(f"sheet: {saved.picture_location}")
        say(f"sheet: {saved.page_location}")
    return code


def _words(**given: str | None) -> Iterator[Axis]:
    for name, words in given.items():
        if words is not None:
            yield parse_words(name, words)


def _numbers(**given: str | None) -> Iterator[Axis]:
    for name, words in given.items():
        if words is not None:
            yield parse_numbers(name, words)


def _options(words: list[str]) -> Iterator[Axis]:
    if not words:
        return
    from imagen.settings.document import parse_scalar  # noqa: PLC0415 - costs yaml

    for key, value in split_pairs(words).items():
        yield parse_words(f"set.{key}", value, read=parse_scalar)
