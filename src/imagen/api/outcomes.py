"""From the outcomes of a command to the images that the Python API returns."""

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager

from imagen.api.parameters import RunOptions
from imagen.api.results import Image, Images
from imagen.bootstrap.display import build_notebook_progress
from imagen.domain.errors import Cancelled, ImagenError, SomeImagesFailed
from imagen.domain.events import Event, Listener, ignore_event, isolate_listener
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.engine.cancellation import Cancellation
from imagen.usecases.generate import build_report


def collect_outcomes(
    outcomes: Generator[StoredImage | FailedImage],
    cancellation: Cancellation,
    *,
    images: int,
    add: Callable[[StoredImage | FailedImage], None] = lambda _: None,
    finish: Callable[[GenerationReport], None],
) -> GenerationReport:
    """Return the results of a command.

    If it is interrupted, also in `add` or `finish`, the same call returns the images
    that are stored by then.

    Args:
        outcomes: The results of the command.
        images: The number of results.
        cancellation: Set if the caller no longer waits for the results.
        add: Called with each outcome.
        finish: Called with the results before the command counts as done.

    Raises:
        Cancelled: the caller no longer waits for the results.
    """
    collected: list[StoredImage | FailedImage] = []
    # Closed at once, because a traceback can keep a generator alive.
    with closing(outcomes):
        for outcome in outcomes:
            collected.append(outcome)
            add(outcome)
            if len(collected) == images:
                finish(build_report(collected))
            if cancellation.event.is_set():
                raise Cancelled("Cancelled.")
    return build_report(collected)


def convert_report(report: GenerationReport) -> Images:
    """Return the stored images.

    Raises:
        SomeImagesFailed: some of several images failed or, in a strict request, are not
            as requested.
        Exception: the error of the only image, or an internal error.
    """
    images = Images(Image(each) for each in report.stored)
    failures = {each.number: each.error for each in report.failed}
    for stored, shown in zip(report.stored, images, strict=True):
        if difference := stored.check_strict(shown):
            failures[stored.number] = difference
    if not failures:
        return images
    errors = [failures[number] for number in sorted(failures)]
    total = len(report.failed) + len(images)
    if total == 1:
        raise errors[0]
    internal = next((e for e in errors if not isinstance(e, ImagenError)), None)
    # A bug must not hide among the errors of a partial failure.
    if internal is not None:
        raise internal
    raise SomeImagesFailed(
        f"{len(errors)} of {total} images failed, the first of them: {errors[0]}",
        images=images,
        errors=[error for error in errors if isinstance(error, ImagenError)],
    ) from errors[0]


@contextmanager
def show_progress(options: RunOptions) -> Generator[Listener]:
    """Yield a listener that calls the caller's one and updates the notebook."""
    listen = isolate_listener(options.get("listen", ignore_event))
    progress = build_notebook_progress() if options.get("progress", True) else None
    if progress is None:
        yield listen
        return

    def listen_and_show(event: Event) -> None:
        listen(event)
        progress(event)

    with closing(progress):
        yield listen_and_show
