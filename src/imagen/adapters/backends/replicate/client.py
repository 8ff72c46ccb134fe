"""The client for Replicate's API: each method sends one request, once."""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import msgspec

from imagen.adapters.backends.replicate.catalog import (
    DEFAULT_URL,
    ModelDescription,
    Target,
)
from imagen.adapters.backends.replicate.errors import to_error
from imagen.adapters.backends.replicate.input_images import InputImage
from imagen.adapters.backends.replicate.prediction import Prediction, PredictionPage
from imagen.adapters.remote.client import build_client
from imagen.adapters.remote.errors import display_url, translate_errors
from imagen.domain.errors import Unavailable, Unfinished
from imagen.ports.clock import Clock

_CONNECT_TIMEOUT, _READ_TIMEOUT, _WRITE_TIMEOUT = 5.0, 15.0, 30.0
_HIDDEN = "(hidden)"

_Decoded = TypeVar("_Decoded")


class AccountInfo(msgspec.Struct, frozen=True):
    """The owner of the token."""

    username: str = ""


class _Version(msgspec.Struct, frozen=True):
    id: str = ""
    openapi_schema: object = None


class _Model(msgspec.Struct, frozen=True):
    latest_version: _Version | None = None
    is_official: object = None


class _Release(msgspec.Struct, frozen=True):
    model: str = ""
    version: str = ""


class _Deployment(msgspec.Struct, frozen=True):
    current_release: _Release | None = None


class _Checksums(msgspec.Struct, frozen=True):
    sha256: str = ""


class _Urls(msgspec.Struct, frozen=True):
    get: str


class UploadedFile(msgspec.Struct, frozen=True):
    """A file that was uploaded as an input."""

    id: str
    urls: _Urls
    checksums: _Checksums = _Checksums()


class ReplicateClient:
    """The API of Replicate with one token.

    A GET raises NotFoundError for a 404, and an ImagenError if it cannot be answered
    now.

    Attributes:
        name: The name for messages.
        url: The base URL.
        token: The API token; never shown.
    """

    def __init__(self, url: str, *, token: str, clock: Clock) -> None:
        self.url = url.rstrip("/")
        self.token = token
        default = self.url == DEFAULT_URL
        self.name = "Replicate" if default else f"Replicate at {display_url(url)}"
        self._clock = clock
        self._client = build_client(
            f"{self.url}/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_READ_TIMEOUT,
            connect_timeout=_CONNECT_TIMEOUT,
        )

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def close(self) -> None:
        """Close the HTTP client."""
        self._client.close()

    def create_prediction(
        self, path: str, body: bytes, *, wait: int, cancel_after: int
    ) -> Prediction:
        """Create a prediction, which costs money.

        Args:
            path: The endpoint of the model or deployment.
            body: The JSON body.
            wait: Seconds for which the response may wait for the image; 0 for none.
            cancel_after: Seconds after which Replicate cancels the prediction itself.

        Raises:
            NotFoundError: the endpoint does not exist (404).
            InvalidInputError: the inputs are invalid (422).
            Unfinished: the prediction may have been created.
            ImagenError: the prediction was certainly not created.
        """
        headers = {
            "Content-Type": "application/json",
            "Cancel-After": f"{cancel_after}s",
            **({"Prefer": f"wait={wait}"} if wait else {}),
        }
        with translate_errors(self.name, creates=True):
            response = self._client.post(
                path,
                content=body,
                headers=headers,
                timeout=httpx.Timeout(_WRITE_TIMEOUT + wait, connect=_CONNECT_TIMEOUT),
            )
        if not response.is_success:
            raise self._to_error(response, creates=True)
        try:
            return msgspec.json.decode(response.content, type=Prediction)
        # A success that cannot be read may come from a proxy, but also from Replicate,
        # which would then have accepted a job that costs money.
        except (msgspec.DecodeError, UnicodeError) as error:
            raise Unfinished(
                f"{self.name} may have accepted the job, but its response is invalid."
            ) from error

    def get_prediction(self, prediction_id: str) -> Prediction:
        """Return a prediction."""
        return self._get_decoded(f"predictions/{_quote(prediction_id)}", Prediction)

    def cancel_prediction(self, prediction_id: str) -> Prediction:
        """Cancel a prediction, and return its new state."""
        path = f"predictions/{_quote(prediction_id)}/cancel"
        with translate_errors(self.name):
            response = self._client.post(path, timeout=_CONNECT_TIMEOUT)
        return self._decode(response, Prediction)

    def list_predictions(
        self, cursor: str | None
    ) -> tuple[PredictionPage, httpx.Headers]:
        """Return one page of predictions, newest first, and the response's headers."""
        response = self._get("predictions", {"cursor": cursor} if cursor else {})
        return self._decode(response, PredictionPage), response.headers

    def describe_model(self, target: Target) -> ModelDescription:
        """Return Replicate's description of a model."""
        if target.deployment:
            deployment = self._get_decoded(f"deployments/{target.name}", _Deployment)
            release = deployment.current_release or _Release()
            if not release.model:
                return ModelDescription()
            target = Target(name=release.model, version=release.version)
        if target.version:
            path = f"models/{target.name}/versions/{target.version}"
            version, official = self._get_decoded(path, _Version), None
        else:
            model = self._get_decoded(f"models/{target.name}", _Model)
            version, official = model.latest_version or _Version(), model.is_official
        return ModelDescription(
            openapi_schema=version.openapi_schema,
            version=version.id,
            official=official if isinstance(official, bool) else None,
        )

    def get_account(self) -> AccountInfo:
        """Return the owner of the token."""
        return self._get_decoded("account", AccountInfo)

    def upload_file(self, image: InputImage) -> UploadedFile:
        """Upload a file, which is free; Replicate keeps it for a day."""
        with translate_errors(self.name):
            response = self._client.post(
                "files",
                files={"content": (image.name, image.content, image.media_type)},
                timeout=httpx.Timeout(_WRITE_TIMEOUT, connect=_CONNECT_TIMEOUT),
            )
        return self._decode(response, UploadedFile)

    def get_file(self, file_id: str) -> UploadedFile:
        """Return the metadata of an uploaded file."""
        return self._get_decoded(f"files/{_quote(file_id)}", UploadedFile)

    def _get_decoded(self, path: str, kind: type[_Decoded]) -> _Decoded:
        return self._decode(self._get(path, {}), kind)

    def _get(self, path: str, query: Mapping[str, str]) -> httpx.Response:
        with translate_errors(self.name):
            return self._client.get(path, params=dict(query))

    def _decode(self, response: httpx.Response, kind: type[_Decoded]) -> _Decoded:
        if not response.is_success:
            raise self._to_error(response)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise Unavailable(
                f"{self.name} sent a response that is not from Replicate's API.",
                hint="Check base_url, and whether the network requires a sign-in.",
            ) from error

    def _to_error(
        self, response: httpx.Response, *, creates: bool = False
    ) -> Exception:
        return to_error(
            response,
            self.name,
            creates=creates,
            hide=lambda text: text.replace(self.token, _HIDDEN),
            now=self._clock.now(),
        )


def parse_cursor(link: str | None) -> str | None:
    """Return the cursor in the link to the next page; None on the last page."""
    # The link itself is not requested: it may lead to another host, with our token.
    found = parse_qs(urlsplit(link or "").query).get("cursor")
    return found[0] if found else None


def _quote(part: str) -> str:
    return quote(part, safe="")
