"""Run a generation for the command line: progress, previews, results, exit code."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from imagen.bootstrap.cloud import deliver_briefly
from imagen.bootstrap.display import build_desktop_preview, build_preview
from imagen.bootstrap.generation import build_generate
from imagen.bootstrap.once import Repetition, plan_generation
from imagen.bootstrap.output import STDOUT, OutputOptions
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.generation_flags import RunFlags
from imagen.cli.output import (
    Output,
    build_event_listener,
    create_progress_bar,
    print_message,
)
from imagen.cli.signals import StopSignals
from imagen.domain.errors import Cancelled, ImagenError
from imagen.domain.estimate import estimate_plan
from imagen.domain.request import GenerationRequest
from imagen.domain.result import FailedImage, StoredImage
from imagen.engine.cancellation import Cancellation
from imagen.usecases.generate import GenerateImages

if TYPE_CHECKING:
    from imagen.cli.live import LivePicture
    from imagen.cli.progress import ProgressBar
    from imagen.domain.command import CommandName


def generate_images(
    runtime: Runtime,
    backend: str | None,
    out: Output,
    *,
    flags: RunFlags,
    command: "CommandName" = "generate",
    repetition: Repetition,
    output: OutputOptions,
    build_request: Callable[[GenerateImages], GenerationRequest],
    print_image: Callable[[StoredImage], None] | None = None,
) -> int:
    """Generate the images of one request, or print the estimate; return the exit code.

    Closes the runtime.
    """
    # Before the terminal is probed, so that an unknown name is the only message.
    runtime.get_backend(backend)
    bar = create_progress_bar(out, runtime.environment)
    picture = None
    if flags.live and not flags.estimate:
        from imagen.cli.live import create_live_picture  # noqa: PLC0415 - rare

        picture = create_live_picture(runtime, bar, out)
    listen = build_event_listener(out, bar, runtime.environment, first=picture)
    preview = build_preview(
        runtime,
        flag=flags.preview,
        on_terminal=sys.stdout.isatty() and output.path != STDOUT,
        listen=listen,
    )
    use_case = build_generate(
        runtime,
        backend,
        output=output,
        live=picture is not None,
        listen=listen,
    )

    previews = [preview.run] if preview is not None else []
    if flags.open:
        previews.append(build_desktop_preview(runtime, listen=listen).run)
    viewer = None
    if flags.show and not flags.estimate:
        from imagen.cli.pictures import create_viewer, draw_image  # noqa: PLC0415 - rare

        if viewer := create_viewer(runtime, out, flag="--show", logs=False):
            previews.append(lambda image: draw_image(viewer, image.content))

    def print_and_preview(image: StoredImage) -> None:
        (print_image or out.print_image)(image)
        for show in previews:
            show(image)

    deliver = partial(
        deliver_briefly, runtime, images=output.cloud, listen=listen, notify=out.notify
    )
    with runtime, closing(viewer) if viewer else nullcontext():
        planned = plan_generation(
            runtime,
            use_case,
            build_request(use_case),
            name=command,
            repetition=repetition,
        )
        if flags.estimate:
            left = planned.check_budget()
            out.print_estimate(estimate_plan(planned.plan), left)
            return exit_codes.DONE
        return run_generation(
            planned.outcomes,
            out,
            bar,
            picture=picture,
            print_image=print_and_preview,
            deliver=deliver,
        )


def run_generation(
    outcomes: Callable[[Cancellation], Iterator[StoredImage | FailedImage]],
    out: Output,
    bar: "ProgressBar | None",
    *,
    picture: "LivePicture | None" = None,
    print_image: Callable[[StoredImage], None],
    label: Callable[[StoredImage | FailedImage], str] = lambda _: "",
    deliver: Callable[[Cancellation], None],
) -> int:
    """Generate the images, print the outcome of each, and return the exit code."""
    failures: dict[int, BaseException] = {}
    output_error: ImagenError | None = None
    pipe_closed = False
    top = picture or bar
    hide = top.hide if top else nullcontext
    with StopSignals() as signals:
        with bar or nullcontext(), picture or nullcontext():
            for outcome in outcomes(signals.cancellation):
                with hide():
                    if isinstance(outcome, FailedImage):
                        failures[outcome.number] = outcome.error
                        out.print_error(outcome.error, image=label(outcome))
                        continue
                    try:
                        print_image(outcome)
                        if difference := outcome.check_strict(outcome):
                            failures[outcome.number] = difference
                            out.print_error(difference, image=label(outcome))
                    except BrokenPipeError:
                        # The reader wants no more images: cancel the remaining ones.
                        # Continue the loop: images in progress are still stored.
                        pipe_closed = True
                        signals.cancellation.cancel()
                    except ImagenError as error:
                        output_error = error
                        out.print_error(error)
                        print_message(f"The image is at {outcome.location}.")
        deliver(signals.cancellation)
    if pipe_closed and failures:
        return exit_codes.BROKEN_PIPE
    if not failures:
        return (
            exit_codes.exit_code_for(output_error) if output_error else exit_codes.DONE
        )
    # The lowest number, not the first in time: the exit code is then reproducible.
    first = failures[min(failures)]
    if isinstance(first, Cancelled) and signals.exit_code is not None:
        return signals.exit_code
    return exit_codes.exit_code_for(first)
