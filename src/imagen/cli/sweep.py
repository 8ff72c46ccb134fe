"""The command `imagen sweep`."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.cloud import deliver_briefly
from imagen.bootstrap.generation import build_contact_sheet
from imagen.bootstrap.once import plan_sweep
from imagen.cli import exit_codes
from imagen.cli.generation import run_generation
from imagen.cli.generation_flags import (
    BackendFlag,
    GenerationSwitch,
    OutputSwitch,
    RepetitionFlags,
    SweepFlags,
    SweepOutputFlags,
)
from imagen.cli.output import (
    Output,
    build_event_listener,
    create_progress_bar,
    display_path,
    print_message,
)
from imagen.cli.parameters import (
    FLATTEN,
    GENERATION_GROUP,
    GeneralFlags,
    PromptWord,
    load_runtime,
    parse_whole_number,
    read_prompt,
)
from imagen.domain.errors import ImagenError, UsageError
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.sweep import estimate_sweep, parse_words
from imagen.engine.cancellation import Cancellation
from imagen.usecases.contact_sheet import ContactSheet


def sweep(
    prompt: PromptWord = None,
    /,
    *,
    output: Annotated[SweepOutputFlags, FLATTEN] = SweepOutputFlags(),
    no_sheet: OutputSwitch = False,
    backend: BackendFlag = None,
    request: Annotated[SweepFlags, FLATTEN] = SweepFlags(),
    jobs: Annotated[
        int | None,
        Parameter(group=GENERATION_GROUP, metavar="N", converter=parse_whole_number),
    ] = None,
    estimate: GenerationSwitch = False,
    again: Annotated[RepetitionFlags, FLATTEN] = RepetitionFlags(),
    general: Annotated[GeneralFlags, FLATTEN] = GeneralFlags(),
) -> int:
    """Generate every combination of the given values, and a contact sheet.

    Prints the path of each image to stdout, and the paths of the contact sheet, a
    picture and an HTML page, to stderr. If an image fails, the others are still
    generated. --max-cost limits the cost of the whole sweep. If --output is a file
    name, the images are numbered.

    ```
    imagen sweep "a fox" --seed 1..4 --steps 4,8 --backend flux,mock --estimate
    imagen sweep "a fox" --seed 1..3 --set guidance=2,3.5,5 -o foxes/
    ```

    Args:
        prompt: The description of the images; `-` reads it from standard input.
        no_sheet: Make no contact sheet.
        backend: The name of a backend in the config. Several, separated by commas.
            [default: its default_backend]
        jobs: The largest number of concurrent calls. [default: the concurrency of
            each backend]
        estimate: Print the request and its cost, and send nothing.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs} is below 1.")
    out = general.out()
    runtime = load_runtime(general.config)
    names = None if backend is None else parse_words("backend", backend).values
    bar = create_progress_bar(out, runtime.environment)
    listen = build_event_listener(out, bar, runtime.environment)
    options = output.options()
    deliver = partial(
        deliver_briefly, runtime, images=options.cloud, listen=listen, notify=out.notify
    )
    with runtime:
        use_case, planned = plan_sweep(
            runtime,
            read_prompt(prompt),
            request.values(),
            backend=None if names is None else [*map(str, names)],
            output=options,
            at_once=jobs,
            listen=listen,
            repetition=again.repetition(),
        )
        plan = planned.plan
        if estimate:
            left = planned.check_budget()
            out.print_sweep_estimate(estimate_sweep(plan), left)
            return exit_codes.DONE
        # Not for an estimate: it loads Pillow.
        sheet = None if no_sheet else build_contact_sheet(use_case, plan)

        def outcomes(
            cancellation: Cancellation,
        ) -> Iterator[StoredImage | FailedImage]:
            for outcome in planned.outcomes(cancellation):
                if sheet is not None:
                    sheet.add(outcome)
                yield outcome

        def print_image(image: StoredImage) -> None:
            out.print_image(image, cell=plan.cells[image.number - 1].values)

        code = run_generation(
            outcomes,
            out,
            bar,
            print_image=print_image,
            label=lambda outcome: plan.cells[outcome.number - 1].label,
            deliver=deliver,
        )
    return code if sheet is None else _save_sheet(sheet, out, code)


def _save_sheet(sheet: ContactSheet, out: Output, code: int) -> int:
    """Store the contact sheet and print its paths; return the exit code."""
    if sheet.is_empty:
        return code
    try:
        saved = sheet.save()
    except ImagenError as error:
        out.print_error(error)
        return code or exit_codes.exit_code_for(error)
    if out.json and code != exit_codes.BROKEN_PIPE:
        page = display_path(saved.page_location)
        picture = display_path(saved.picture_location)
        out.print_json({"sheet": {"page": page, "picture": picture}})
    elif not out.quiet:
        print_message(sheet.sheet().total)
        print_message(f"sheet: {saved.picture_location}")
        print_message(f"sheet: {saved.page_location}")
    return code
