"""The course of one prediction: submit, poll, download, cancel.

Once Replicate has accepted the job it costs money, so temporary failures are waited
out. Other failures leave the job open, so that `imagen resume` can fetch its images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from threading import Event
from typing import TypeVar

from imagen.adapters.backends.replicate.client import ReplicateClient
from imagen.adapters.backends.replicate.download import Downloader, GoneError
from imagen.adapters.backends.replicate.errors import InvalidInputError, NotFoundError
from imagen.adapters.backends.replicate.prediction import (
    DELETED_HINT,
    Prediction,
    explain_failure,
    list_outputs,
    read_progress,
    read_seed,
    read_usage,
)
from imagen.adapters.remote.background import BackgroundCall
from imagen.adapters.remote.downloads import is_truncated
from imagen.adapters.remote.errors import mark_unsent
from imagen.domain.consumption import UNTOUCHED, Used
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    Throttled,
    Unavailable,
    Unfinished,
)
from imagen.domain.job import ImageJob
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.size import Size
from imagen.formats.container import ImageFacts, NotAnImage, read_facts
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext

# Some models take half a second, so polling starts at short intervals.
FIRST_POLL_INTERVAL, MAX_POLL_INTERVAL = 0.2, 2.0
"""Seconds between two polls, at first and at most."""

MAX_OUTAGE = 60.0
"""Seconds for which Replicate may be unavailable while it has our job."""

MIN_CANCEL_AFTER, MAX_CANCEL_AFTER = 5, 24 * 60 * 60
"""The limits of Replicate's header `Cancel-After`, in seconds."""

# The port promises that a cancelled job stops within 2 s.
CANCEL_TIMEOUT = 1.3
"""Seconds to wait until a cancelled job has ended."""

_BACKOFF = 1.25
_MAX_DOWNLOADS = 4
"""Attempts to download a file that arrives incomplete."""

_CANCEL_POLL_INTERVAL = 0.1
_MAX_RECORDED_INPUT = 200
"""The longest text input that is recorded in the sidecar, in characters."""

_NONE_YET = Prediction(id="none yet", status="starting")

Result = TypeVar("Result")


@dataclass(kw_only=True)
class PredictionRun:
    """One prediction, from its submission to its images; nothing is sent at first."""

    api: ReplicateClient
    downloader: Downloader
    job: ImageJob
    steps: int | None
    """The number of steps, to read the progress; None if unknown."""

    context: JobContext
    clock: Clock
    _fraction: float | None = None
    _latest: Prediction = _NONE_YET

    def submit(self, path: str, body: bytes, *, wait: int) -> Generated:
        """Create the prediction, report its id, and wait for its images.

        Raises:
            NotFoundError, InvalidInputError: the prediction was not created.
            Unfinished: the prediction may have been created.
            ImagenError: the prediction was not created, or made no image.
        """
        with mark_unsent():
            self.context.sleep(0)
        seconds = ceil(self.job.timeout * self.job.count)
        cancel_after = min(max(seconds, MIN_CANCEL_AFTER), MAX_CANCEL_AFTER)
        create = self.api.create_prediction
        # If the caller leaves before the response arrives, the job is cancelled as soon
        # as its id is known.
        call = BackgroundCall(
            partial(create, path, body, wait=wait, cancel_after=cancel_after),
            undo=lambda prediction: self.api.cancel_prediction(prediction.id),
        )
        try:
            prediction = call.result(self.context)
        except Cancelled as stopped:
            return self._cancel_submission(call, stopped)
        except Unfinished:
            raise
        except ImagenError as error:
            error.used = UNTOUCHED
            raise
        self.context.accepted(prediction.id)
        return self.follow(prediction)

    def resume(self, reference: str) -> Generated:
        """Wait for the images of a prediction that another process created.

        Raises:
            Unfinished: this account has no prediction with the id.
        """
        self._latest = Prediction(id=reference, status="starting")
        call = BackgroundCall(partial(self.api.get_prediction, reference))
        try:
            prediction = call.result(self.context)
        except Cancelled as stopped:
            return self._cancel(stopped)
        except (NotFoundError, InvalidInputError) as gone:
            raise Unfinished(
                f"{self.api.name} has no job {reference}, or not for this token.",
                hint="Use the token of the account that paid for the job. If there is"
                " none, forget the job.",
            ) from gone
        return self.follow(prediction)

    def follow(self, prediction: Prediction) -> Generated:
        """Wait until the prediction has ended, and return its images."""
        self._latest = prediction
        try:
            self._poll()
            return self._build_result(self._latest, self._download_all())
        except Cancelled as stopped:
            return self._cancel(stopped)

    def _poll(self) -> None:
        """Poll until all output files are there."""
        pause = FIRST_POLL_INTERVAL
        while not self._is_complete(self._latest):
            self._report_progress()
            self.context.sleep(pause)
            pause = min(MAX_POLL_INTERVAL, pause * _BACKOFF)
            self._refresh()
        if not self._latest.is_finished:
            # A response that was delayed by `wait` has the files before the metrics and
            # the log. Those are worth one more request, but not the failure of the job.
            call = BackgroundCall(partial(self._get_prediction, self._latest.id))
            try:
                later = call.result(self.context)
            except Cancelled:
                raise
            except ImagenError:
                later = self._latest
            if self._is_complete(later):
                self._latest = later
        self._report_progress()

    def _is_complete(self, prediction: Prediction) -> bool:
        # All files, not the first: some models add one after the other while the
        # status is `processing`.
        return prediction.is_finished or len(list_outputs(prediction)) >= self.job.count

    def _refresh(self) -> None:
        """Read the current state; Unfinished if that fails, because the job exists."""
        reference = self._latest.id
        read = partial(self._get_prediction, reference)
        try:
            self._latest = self._read_with_retries(read, self.api.name)
        except (Cancelled, Unfinished):
            raise
        except ImagenError as error:
            raise Unfinished(
                f"{error.message} The job exists there as {reference}.", hint=error.hint
            ) from error

    def _get_prediction(self, reference: str) -> Prediction:
        try:
            return self.api.get_prediction(reference)
        # A job that was there a moment ago is not gone: the 404 is temporary.
        except (NotFoundError, InvalidInputError) as error:
            raise Unavailable(
                f"{self.api.name} does not find the job {reference}."
            ) from error

    def _read_with_retries(self, read: Callable[[], Result], server: str) -> Result:
        """Repeat a read until it succeeds, or raise Unfinished after `MAX_OUTAGE`."""
        outage, pause = 0.0, FIRST_POLL_INTERVAL
        while True:
            began = self.clock.monotonic()
            try:
                return BackgroundCall(read).result(self.context)
            except (Unavailable, Throttled) as error:
                reason = error
            wait = pause
            if isinstance(reason, Throttled) and reason.retry_after is not None:
                wait = max(pause, reason.retry_after)
            outage += self.clock.monotonic() - began + wait
            if outage > MAX_OUTAGE:
                raise Unfinished(
                    f"{server} was not available for {MAX_OUTAGE:g} s: "
                    f"{reason.message}",
                    hint="The job exists; its images can be fetched later.",
                ) from reason
            self.context.progress(self._fraction, "waiting for Replicate")
            self.context.sleep(wait)
            pause = min(2 * MAX_POLL_INTERVAL, pause * 2)

    def _report_progress(self) -> None:
        status = self._latest.status
        # The log of a job that has not started is about something else, such as the
        # start of the model.
        started = status != "starting"
        bar = read_progress(self._latest, steps=self.steps) if started else None
        if bar is not None:
            self._fraction = max(self._fraction or 0.0, bar.fraction)
        note = "drawing" if status == "processing" else status
        self.context.progress(self._fraction, note, steps=bar.steps if bar else None)

    def _download_all(self) -> list[bytes]:
        """Return the content of the output files.

        Raises:
            Unfinished: the files exist, and cannot be downloaded now.
            BackendError: all were deleted, or their URLs are forbidden.
        """
        contents: list[bytes] = []
        missing: list[BackendError] = []
        for url in list_outputs(self._latest):
            self.context.progress(self._fraction, "downloading")
            # A file that cannot be downloaded does not stop the others.
            try:
                contents.append(self._download(url))
            except BackendError as error:
                missing.append(error)
        if missing and not contents:
            raise missing[0]
        return contents

    def _download(self, url: str) -> bytes:
        stopped = Event()
        fetch = partial(self.downloader.fetch, url, stopped)
        server = "The server of the image"
        try:
            for number in range(1, _MAX_DOWNLOADS):
                content = self._read_with_retries(fetch, server)
                if not is_truncated(content):
                    return content
                self.context.sleep(number * FIRST_POLL_INTERVAL)
            return self._read_with_retries(fetch, server)
        except GoneError as gone:
            raise BackendError(
                f"{self.api.name} made the image and has deleted it.",
                hint=DELETED_HINT,
                used=read_usage(self._latest),
            ) from gone
        except BackendError as error:
            error.used = read_usage(self._latest)
            raise
        finally:
            stopped.set()

    def _build_result(
        self, prediction: Prediction, contents: Sequence[bytes]
    ) -> Generated:
        """Return the result; files that are not images are left out."""
        faults: list[str] = []
        images: list[tuple[bytes, ImageFacts]] = []
        for content in contents:
            try:
                images.append((content, read_facts(content)))
            except NotAnImage as error:
                faults.append(str(error))
        used = read_usage(
            prediction, [Size(facts.width, facts.height) for _, facts in images]
        )
        if not images and faults:
            raise BackendError(
                "The output of the model is not an image that imagen can store: "
                f"{faults[0]}.",
                hint="Choose a model that makes PNG, JPEG or WebP.",
                used=used,
            )
        if not images:
            raise explain_failure(prediction)
        logged = read_seed(prediction)
        seed = self.job.seed if logged is None else logged
        bar = read_progress(prediction, steps=self.steps)
        return Generated(
            images=tuple(
                GeneratedImage(
                    content=content,
                    media_type=facts.media_type,
                    # The log names one seed, which cannot be that of several images.
                    seed=seed if len(contents) == 1 else self.job.seed,
                )
                for content, facts in images
            ),
            model=prediction.model_name or self.job.model,
            steps=bar.steps if self.job.steps is None and bar else self.job.steps,
            used=used,
            parameters={
                "prediction": prediction.id,
                "version": prediction.version,
                "inputs": _list_recorded_inputs(prediction, self.job),
            },
        )

    def _cancel_submission(
        self, call: BackgroundCall[Prediction], stopped: Cancelled
    ) -> Generated:
        """Wait a moment for the response to the submission, and cancel the job.

        Raises:
            Cancelled: settled if the prediction was not created, or has ended.
        """
        began = self.clock.monotonic()
        try:
            prediction = call.result_within(CANCEL_TIMEOUT)
        except Unfinished:
            prediction = None
        except (ImagenError, NotFoundError, InvalidInputError):
            raise _build_cancelled(stopped, used=UNTOUCHED, settled=True) from stopped
        if prediction is None:
            raise _build_cancelled(stopped) from stopped
        self.context.accepted(prediction.id)
        self._latest = prediction
        return self._cancel(stopped, spent=self.clock.monotonic() - began)

    def _cancel(self, stopped: Cancelled, *, spent: float = 0.0) -> Generated:
        """Cancel the prediction; return its images if it had finished before.

        Raises:
            Cancelled: settled if the prediction has certainly ended without an image.
        """
        deadline = self.clock.monotonic() + CANCEL_TIMEOUT - spent
        ended = self._cancel_remote_job(deadline)
        if ended is None:
            raise _build_cancelled(stopped) from stopped
        if not list_outputs(ended):
            raise _build_cancelled(
                stopped, used=read_usage(ended), settled=True
            ) from stopped
        # The job was finished before it was cancelled: its images were paid for.
        contents = self._download_until(ended, deadline)
        if contents is None:
            raise _build_cancelled(stopped) from stopped
        return self._build_result(ended, contents)

    def _cancel_remote_job(self, deadline: float) -> Prediction | None:
        """Return the final state of the prediction; None if it is not known in time."""
        latest, request = self._latest, self.api.cancel_prediction
        while not latest.is_finished:
            left = deadline - self.clock.monotonic()
            if left <= 0:
                return None
            try:
                found = BackgroundCall(partial(request, latest.id)).result_within(left)
            # Too late to cancel: the prediction has ended, and its state says how.
            except (NotFoundError, InvalidInputError):
                request = self.api.get_prediction
            except ImagenError:
                pass
            else:
                latest, request = found or latest, self.api.get_prediction
            # The context raises at once when it is cancelled, so it cannot wait here.
            if not latest.is_finished:
                Event().wait(min(_CANCEL_POLL_INTERVAL, max(0.0, left)))
        return latest

    def _download_until(
        self, prediction: Prediction, deadline: float
    ) -> list[bytes] | None:
        """Return the content of the files; None if they do not arrive in time."""
        stopped = Event()

        def fetch() -> list[bytes]:
            urls = list_outputs(prediction)
            return [self.downloader.fetch(url, stopped) for url in urls]

        try:
            left = deadline - self.clock.monotonic()
            return BackgroundCall(fetch).result_within(left)
        except (ImagenError, GoneError):
            return None
        finally:
            stopped.set()


def _build_cancelled(
    stopped: Cancelled, *, used: Used | None = None, settled: bool = False
) -> Cancelled:
    return Cancelled(stopped.message, hint=stopped.hint, used=used, settled=settled)


def _list_recorded_inputs(prediction: Prediction, job: ImageJob) -> dict[str, object]:
    """Return the inputs for the sidecar: without prompts, seed, images, long texts."""
    return {
        name: value
        for name, value in prediction.inputs.items()
        if name != "seed"
        and value not in (job.prompt, job.negative)
        and isinstance(value, (str, int, float, bool))
        and not (isinstance(value, str) and len(value) > _MAX_RECORDED_INPUT)
        and not str(value).startswith(("data:", "http:", "https:"))
    }
