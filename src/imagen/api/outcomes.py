"""From the outcomes of a command to the images that the Python API returns."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager

from msgspec.structs import replace

from imagen.api.results import Image, Images
from imagen.bootstrap.display import build_notebook_progress
from imagen.domain.call import OpenCall
from imagen.domain.errors import Cancelled, ImagenError, SomeImagesFailed, Unfinished
from imagen.domain.events import Event, Listener, isolate_listener
from imagen.domain.result import FailedImage, GenerationReport, StoredImage
from imagen.engine.cancellation import Cancellation
from imagen.usecases.generate import build_report
from imagen.usecases.resume import ResumeResult


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
    errors = [failures[number] for number in sorted(failures)]
    total = len(report.failed) + len(images)
    _raise_errors(errors, images, failed=f"{len(errors)} of {total} images")
    return images


def convert_resumed(
    jobs: Sequence[OpenCall], results: Sequence[ResumeResult], *, named: bool
) -> Images:
    """Return the images that were fetched.

    Args:
        jobs: The jobs to resume.
        results: What became of them.
        named: Whether the caller has named the jobs; if not, a job on which another
            process works is no error.

    Raises:
        SomeImagesFailed: some of several jobs have failed or are still open.
        Exception: the error of the only job, or an internal error.
    """
    images, errors = Images(), dict[str, list[BaseException]]()
    by_id = {result.call_id: result for result in results}
    for job in jobs:
        result = by_id.get(job.call.id)
        if result is None:
            continue
        own = [failed.error for failed in result.failed]
        if result.error is not None:
            own.append(result.error)
        elif not (result.closed or own) and (named or not result.live):
            note = result.note or "It is still open."
            own.append(Unfinished(f"Job {result.call_id}: {note}"))
        for stored in result.stored:
            images.append(image := Image(stored))
            checked = replace(stored, strict=job.call.plan.request.strict)
            if difference := checked.check_strict(image):
                own.append(difference)
        if own:
            errors[result.call_id] = own
    every = [error for own in errors.values() for error in own]
    _raise_errors(every, images, failed=f"{len(errors)} of {len(jobs)} jobs")
    return images


def _raise_errors(
    errors: Sequence[BaseException], images: Images, *, failed: str
) -> None:
    """Raise the only error; or all of them, with the images that are stored.

    Args:
        failed: The number of failures and their kind, such as `1 of 2 images`.
    """
    if not errors:
        return
    if len(errors) == 1 and failed.startswith("1 of 1 "):
        raise errors[0]
    internal = next((e for e in errors if not isinstance(e, ImagenError)), None)
    # A bug must not hide among the errors of a partial failure.
    if internal is not None:
        raise internal
    raise SomeImagesFailed(
        f"{failed} failed, the first of them: {errors[0]}",
        images=images,
        errors=[error for error in errors if isinstance(error, ImagenError)],
    ) from errors[0]


@contextmanager
def show_progress(listen: Listener, *, shown: bool) -> Generator[Listener]:
    """Yield a listener that calls the caller's one; if shown, it updates the cell."""
    listen = isolate_listener(listen)
    progress = build_notebook_progress() if shown else None
    if progress is None:
        yield listen
        return

    def listen_and_show(event: Event) -> None:
        listen(event)
        progress(event)

    with closing(progress):
        yield listen_and_show
