"""The meaning of an answer: its images, and what they cost."""

import math
from base64 import b64decode
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

from imagen.adapters.backends.openrouter.errors import to_failure
from imagen.adapters.remote.json_values import as_list, as_mapping, as_number
from imagen.adapters.remote.vendor import (
    HttpResponse,
    JobFailed,
    JobOutput,
    JobSucceeded,
    UnreadableResponse,
)
from imagen.domain.money.cost import MICROS, Cost

_MAX_USD = 1e9
GENERATION_HEADER = "x-generation-id"
"""The header with the id of the generation; the documentation does not promise it."""


def read_answer(
    response: HttpResponse, *, seed: int | None, transparent: bool, server: str
) -> JobSucceeded | JobFailed:
    """Return the meaning of the answer to a submit request.

    Args:
        response: The answer.
        seed: The seed that was sent; None for none.
        transparent: Whether a transparent background was requested.
        server: The name of the service, for messages.

    Raises:
        UnreadableResponse: it is no answer of OpenRouter.
    """
    body = as_mapping(response.json(object))
    reference = response.headers.get(GENERATION_HEADER, "")
    images = as_list(body.get("data"))
    if problem := as_mapping(body.get("error")):
        if not images:
            return JobFailed(error=to_failure(problem, server), reference=reference)
    elif "data" not in body:
        raise UnreadableResponse("The response has no data.")
    return JobSucceeded(
        outputs=tuple(_decode_output(as_mapping(each), seed) for each in images),
        reference=reference,
        cost=read_cost(as_mapping(body.get("usage")), total="cost"),
        transparent=transparent,
    )


def read_cost(usage: Mapping[str, object], *, total: str) -> Cost:
    """Return the cost in the usage of an answer or of a generation; maybe unknown.

    Args:
        usage: The usage.
        total: The name of the field with the cost in dollars.
    """
    dollars = as_number(usage.get(total))
    if usage.get("is_byok") is True and dollars is not None:
        # With a key of their own for the provider, users pay that as well.
        details = {**usage, **as_mapping(usage.get("cost_details"))}
        upstream = as_number(details.get("upstream_inference_cost"))
        dollars = None if upstream is None else dollars + upstream
    if dollars is None or not math.isfinite(dollars) or not 0 <= dollars <= _MAX_USD:
        return Cost()
    micros = Decimal(str(dollars)) * MICROS
    return Cost(
        micros=int(micros.to_integral_value(rounding=ROUND_CEILING)), source="reported"
    )


def _decode_output(image: Mapping[str, object], seed: int | None) -> JobOutput:
    data, url = image.get("b64_json"), image.get("url")
    if isinstance(data, str):
        # Some providers answer with a data URI.
        return JobOutput(content=b64decode(data.rpartition(",")[2]), seed=seed)
    if isinstance(url, str):
        return JobOutput(url=url, seed=seed)
    raise UnreadableResponse("An image has no content.")
