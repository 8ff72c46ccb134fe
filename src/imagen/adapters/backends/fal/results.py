"""The responses of fal's queue and of its models, and their meaning.

Shapes: fal-client 1.0.3 and fal.ai/docs, autumn 2026. Nothing here sends requests.
"""

from collections.abc import Iterator, Mapping

import msgspec

from imagen.adapters.backends.fal.catalog import Model
from imagen.adapters.remote.json_values import as_line, as_list, as_mapping
from imagen.adapters.remote.models.progress import read_progress
from imagen.adapters.remote.problems import (
    describe_problem,
    list_problems,
    parse_problem,
)
from imagen.adapters.remote.vendor import (
    HttpResponse,
    JobFailed,
    JobOutput,
    JobRunning,
    JobSucceeded,
)
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    ImagenError,
    InvalidRequest,
    OutOfCredit,
    Refused,
)
from imagen.domain.job import ImageJob
from imagen.domain.seed import LARGEST_SEED

_CONTENT = "content_policy_violation"
_WITHHELD = "fal withheld the image because of its content."
_NOT_STARTED = "request_timeout"

# Failures of fal itself, not of the model: they have statuses from 500, for which fal
# charges nothing (fal.ai/docs, FAQ).
_FREE_FAILURES = {
    *(_NOT_STARTED, "startup_timeout", "internal_error"),
    *("runner_scheduling_failure", "runner_connection_timeout", "runner_disconnected"),
    *("runner_connection_refused", "runner_connection_error"),
    *("runner_incomplete_response", "runner_server_error"),
}
_MAX_TEXT = 10_000
"""Messages are shortened after secrets were removed."""

_MAX_UNITS = 1e9


class NotFound(InvalidRequest):
    """fal does not have the model or the job (HTTP 404)."""


class Request(msgspec.Struct, frozen=True):
    """The response to a job, or to its cancellation."""

    request_id: str = ""
    status: str = ""


class QueueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a job in the queue. A failed job is COMPLETED, with an error."""

    status: str
    request_id: str = ""
    logs: object = None
    error: object = None
    error_type: object = None

    @property
    def is_finished(self) -> bool:
        """True if the job has ended."""
        return self.status == "COMPLETED"

    @property
    def has_failed(self) -> bool:
        """True if the job has ended without a result."""
        return bool(self.error or self.error_type)

    def describe_progress(self, reference: str, *, steps: int | None) -> JobRunning:
        """Return the progress; `steps` is the number of steps, None if unknown."""
        lines = [as_mapping(line).get("message") for line in as_list(self.logs)]
        log = "\n".join(line for line in lines if isinstance(line, str))
        bar = read_progress(log, steps=steps)
        return JobRunning(
            reference=reference,
            fraction=None if bar is None else bar.fraction,
            note="queued" if self.status == "IN_QUEUE" else "drawing",
            steps=None if bar is None else bar.steps,
        )

    def explain_failure(self, reason: ImagenError | None) -> BackendError:
        """Return the error of a job that has failed.

        Args:
            reason: The error of the request for its result; None if that succeeded.
        """
        kind = str(self.error_type or "")
        used = UNTOUCHED if kind in _FREE_FAILURES else None
        if isinstance(reason, Refused):
            return reason
        if kind == _NOT_STARTED:
            return BackendError(
                "fal did not start the job in time, and cancelled it at no cost.",
                hint="Try again with a longer --timeout.",
                used=used,
            )
        text = as_line(self.error, longest=_MAX_TEXT) or "no reason given"
        return BackendError(f"fal failed to make the image: {text}.", used=used)


def read_result(
    response: HttpResponse,
    job: ImageJob,
    model: Model,
    *,
    reference: str,
) -> JobSucceeded | JobFailed:
    """Return the result of a job.

    Args:
        response: The response of the model.
        job: The job.
        model: Its model.
        reference: The id of the job.
    """
    body = response.json(dict[str, object])
    urls = tuple(dict.fromkeys(_find_urls(body)))
    units = _read_units(response.headers.get("x-fal-billable-units"))
    used, cost = model.measure(units, images=len(urls)), model.calculate_cost(units)
    if not urls:
        error = BackendError("The model finished without an image.", used=used)
        return JobFailed(error=error, reference=reference)
    unsafe = [
        each is True
        for key in ("has_nsfw_concepts", "nsfw_content_detected")
        for each in as_list(body.get(key))
    ]
    # fal returns a black image in place of an unsafe one, with status 200.
    black = unsafe if model.is_checked(job) else []
    withheld = [any(black[place : place + 1]) for place in range(len(urls))]
    if all(withheld):
        refusal = Refused(_WITHHELD, hint="Change the prompt or the seed.", used=used)
        return JobFailed(error=refusal, reference=reference)
    seed = body.get("seed") if len(urls) == 1 else None
    if not (type(seed) is int and 0 <= seed <= LARGEST_SEED):
        seed = job.seed
    prompt = body.get("prompt")
    revised = isinstance(prompt, str) and prompt not in {"", job.prompt}
    return JobSucceeded(
        outputs=tuple(
            JobOutput(url=url, seed=seed, lost=_WITHHELD if lost else "")
            for url, lost in zip(urls, withheld, strict=True)
        ),
        reference=reference,
        model=model.name,
        steps=job.steps,
        cost=cost,
        used=used,
        parameters={
            "request": reference.rpartition("/")[2],
            **({"revised_prompt": prompt} if revised else {}),
        },
    )


def to_error(response: HttpResponse) -> ImagenError | str:
    """Return the error for a response without success, or fal's own message."""
    problem = parse_problem(response.content)
    detail = describe_problem(problem)
    more = f": {detail}" if detail else ""
    policies = [e for e in list_problems(problem) if e.get("type") == _CONTENT]
    match response.status:
        case 404:
            return NotFound(f"fal does not have it, or not for this key{more}.")
        case 422 if policies:
            kinds = [
                str(kind) for e in policies for kind in as_list(e.get("categories"))
            ]
            listed = f" ({', '.join(kinds)})" if kinds else ""
            return Refused(
                f"fal rejects the content of the request{more}{listed}.",
                hint="Change the prompt or the reference images.",
            )
        case 422:
            return Refused(f"fal refused the inputs{more}.")
        case 403 if "balance" in detail.lower() or "locked" in detail.lower():
            return OutOfCredit(
                f"The account at fal is locked{more}.",
                hint="Add credit at fal.ai/dashboard/billing.",
            )
        case _:
            return detail


def _find_urls(body: Mapping[str, object]) -> Iterator[str]:
    """Yield the URLs of the files in a result, the images first."""
    names = sorted(body, key=lambda name: (name != "images", name != "image"))
    for name in names:
        for each in as_list(body[name]) or [body[name]]:
            url = as_mapping(each).get("url")
            if isinstance(url, str) and url:
                yield url


def _read_units(header: str | None) -> float | None:
    """Return the number of charged units; None if it is missing or not credible."""
    try:
        units = float(header or "")
    except ValueError:
        return None
    return units if 0 <= units <= _MAX_UNITS else None
