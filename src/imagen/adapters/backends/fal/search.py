"""The search for jobs of an account at fal that match a job."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from imagen.adapters.backends.fal.catalog import ModelCatalog
from imagen.adapters.remote.json_values import as_list, as_mapping, parse_time
from imagen.adapters.remote.models.matching import (
    SentInputs,
    digest_data_uri,
    find_earliest,
)
from imagen.adapters.remote.vendor import Exchange, HttpRequest
from imagen.domain.errors import Unavailable

_MAX_PAGES = 100
_CLOCK_MARGIN = timedelta(days=1)
"""The search begins so much earlier: the difference of the clocks is not known yet."""


class _ListedRequest(msgspec.Struct, frozen=True):
    request_id: str
    sent_at: object = None
    ended_at: object = None
    json_input: object = None


class _Page(msgspec.Struct, frozen=True):
    items: tuple[_ListedRequest, ...]
    next_cursor: str | None = None


def find_matching(
    sent: SentInputs, model: str, since: datetime, catalog: ModelCatalog
) -> Exchange[tuple[str, ...]]:
    """Return the ids of all requests since then that match, the oldest first.

    Args:
        sent: The inputs of a matching request.
        model: The model that it was sent to.
        since: The earliest time of the submission, by our clock.
        catalog: Has the URL of fal's API, and our clock.

    Raises:
        Unavailable: a request that may match is still running, and is not shown yet.
    """
    found: list[tuple[datetime, str]] = []
    query = {
        "endpoint_id": model,
        "start": f"{since - _CLOCK_MARGIN:%Y-%m-%dT%H:%M:%SZ}",
        "expand": "payloads",
        "limit": "100",
    }
    for _ in range(_MAX_PAGES):
        response = yield HttpRequest(
            path=f"{catalog.url}/models/requests/by-endpoint", query=query
        )
        page = response.json(_Page)
        earliest = find_earliest(
            since, date=response.headers.get("date"), now=catalog.clock.now()
        )
        for item in page.items:
            created = parse_time(item.sent_at)
            if created is None or created < earliest:
                continue
            inputs = as_mapping(item.json_input)
            if not inputs and item.ended_at is None:
                raise Unavailable("fal does not show the inputs of a running job yet.")
            if sent.match(inputs) and _has_same_images(inputs, sent.images):
                found.append((created, item.request_id))
        if not page.next_cursor:
            break
        query = {**query, "cursor": page.next_cursor}
    return tuple(request for _, request in sorted(found))


def _has_same_images(
    inputs: Mapping[str, object], images: Mapping[str, Sequence[str]]
) -> bool:
    for name, digests in images.items():
        listed = as_list(inputs.get(name)) or [inputs.get(name)]
        if [digest_data_uri(str(each)) for each in listed] != list(digests):
            return False
    return True
