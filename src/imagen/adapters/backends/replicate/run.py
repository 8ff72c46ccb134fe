"""Stays with one prediction from its order to its images.

What passes is ridden out: once Replicate has the job it costs, and giving up early
helps nobody. What does not pass leaves the job where it is, to be asked for later.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from threading import Event
from typing import TypeVar

from imagen.adapters.backends.replicate.client import ReplicateClient
from imagen.adapters.backends.replicate.download import Downloader, GoneError
from imagen.adapters.backends.replicate.errors import InvalidInputError, NotFoundError
from imagen.adapters.backends.replicate.prediction import (
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
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated, GeneratedImage
from imagen.domain.size import Size
from imagen.formats.container import (
    ImageFacts,
    NotAnImage,
    read_facts,
)
from imagen.ports.backend import JobContext
from imagen.ports.clock import Clock

FIRST_POLL_INTERVAL, MAX_POLL_INTERVAL = 0.2, 2.0
"""Seconds between two looks, at first and at last: some models take half a second."""

MAX_OUTAGE = 60.0
"""Seconds that Replicate may be gone while it has our job."""

MIN_CANCEL_AFTER, MAX_CANCEL_AFTER = 5, 24 * 60 * 60
"""Seconds after which Replicate can be told to give up a job by itself."""

CANCEL_TIMEOUT = 1.3
"""Seconds to see that a cancelled job is over; 2 is what was promised."""

_BACKOFF = 1.25
_MAX_DOWNLOADS = 4
"""How often a file is fetched that comes incomplete."""

_CANCEL_POLL_INTERVAL = 0.1
_MAX_RECORDED_INPUT = 200
"""Letters of an input that is worth a place in the sidecar."""

Result = TypeVar("Result")


class PredictionRun:
    """One prediction."""

    def __init__(
        self,
        api: ReplicateClient,
        downloads: Downloader,
        *,
        job: ImageJob,
        steps: int | None,
        context: JobContext,
        clock: Clock,
    ) -> None:
        """Prepare to watch over a prediction; nothing is sent yet.

        Args:
            api: Who makes it.
            downloads: What fetches its files.
            job: What is wanted.
            steps: How many steps that should take, if anyone knows.
            context: Hears how it goes.
            clock: Tells how long it takes.
        """
        self._api = api
        self._downloads = downloads
        self._job = job
        self._steps = steps
        self._context = context
        self._clock = clock
        self._fraction: float | None = None
        self._seen = Prediction(id="none yet", status="starting")

    def submit(self, path: str, body: bytes, *, wait: int) -> Generated:
        """Order it, tell the context what it is called, and stay with it.

        Raises:
            NotThereError, NotValidError: as they say; it was not ordered.
            Unfinished: it may have been.
            ImagenError: it was not, or brought nothing.
        """
        with mark_unsent():
            self._context.sleep(0)
        seconds = ceil(self._job.timeout * self._job.count)
        cancel_after = min(max(seconds, MIN_CANCEL_AFTER), MAX_CANCEL_AFTER)
        call = BackgroundCall(
            partial(
                self._api.create_prediction,
                path,
                body,
                wait=wait,
                cancel_after=cancel_after,
            ),
            undo=lambda prediction: self._api.cancel_prediction(prediction.id),
        )
        try:
            prediction = call.result(self._context)
        except Cancelled as stopped:
            return self._cancel_submission(call, stopped)
        except Unfinished:
            raise
        except ImagenError as error:
            error.used = UNTOUCHED
            raise
        self._context.accepted(prediction.id)
        return self.follow(prediction)

    def resume(self, reference: str) -> Generated:
        """Stay with one that another process ordered.

        Raises:
            Unfinished: this account has none of that name.
            BackendError: it brought nothing.
            ImagenError: it cannot be looked at now.
        """
        self._seen = Prediction(id=reference, status="starting")
        look = BackgroundCall(partial(self._api.get_prediction, reference))
        try:
            prediction = look.result(self._context)
        except Cancelled as stopped:
            return self._cancel(stopped)
        except (NotFoundError, InvalidInputError) as gone:
            raise Unfinished(
                f"{self._api.name} has no job {reference}, or not for this token.",
                hint="Use the token of the account that paid for it, or give it up.",
            ) from gone
        return self.follow(prediction)

    def follow(self, prediction: Prediction) -> Generated:
        """Stay with it until it is over, and return its images.

        Raises:
            ImagenError: it brought none, or none that can be had now.
        """
        self._seen = prediction
        try:
            self._poll()
            return self._build_result(self._seen, self._download_all())
        except Cancelled as stopped:
            return self._cancel(stopped)

    # Staying with it

    def _poll(self) -> None:
        """Look until all is there."""
        pause = FIRST_POLL_INTERVAL
        while not self._is_complete(self._seen):
            self._report_progress()
            self._context.sleep(pause)
            pause = min(MAX_POLL_INTERVAL, pause * _BACKOFF)
            self._refresh()
        if not self._seen.is_finished:
            self._refresh_final()
        self._report_progress()

    def _refresh_final(self) -> None:
        """Look once more: who waits gets the files before the figures and the log."""
        look = BackgroundCall(partial(self._get_prediction, self._seen.id))
        try:
            later = look.result(self._context)
        except Cancelled:
            raise
        except ImagenError:
            return
        if self._is_complete(later):
            self._seen = later

    def _is_complete(self, prediction: Prediction) -> bool:
        """Whether it is over, or has all its files while it still says `processing`.

        Not at the first file: some models add one after the other.
        """
        return (
            prediction.is_finished or len(list_outputs(prediction)) >= self._job.count
        )

    def _refresh(self) -> None:
        """See how it stands.

        Raises:
            Unfinished: nobody says, and it is there.
        """
        reference = self._seen.id
        try:
            self._seen = self._read_with_retries(
                partial(self._get_prediction, reference), self._api.name
            )
        except (Cancelled, Unfinished):
            raise
        except ImagenError as error:
            raise Unfinished(
                f"{error.message} It has the job, as {reference}.", hint=error.hint
            ) from error

    def _get_prediction(self, reference: str) -> Prediction:
        """Look once; one that was there a moment ago is not gone."""
        try:
            return self._api.get_prediction(reference)
        except (NotFoundError, InvalidInputError) as error:
            raise Unavailable(
                f"{self._api.name} does not find the job {reference}."
            ) from error

    def _read_with_retries(self, ask: Callable[[], Result], who: str) -> Result:
        """Ask until there is an answer, though not for ever.

        Raises:
            Unfinished: there was none for too long.
        """
        away, pause = 0.0, FIRST_POLL_INTERVAL
        while True:
            began = self._clock.monotonic()
            try:
                return BackgroundCall(ask).result(self._context)
            except (Unavailable, Throttled) as error:
                trouble = error
            wait = pause
            if isinstance(trouble, Throttled) and trouble.retry_after is not None:
                wait = max(pause, trouble.retry_after)
            away += self._clock.monotonic() - began + wait
            if away > MAX_OUTAGE:
                raise Unfinished(
                    f"{who} was away for {MAX_OUTAGE:g} seconds: {trouble.message}",
                    hint="The job is there, and can be asked for later.",
                ) from trouble
            self._context.progress(self._fraction, "waiting for Replicate to come back")
            self._context.sleep(wait)
            pause = min(2 * MAX_POLL_INTERVAL, pause * 2)

    def _report_progress(self) -> None:
        """Say how far it is; the log of one that has not begun is not about that."""
        begun = self._seen.status != "starting"
        bars = read_progress(self._seen, steps=self._steps) if begun else None
        if bars is not None:
            self._fraction = max(self._fraction or 0.0, bars.fraction)
        note = "drawing" if self._seen.status == "processing" else self._seen.status
        self._context.progress(self._fraction, note, steps=bars.steps if bars else None)

    # Its images

    def _download_all(self) -> list[bytes]:
        """Return the files, each fetched until it is whole.

        Raises:
            Unfinished: they are there, and cannot be fetched now.
            BackendError: they are not there any more, or nowhere to be fetched from.
        """
        contents: list[bytes] = []
        missing: list[BackendError] = []
        for address in list_outputs(self._seen):
            self._context.progress(self._fraction, "fetching")
            try:
                contents.append(self._download(address))
            except BackendError as error:  # which takes no other along
                missing.append(error)
        if missing and not contents:
            raise missing[0]
        return contents

    def _download(self, address: str) -> bytes:
        stopped = Event()
        fetch = partial(self._downloads.fetch, address, stopped)
        try:
            for number in range(1, _MAX_DOWNLOADS):
                content = self._read_with_retries(fetch, "The place of the image")
                if not is_truncated(content):
                    return content
                self._context.sleep(number * FIRST_POLL_INTERVAL)
            return self._read_with_retries(fetch, "The place of the image")
        except GoneError as gone:
            raise BackendError(
                f"{self._api.name} made it, and has deleted it since.",
                hint="It keeps what was asked for through the API for an hour.",
                used=read_usage(self._seen),
            ) from gone
        except BackendError as error:
            error.used = read_usage(self._seen)
            raise
        finally:
            stopped.set()

    def _build_result(
        self, prediction: Prediction, contents: Sequence[bytes]
    ) -> Generated:
        """Put together what came; one file that is no image takes no other along.

        Raises:
            Refused, BackendError: there is no image.
        """
        faults: list[str] = []
        found: list[tuple[bytes, ImageFacts]] = []
        for content in contents:
            try:
                found.append((content, read_facts(content)))
            except NotAnImage as why:
                faults.append(str(why))
        used = read_usage(
            prediction, [Size(facts.width, facts.height) for _, facts in found]
        )
        if not found and faults:
            raise BackendError(
                f"What the model made is no image that imagen stores: {faults[0]}.",
                hint="Choose a model that makes PNG, JPEG or WebP.",
                used=used,
            )
        if not found:
            raise explain_failure(prediction)
        told = read_seed(prediction)
        seed = self._job.seed if told is None else told
        bars = read_progress(prediction, steps=self._steps)
        return Generated(
            images=tuple(
                GeneratedImage(
                    content=content,
                    media_type=facts.media_type,
                    seed=seed if len(contents) == 1 else self._job.seed,
                )
                for content, facts in found
            ),
            model=prediction.model_name or self._job.model,
            steps=bars.steps if self._job.steps is None and bars else self._job.steps,
            used=used,
            parameters={
                "prediction": prediction.id,
                "version": prediction.version,
                "inputs": _list_recorded_inputs(prediction, self._job),
            },
        )

    # Calling it off

    def _cancel_submission(
        self, call: BackgroundCall[Prediction], stopped: Cancelled
    ) -> Generated:
        """Wait a moment for the answer to an order that nobody wants any more.

        Raises:
            Cancelled: settled if it was not ordered, or is over.
        """
        began = self._clock.monotonic()
        try:
            prediction = call.result_within(CANCEL_TIMEOUT)
        except Unfinished:
            prediction = None
        except (ImagenError, NotFoundError, InvalidInputError):
            raise _build_cancelled(stopped, used=UNTOUCHED, settled=True) from stopped
        if prediction is None:
            raise _build_cancelled(stopped) from stopped
        self._context.accepted(prediction.id)
        self._seen = prediction
        return self._cancel(stopped, spent=self._clock.monotonic() - began)

    def _cancel(self, stopped: Cancelled, *, spent: float = 0.0) -> Generated:
        """Cancel it; but what was finished before was paid for, and is fetched.

        Raises:
            Cancelled: settled if it is certain that it is over, and brought nothing.
        """
        until = self._clock.monotonic() + CANCEL_TIMEOUT - spent
        ended = self._cancel_remote_job(until)
        if ended is None:
            raise _build_cancelled(stopped) from stopped
        if not list_outputs(ended):
            raise _build_cancelled(
                stopped, used=read_usage(ended), settled=True
            ) from stopped
        contents = self._download_until(ended, until)
        if contents is None:
            raise _build_cancelled(stopped) from stopped
        return self._build_result(ended, contents)

    def _cancel_remote_job(self, until: float) -> Prediction | None:
        """Return how it ended, if it can be seen in time that it did."""
        seen, ask = self._seen, self._api.cancel_prediction
        while not seen.is_finished:
            left = until - self._clock.monotonic()
            if left <= 0:
                return None
            try:
                found = BackgroundCall(partial(ask, seen.id)).result_within(left)
            except (NotFoundError, InvalidInputError):
                ask = self._api.get_prediction  # it cannot be cancelled any more
            except ImagenError:
                pass
            else:
                seen, ask = found or seen, self._api.get_prediction
            if not seen.is_finished:
                Event().wait(min(_CANCEL_POLL_INTERVAL, max(0.0, left)))
        return seen

    def _download_until(self, ended: Prediction, until: float) -> list[bytes] | None:
        """Return the files if they can be had in time."""
        stopped = Event()

        def fetch() -> list[bytes]:
            return [self._downloads.fetch(url, stopped) for url in list_outputs(ended)]

        try:
            return BackgroundCall(fetch).result_within(until - self._clock.monotonic())
        except (ImagenError, GoneError):
            return None
        finally:
            stopped.set()


def _build_cancelled(
    stopped: Cancelled, *, used: Used | None = None, settled: bool = False
) -> Cancelled:
    return Cancelled(stopped.message, hint=stopped.hint, used=used, settled=settled)


def _list_recorded_inputs(prediction: Prediction, job: ImageJob) -> dict[str, object]:
    """Return what was sent beside the words, the seed and the pictures."""
    return {
        name: value
        for name, value in prediction.inputs.items()
        if name != "seed"
        and value not in (job.prompt, job.negative)
        and isinstance(value, (str, int, float, bool))
        and not (isinstance(value, str) and len(value) > _MAX_RECORDED_INPUT)
        and not str(value).startswith(("data:", "http:", "https:"))
    }
