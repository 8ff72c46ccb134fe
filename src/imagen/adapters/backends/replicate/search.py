"""The search for predictions of an account that match a job."""

import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from imagen.adapters.backends.replicate.catalog import ModelPage, Target
from imagen.adapters.backends.replicate.errors import NotFound
from imagen.adapters.backends.replicate.prediction import (
    Prediction,
    PredictionPage,
)
from imagen.adapters.remote.json_values import as_list, parse_time
from imagen.adapters.remote.models.matching import (
    SentInputs,
    digest_data_uri,
    find_earliest,
)
from imagen.adapters.remote.vendor import Exchange, HttpRequest, quote_segment
from imagen.domain.errors import InvalidRequest
from imagen.ports.clock import Clock

_MAX_PAGES = 100
_VERSION = re.compile(r"[0-9a-f]{64}")


class _Checksums(msgspec.Struct, frozen=True):
    sha256: str = ""


class _UploadedFile(msgspec.Struct, frozen=True):
    checksums: _Checksums = _Checksums()


def find_matching(
    sent: SentInputs, *, target: Target, since: datetime, url: str, clock: Clock
) -> Exchange[tuple[str, ...]]:
    """Return the ids of all predictions since then that match, the oldest first.

    Args:
        sent: The inputs of a matching prediction.
        target: The model or deployment that made it.
        since: The earliest time of the submission, by our clock.
        url: The base URL of the API, where the uploaded files are.
        clock: Our clock.
    """
    found: list[str] = []
    names = _ModelNames(target)
    query: Mapping[str, str] = {}
    for _ in range(_MAX_PAGES):
        response = yield HttpRequest(path="predictions", query=query)
        page = response.json(PredictionPage)
        earliest = find_earliest(
            since, date=response.headers.get("date"), now=clock.now()
        )
        for prediction in page.predictions:
            created = parse_time(prediction.created_at)
            if created is not None and created < earliest:
                return tuple(reversed(found))
            # The inputs first, because comparing the others may need requests.
            if (
                sent.match(prediction.inputs)
                and (yield from names.include(prediction))
                and (yield from _has_same_images(prediction, sent, url))
            ):
                found.append(prediction.id)
        # The link itself is not requested: it may lead to another host, with our token.
        cursor = parse_qs(urlsplit(page.next or "").query).get("cursor")
        if cursor is None:
            break
        query = {"cursor": cursor[0]}
    return tuple(reversed(found))


class _ModelNames:
    """The names under which Replicate lists the predictions of a target.

    A model may be listed with its version, or under the name that it was given later.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._known = {target.name.lower(): True}

    def include(self, prediction: Prediction) -> Exchange[bool]:
        """Return whether the target made the prediction."""
        target = self._target
        if target.deployment:
            names = {target.name, target.name.partition("/")[2]}
            deployment = prediction.deployment
            return not isinstance(deployment, str) or deployment in names
        name, _, suffix = prediction.model_name.lower().partition(":")
        for version in (prediction.version, suffix):
            # Official models have "hidden" in place of a version.
            if target.version and _VERSION.fullmatch(str(version)):
                return version == target.version
        if name not in self._known:
            self._known[name] = yield from self._is_other_name(name)
        return self._known[name]

    def _is_other_name(self, name: str) -> Exchange[bool]:
        """Return whether a name stands for the same model, and no other has it."""
        listed = yield from _describe_model(name)
        if listed is None:
            return True
        asked = yield from _describe_model(self._target.name)
        return asked is not None and (
            listed.full_name == asked.full_name != "/"
            or listed.version.id == asked.version.id != ""
        )


def _describe_model(name: str) -> Exchange[ModelPage | None]:
    """Return Replicate's description of a model; None if there is none."""
    try:
        response = yield HttpRequest(path=f"models/{Target.parse(name).name}")
    except InvalidRequest:
        return None
    return response.json(ModelPage)


def _has_same_images(
    prediction: Prediction, sent: SentInputs, url: str
) -> Exchange[bool]:
    """Return whether all images certainly match; False where it cannot be decided."""
    for name, digests in sent.images.items():
        value = prediction.inputs.get(name)
        listed = as_list(value) or [value]
        # The lengths first, because a digest may need a request.
        if len(listed) != len(digests):
            return False
        for each, digest in zip(listed, digests, strict=True):
            if (yield from _find_digest(each, url)) != digest:
                return False
    return True


def _find_digest(value: object, url: str) -> Exchange[str | None]:
    """Return the digest of a data URI or of an uploaded file; None if unknown."""
    if not isinstance(value, str):
        return None
    if value.startswith("data:"):
        return digest_data_uri(value)
    if not value.startswith(f"{url}/files/"):
        return None
    file_id = unquote(urlsplit(value).path.rpartition("/")[2])
    try:
        response = yield HttpRequest(path=f"files/{quote_segment(file_id)}")
    except NotFound:
        return None
    return response.json(_UploadedFile).checksums.sha256 or None
