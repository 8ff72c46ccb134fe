"""The data of a prediction and its meaning: outputs, progress, usage, failure.

Nothing here sends requests. The fields follow Replicate's OpenAPI of 2026-04 and
recorded responses.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import cast

import msgspec

from imagen.adapters.remote.json_values import (
    as_line,
    as_list,
    as_mapping,
    as_number,
    parse_time,
)
from imagen.adapters.remote.models.progress import read_progress
from imagen.adapters.remote.vendor import (
    JobFailed,
    JobOutput,
    JobRunning,
    JobStatus,
    JobSucceeded,
)
from imagen.domain.consumption import UNTOUCHED, Used
from imagen.domain.errors import BackendError, ImagenError, Refused
from imagen.domain.job import ImageJob
from imagen.domain.seed import LARGEST_SEED

FINAL_STATES = {"succeeded", "failed", "canceled", "aborted"}
"""The statuses of a prediction that has ended."""

DELETED_HINT = "Replicate deletes the images of API jobs after an hour."

FILE_LIFETIME = timedelta(hours=1)
"""How long Replicate keeps the files of an API job after its end."""

_MAX_METRIC = 1e9
"""The largest metric that can be stored: seconds, or a number of images."""

_CLOCK_SLACK = timedelta(minutes=1)
"""How much longer than its job a run may have taken according to Replicate."""

# Messages are shortened after secrets were removed.
_MAX_MESSAGE = 10_000
_MAX_RECORDED_INPUT = 200
"""The longest text input that is recorded in the sidecar, in characters."""

_URL_PREFIXES = ("https://", "http://", "data:")
_BASE64_STARTS = ("iVBORw0KGgo", "/9j/", "UklGR", "R0lGOD")
"""The beginnings of PNG, JPEG, WebP and GIF files in Base64."""

# Names of fields of an output: what model authors call the requested images, and what
# they return beside them.
_WANTED = ("image", "images", "output", "outputs")
_ASIDE = ("mask", "thumb", "preview", "depth", "input")
_SEED = re.compile(
    r"^\s*using (?:random )?seed[:= ]+(\d{1,20})(?!\d)", re.IGNORECASE | re.MULTILINE
)
_MODERATION = re.compile(
    r"NSFW|\bE005\b|flagged as sensitive|content policy|moderation"
    r"|safety (?:checker|filter|system)",
    re.IGNORECASE,
)
_TRANSIENT = re.compile(r"please retry|code: PA\b|\bE1000\b|\bE6716\b|\bE8765\b")
_OUT_OF_MEMORY = re.compile(r"\bE1001\b|out of memory", re.IGNORECASE)


# Early responses lack keys, and community models put any value into `output`. So all
# fields but two accept any value: an unexpected type must not lose a paid image.
class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """A job at Replicate, as described by one response."""

    id: str
    status: str
    model: object = None
    version: object = None
    deployment: object = None
    input: object = None
    output: object = None
    error: object = None
    logs: object = None
    metrics: object = None
    data_removed: object = None
    created_at: object = None
    started_at: object = None
    completed_at: object = None

    def __post_init__(self) -> None:
        if not self.id.strip():
            raise ValueError("the prediction has no id")

    @property
    def is_finished(self) -> bool:
        """True if the prediction has ended."""
        return self.status in FINAL_STATES

    @property
    def model_name(self) -> str:
        """`owner/name` of the model; "" if it is missing."""
        return self.model if isinstance(self.model, str) else ""

    @property
    def inputs(self) -> Mapping[str, object]:
        """The inputs; empty if Replicate has deleted them."""
        return as_mapping(self.input)

    def metric(self, name: str) -> float | None:
        """Return a metric of a finished prediction; None if it is missing."""
        value = as_number(as_mapping(self.metrics).get(name))
        return min(value, _MAX_METRIC) if value is not None and value >= 0 else None

    @property
    def run_seconds(self) -> float | None:
        """The running time; None if it is missing, or longer than the job took."""
        seconds = self.metric("predict_time")
        created, ended = parse_time(self.created_at), parse_time(self.completed_at)
        if seconds is None or created is None or ended is None:
            return seconds
        longest = max(timedelta(), ended - created) + _CLOCK_SLACK
        return seconds if seconds <= longest.total_seconds() else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each figure that cannot be right."""
        stated = as_mapping(self.metrics).get("predict_time")
        if stated is None or self.run_seconds is not None:
            return ()
        return ("Replicate reports an impossible running time, which is not used",)


class PredictionPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of predictions, newest first; `next` links to the page of older ones."""

    results: tuple[msgspec.Raw, ...] = ()
    next: str | None = None

    @property
    def predictions(self) -> Iterator[Prediction]:
        """The predictions on the page; invalid entries are skipped."""
        for result in self.results:
            try:
                yield msgspec.json.decode(result, type=Prediction)
            except msgspec.DecodeError:
                continue


def read_status(
    prediction: Prediction, job: ImageJob, *, steps: int | None
) -> JobStatus:
    """Return the status; `steps` is the number of steps, None if unknown."""
    urls, bar = list_outputs(prediction), read_progress(_log(prediction), steps=steps)
    # All files, not the first: some models add one after the other while the status is
    # `processing`.
    if not prediction.is_finished and len(urls) < job.count:
        # The log of a job that has not started is about something else, such as the
        # start of the model.
        if prediction.status == "starting":
            bar = None
        return JobRunning(
            reference=prediction.id,
            fraction=None if bar is None else bar.fraction,
            note="drawing" if prediction.status == "processing" else prediction.status,
            steps=None if bar is None else bar.steps,
        )
    if not urls:
        return JobFailed(
            reference=prediction.id,
            error=explain_failure(prediction),
            final=prediction.status != "succeeded" or prediction.output is not None,
        )
    ended = parse_time(prediction.completed_at)
    logged = read_seed(prediction) if len(urls) == 1 else None
    # The log names one seed, which cannot be that of several images.
    seed = job.seed if logged is None else logged
    try:
        kept_until = None if ended is None else ended + FILE_LIFETIME
    except OverflowError:
        kept_until = None
    return JobSucceeded(
        outputs=tuple(
            JobOutput(url=url, seed=seed, kept_until=kept_until) for url in urls
        ),
        reference=prediction.id,
        model=prediction.model_name or job.model,
        steps=bar.steps if job.steps is None and bar else job.steps,
        used=read_usage(prediction),
        parameters={
            "prediction": prediction.id,
            "version": prediction.version,
            "inputs": _list_recorded_inputs(prediction, job),
        },
        # A response that was delayed by `wait` has the files before the metrics and the
        # log.
        final=prediction.is_finished,
        warnings=prediction.warnings,
        flagged=_MODERATION.search(_log(prediction)) is not None,
    )


def list_outputs(prediction: Prediction) -> tuple[str, ...]:
    """Return the URLs of the output files in order, without duplicates."""
    urls = find_urls(prediction.output)
    if not urls and prediction.is_finished:
        urls = tuple(dict.fromkeys(_find_urls(prediction.output, _read_unusual)))
    return urls


def find_urls(output: object) -> tuple[str, ...]:
    """Return the URLs in the output of a model in order, without duplicates."""
    return tuple(dict.fromkeys(_find_urls(output, _read_url)))


def read_seed(prediction: Prediction) -> int | None:
    """Return the seed in the log; None if there is none."""
    found = _SEED.search(_log(prediction))
    seed = int(found[1]) if found else None
    return seed if seed is None or seed <= LARGEST_SEED else None


def read_usage(prediction: Prediction) -> Used:
    """Return what the prediction used, as far as it is known."""
    seconds = prediction.run_seconds
    stopped = prediction.status in {"aborted", "canceled"}
    # Replicate charges nothing for a prediction that never started.
    if stopped and seconds is None and prediction.started_at is None:
        return UNTOUCHED
    # Of a prediction without all its images Replicate does not document whether they
    # are charged, so their number is not assumed.
    counted = prediction.metric("image_count")
    images = None if counted is None else int(counted)
    megapixels = None if images != 0 else 0
    return Used(images=images, megapixels=megapixels, seconds=seconds)


def explain_failure(prediction: Prediction) -> ImagenError:
    """Return the error for a prediction that has ended without an image."""
    reason = as_line(prediction.error, longest=_MAX_MESSAGE)
    status = prediction.status
    error: type[ImagenError] = BackendError
    withheld = status == "succeeded" and "NSFW" in _log(prediction)
    if prediction.data_removed is True:
        message, hint = "Replicate made the image and has deleted it.", DELETED_HINT
    elif status == "aborted":
        message = (
            "Replicate did not start the job in time, and cancelled it at no cost."
        )
        hint = "Try again with a longer --timeout."
    elif status == "canceled":
        message = "The job was cancelled at Replicate, or its timeout expired."
        hint = "Use a longer --timeout to give it more time."
    elif withheld or _MODERATION.search(reason):
        error = Refused
        more = f": {reason}" if reason else ""
        message = f"Replicate withholds the image because of its content{more}."
        hint = "Change the prompt or the seed."
    elif status == "succeeded":
        message = "The model finished without an image."
        hint = "Check that the model makes images."
    else:
        message = f"The model failed: {reason or 'no reason given'}."
        hint = _choose_hint(reason)
    return error(message, hint=hint, used=read_usage(prediction))


def _choose_hint(reason: str) -> str:
    if _OUT_OF_MEMORY.search(reason):
        return "Use a smaller size."
    if _TRANSIENT.search(reason):
        return (
            "Trying again may help. imagen does not do so itself, because this job may"
            " have been billed."
        )
    return ""


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


def _rank(name: object) -> int:
    """Return the place of a field of an output: the requested images come first."""
    words = str(name).lower()
    if any(word in words for word in _ASIDE):
        return len(_WANTED) + 1
    return _WANTED.index(words) if words in _WANTED else len(_WANTED)


def _find_urls(output: object, read: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """Yield the URLs that are read from each text in the output, at any depth."""
    if isinstance(output, str):
        yield from read(output.strip())
        return
    fields = sorted(as_mapping(output).items(), key=lambda it: _rank(it[0]))
    for each in (*as_list(output), *(value for _, value in fields)):
        yield from _find_urls(each, read)


def _read_url(text: str) -> tuple[str, ...]:
    return (text,) if text[:8].lower().startswith(_URL_PREFIXES) else ()


def _read_unusual(text: str) -> Iterable[str]:
    """Return the URLs in a text that is JSON, an image as Base64, or a relative URL."""
    if text.startswith(("{", "[")):
        try:
            return _find_urls(cast("object", msgspec.json.decode(text)), _read_url)
        except (msgspec.DecodeError, RecursionError):
            return ()
    if text.startswith(_BASE64_STARTS):
        return (f"data:;base64,{text}",)
    return (text,) if text.startswith("/") and len(text.split()) == 1 else ()


def _log(prediction: Prediction) -> str:
    return prediction.logs if isinstance(prediction.logs, str) else ""
