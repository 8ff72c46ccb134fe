"""The images and the cost in a response of a dialect."""

from base64 import b64decode
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal, InvalidOperation

import msgspec

from imagen.adapters.backends.openai.dialect import Dialect, read_field
from imagen.adapters.backends.openai.errors import Problem, parse_problem
from imagen.adapters.remote.json_values import as_list, as_mapping, as_number
from imagen.adapters.remote.sse import read_events
from imagen.adapters.remote.vendor import (
    HttpResponse,
    JobFailed,
    JobOutput,
    JobPreview,
    JobRunning,
    JobSucceeded,
    UnreadableResponse,
    decode_json,
)
from imagen.domain.consumption import Used
from imagen.domain.errors import BackendError
from imagen.domain.money.cost import MICROS, Cost

_REPORTED = ("quality", "background", "usage", "svg_usage")
_REPORTED_HEADERS = ("x-request-id", "x-litellm-call-id")
"""The fields and headers of a response that are stored in the sidecar."""


def read_answer(
    response: HttpResponse, dialect: Dialect, *, name: str
) -> JobSucceeded | JobFailed:
    """Return the images of a response, or why the service withholds all of them.

    Raises:
        UnreadableResponse: it is of another shape.
    """
    headers = response.headers
    if headers.get("content-type", "").startswith("image/"):
        return JobSucceeded(outputs=(JobOutput(content=response.content),))
    if headers.get("content-type", "").startswith("text/event-stream"):
        body = _read_stream(response.content)
        if "error" in body:
            return _fail(parse_problem(body), dialect, name)
    else:
        body = response.json(dict[str, object])
    if not isinstance(body.get("data"), list):
        raise UnreadableResponse(f"{name} sent no images.")
    items = [as_mapping(each) for each in as_list(body["data"])]
    outputs = tuple(_read_output(item, name) for item in items)
    cost = _read_cost(body, headers, dialect)
    tokens = _count_tokens(body) if dialect.cost.tokens else None
    used = Used(tokens=tokens, micros=cost.micros)
    if all(output.lost for output in outputs):
        if items and not any(map(_is_withheld, items)):
            raise UnreadableResponse(f"{name} sent no images.")
        problem = parse_problem(items[0] if items else body)
        refused = msgspec.structs.replace(problem, used=used).refuse(name)
        return JobFailed(error=refused)
    warnings = [
        text
        for header, text in dialect.warnings.items()
        if headers.get(header, "").lower() not in {"", "0", "false", "none"}
    ]
    revised, model = items[0].get("revised_prompt"), body.get("model")
    parameters = {
        **{field: body[field] for field in _REPORTED if body.get(field)},
        **{field: headers[field] for field in _REPORTED_HEADERS if field in headers},
        **({"revised_prompt": revised} if revised else {}),
    }
    return JobSucceeded(
        outputs=outputs,
        model=model if isinstance(model, str) else "",
        cost=cost,
        used=used,
        parameters=parameters,
        warnings=(*warnings, *map(str, as_list(body.get("warnings")))),
    )


def read_refusal(response: HttpResponse, dialect: Dialect) -> Problem:
    """Return what a response without success says, and what it cost.

    It says nothing if it is the page of a proxy.
    """
    try:
        body = decode_json(response.content, dict[str, object])
    except (ValueError, RecursionError):
        return Problem()
    problem = parse_problem(body)
    micros = _read_cost(body, response.headers, dialect).micros
    if not micros:
        return problem
    return msgspec.structs.replace(problem, used=Used(micros=micros))


def read_event(message: str) -> JobRunning | JobPreview | None:
    """Return the preview, or the progress, in an event of a stream."""
    event = decode_json(message, dict[str, object])
    kind, preview = str(event.get("type", "")), event.get("b64_json")
    if kind.endswith(".partial_image") and isinstance(preview, str):
        media_type = f"image/{event.get('output_format') or 'png'}"
        return JobPreview(content=b64decode(preview), media_type=media_type)
    if kind.endswith(".progress"):
        fraction, note = as_number(event.get("fraction")), event.get("note")
        return JobRunning(fraction=fraction, note=str(note or "drawing"))
    return None


def _read_stream(content: bytes) -> dict[str, object]:
    """Return the last event of a stream as the body of a response without one."""
    lines = content.decode("utf-8", "replace").split("\n")
    # The last one may be [DONE].
    texts = [each for each in read_events(lines) if each.startswith("{")]
    events = [decode_json(each, dict[str, object]) for each in texts]
    ended = [each for each in events if str(each.get("type")).endswith(".completed")]
    if ended:
        return {**ended[-1], "data": ended}
    failed = [each for each in events if "error" in each]
    return failed[0] if failed else {}


def _fail(problem: Problem, dialect: Dialect, name: str) -> JobFailed:
    """Return the end of a job with an error in the stream.

    Raises:
        UnreadableResponse: the job may go on.
    """
    meaning = problem.meaning(dialect.codes)
    if meaning == "unknown":
        raise UnreadableResponse(f"{name} lost sight of the job: {problem.message}.")
    if meaning == "refused":
        return JobFailed(error=problem.refuse(name))
    return JobFailed(error=BackendError(f"{name} failed: {problem.message}."))


def _is_withheld(item: Mapping[str, object]) -> bool:
    return item.get("respect_moderation") is False or bool(item.get("error"))


def _read_output(item: Mapping[str, object], name: str) -> JobOutput:
    seed, content, url = (item.get(field) for field in ("seed", "b64_json", "url"))
    if _is_withheld(item):
        why = parse_problem(item).message or "its content is not allowed"
        return JobOutput(lost=f"{name} withheld an image: {why}.")
    if isinstance(content, str) and content:
        url = content if content.startswith("data:") else f"data:;base64,{content}"
    if not (isinstance(url, str) and url):
        # The other images are there, and paid for.
        return JobOutput(lost=f"{name} sent an image without content.")
    return JobOutput(url=url, seed=seed if type(seed) is int else None)


def _read_cost(
    body: Mapping[str, object], headers: Mapping[str, str], dialect: Dialect
) -> Cost:
    where = dialect.cost
    value = headers.get(where.header) or as_number(read_field(body, where.path))
    try:
        micros = Decimal(str(value)) * MICROS / where.per_usd
        whole = int(micros.to_integral_value(ROUND_CEILING))
    except (InvalidOperation, ValueError, OverflowError):
        return Cost()
    return Cost(micros=whole, source="reported") if whole >= 0 else Cost()


def _count_tokens(body: Mapping[str, object]) -> Mapping[str, int] | None:
    """Return the numbers of tokens by kind; None if some have no known price."""
    usage, counts = as_mapping(body.get("usage")), dict[str, int]()
    for side, usual in (("input", "text"), ("output", "image")):
        details = as_mapping(usage.get(f"{side}_tokens_details"))
        counted = {kind: details.get(f"{kind}_tokens") for kind in ("text", "image")}
        if not details:
            counted = {usual: usage.get(f"{side}_tokens")}
        for kind, value in counted.items():
            if (count := as_number(value)) is not None:
                counts[f"{side}_{kind}"] = int(count)
    # The model that writes an SVG has prices of its own.
    return None if body.get("svg_usage") or not counts else counts
