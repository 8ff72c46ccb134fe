"""What Replicate says of a prediction, and what that means; nothing is asked here.

Shapes after Replicate's OpenAPI of 2026-04 and recorded answers. Early answers lack
keys, community models put anything into `output`, so what varies is looked at loosely:
an oddity must not cost an image that was paid for.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from imagen.adapters.backends.replicate.json_values import (
    as_line,
    as_list,
    as_mapping,
    as_number,
)
from imagen.domain.consumption import UNTOUCHED, Used
from imagen.domain.errors import BackendError, ImagenError, Refused
from imagen.domain.size import Size

FINAL_STATES = {"succeeded", "failed", "canceled", "aborted"}
"""The states that a prediction never leaves."""

_MAX_MESSAGE = 300
_URL_PREFIXES = ("https://", "http://", "data:")
_PROGRESS_BAR = re.compile(r"(\d{1,3})%\|[^|\n]*\| *(\d+)/(\d+)")
"""A line of tqdm: ` 50%|█████     | 2/4 [00:00<00:00, 6.55it/s]`."""

_SEED = re.compile(
    r"^\s*using (?:random )?seed[:= ]+(\d+)", re.IGNORECASE | re.MULTILINE
)
_MODERATION = re.compile(
    r"NSFW|\bE005\b|flagged as sensitive|content policy|moderation"
    r"|safety (?:checker|filter|system)",
    re.IGNORECASE,
)
_TRANSIENT = re.compile(r"please retry|code: PA\b|\bE1000\b|\bE6716\b|\bE8765\b")
_OUT_OF_MEMORY = re.compile(r"\bE1001\b|out of memory", re.IGNORECASE)


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """One job at Replicate, as one answer tells of it."""

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

    def __post_init__(self) -> None:
        if not self.id.strip():
            raise ValueError("the prediction has no name")

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in FINAL_STATES

    @property
    def model_name(self) -> str:
        """`owner/name` of its model; "" when it does not say."""
        return self.model if isinstance(self.model, str) else ""

    @property
    def inputs(self) -> Mapping[str, object]:
        """What it was asked for, as far as that is still known."""
        return as_mapping(self.input)

    @property
    def has_metrics(self) -> bool:
        """Whether it says what it used."""
        return bool(as_mapping(self.metrics))

    def metric(self, name: str) -> float | None:
        """One of the figures that a finished prediction carries."""
        value = as_number(as_mapping(self.metrics).get(name))
        return value if value is not None and value >= 0 else None


class PredictionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of all predictions, the newest first; `next` leads to older ones."""

    results: tuple[msgspec.Raw, ...] = ()
    next: str | None = None

    @property
    def predictions(self) -> Iterator[Prediction]:
        """Those of them that can be understood."""
        for result in self.results:
            try:
                yield msgspec.json.decode(result, type=Prediction)
            except msgspec.DecodeError:
                continue


class LogProgress(msgspec.Struct, frozen=True):
    """How far the steps are, as the log's progress bars tell."""

    done: int
    steps: int

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.done / self.steps)


def parse_time(text: object) -> datetime | None:
    """Return the time that is written there, if one is; they have 0 to 9 decimals."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def list_outputs(prediction: Prediction) -> tuple[str, ...]:
    """Return the addresses of its files, in order, each once."""
    return tuple(dict.fromkeys(_find_urls(prediction.output)))


def read_progress(prediction: Prediction, *, steps: int | None) -> LogProgress | None:
    """Return how far it is, if its log tells.

    Loading a model draws bars too, so only those count that have as many steps as the
    job, if that is known; else the last.
    """
    bars = [
        LogProgress(int(done), int(most))
        for _, done, most in _PROGRESS_BAR.findall(_log(prediction))
    ]
    bars = [bar for bar in bars if bar.steps > 0 and steps in {None, bar.steps}]
    return bars[-1] if bars else None


def read_seed(prediction: Prediction) -> int | None:
    """Return the seed that it says it used."""
    found = _SEED.search(_log(prediction))
    return int(found[1]) if found else None


def read_usage(prediction: Prediction, sizes: Sequence[Size] = ()) -> Used:
    """Return what it used up, as far as anyone can tell.

    Args:
        prediction: What it says itself.
        sizes: Those of the images that came of it.
    """
    seconds = prediction.metric("predict_time")
    stopped = prediction.status in {"aborted", "canceled"}
    if stopped and seconds is None and prediction.started_at is None:
        return UNTOUCHED  # it was never begun, which is free
    images = _count_images(prediction, seen=len(sizes))
    measured = sum(size.megapixels for size in sizes) if images == len(sizes) else None
    return Used(images=images, megapixels=measured, seconds=seconds)


def explain_failure(prediction: Prediction) -> ImagenError:
    """Return what it means that a prediction is over, and there is no image."""
    used = read_usage(prediction)
    said = as_line(prediction.error, longest=_MAX_MESSAGE)
    if prediction.data_removed is True:
        return BackendError(
            "Replicate made it, and has deleted it since.",
            hint="It keeps what was asked for through the API for an hour.",
            used=used,
        )
    if prediction.status == "aborted":
        return BackendError(
            "Replicate did not begin with it in time, and gave it up at no cost.",
            hint="Ask again, with a longer --timeout.",
            used=used,
        )
    if prediction.status == "canceled":
        return BackendError(
            "Somebody cancelled it at Replicate, or its time was over.",
            hint="A longer --timeout gives it more time.",
            used=used,
        )
    withheld = prediction.status == "succeeded" and "NSFW" in _log(prediction)
    if withheld or _MODERATION.search(said):
        return Refused(
            "Replicate withholds the image for what is on it"
            + (f": {said}." if said else "."),
            hint="Change the prompt, or draw another seed.",
            used=used,
        )
    if prediction.status == "succeeded":
        return BackendError(
            "The model finished without an image.",
            hint="Is it a model that makes images?",
            used=used,
        )
    return BackendError(
        f"The model failed: {said or 'it does not say why'}.",
        hint=_choose_hint(said),
        used=used,
    )


def _choose_hint(said: str) -> str:
    if _OUT_OF_MEMORY.search(said):
        return "Ask for a smaller size."
    if _TRANSIENT.search(said):
        return (
            "Asking again may help; that is not done by itself, for this one may have"
            " been billed."
        )
    return ""


def _count_images(prediction: Prediction, *, seen: int) -> int | None:
    """Return how many images it made; what cannot be had any more was made as well.

    None when nobody knows: it is not said what one costs that was cancelled on its way.
    """
    counted = prediction.metric("image_count")
    if counted is not None:
        return int(counted)
    made = max(seen, len(list_outputs(prediction)))
    return None if prediction.status in {"succeeded", "canceled"} and not made else made


def _find_urls(output: object) -> Iterator[str]:
    """Yield what could be a file in whatever a model returns."""
    match output:
        case str() if output.startswith(_URL_PREFIXES):
            yield output
        case _:
            for each in (*as_list(output), *as_mapping(output).values()):
                yield from _find_urls(each)


def _log(prediction: Prediction) -> str:
    return prediction.logs if isinstance(prediction.logs, str) else ""
