"""Talks with Replicate's API: each method is one request, tried once."""

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
from imagen.adapters.backends.replicate.prediction import Prediction, PredictionPage
from imagen.adapters.remote.client import build_client
from imagen.adapters.remote.errors import display_url, translate_errors
from imagen.domain.errors import Unavailable, Unfinished
from imagen.ports.clock import Clock

_CONNECT_TIMEOUT, _READ_TIMEOUT, _WRITE_TIMEOUT = 5.0, 15.0, 30.0
_HIDDEN = "(hidden)"

_Decoded = TypeVar("_Decoded")


class AccountInfo(msgspec.Struct, frozen=True):
    """Whose token it is."""

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
    """A file that was handed in beforehand."""

    id: str
    urls: _Urls
    checksums: _Checksums = _Checksums()


class ReplicateClient:
    """One account at Replicate.

    Attributes:
        name: What a user calls it.
        url: Where it is.
        token: Whose account it is; never shown.
    """

    def __init__(self, url: str, *, token: str, clock: Clock) -> None:
        self.url = url.rstrip("/")
        self.token = token
        own = self.url == DEFAULT_URL
        self.name = "Replicate" if own else f"Replicate at {display_url(url)}"
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
        """Hang up."""
        self._client.close()

    # Predictions

    def create_prediction(
        self, path: str, body: bytes, *, wait: int, cancel_after: int
    ) -> Prediction:
        """Order a prediction, which costs.

        Args:
            path: To what.
            body: What is wanted.
            wait: Seconds for which the answer may wait for the image; 0: not at all.
            cancel_after: Seconds after which Replicate gives up by itself.

        Raises:
            NotThereError, NotValidError: as they say.
            Unfinished: it may have been ordered.
            ImagenError: it was certainly not.
        """
        headers = {
            "Content-Type": "application/json",
            "Cancel-After": f"{cancel_after}s",
            **({"Prefer": f"wait={wait}"} if wait else {}),
        }
        with translate_errors(self.name, creates=True):
            answer = self._client.post(
                path,
                content=body,
                headers=headers,
                timeout=httpx.Timeout(_WRITE_TIMEOUT + wait, connect=_CONNECT_TIMEOUT),
            )
        if not answer.is_success:
            raise self._to_error(answer, creates=True)
        try:
            return msgspec.json.decode(answer.content, type=Prediction)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise Unfinished(
                f"{self.name} took the order, perhaps, and answers what makes no sense."
            ) from error

    def get_prediction(self, prediction_id: str) -> Prediction:
        """Look at a prediction.

        Raises:
            NotThereError: there is none of that name.
            ImagenError: it cannot be looked at now.
        """
        return self._get_decoded(f"predictions/{_quote(prediction_id)}", Prediction)

    def cancel_prediction(self, prediction_id: str) -> Prediction:
        """Stop a prediction, and return how it stands then.

        Raises:
            NotThereError, ImagenError: that did not work.
        """
        path = f"predictions/{_quote(prediction_id)}/cancel"
        with translate_errors(self.name):
            answer = self._client.post(path, timeout=_CONNECT_TIMEOUT)
        return self._decode(answer, Prediction)

    def list_predictions(
        self, cursor: str | None
    ) -> tuple[PredictionPage, httpx.Headers]:
        """Return some of all predictions, the newest first, with the answer's headers.

        Raises:
            ImagenError: they cannot be listed now.
        """
        answer = self._get("predictions", {"cursor": cursor} if cursor else {})
        return self._decode(answer, PredictionPage), answer.headers

    # What there is to order

    def describe_model(self, target: Target) -> ModelDescription:
        """Return what Replicate says that a model takes.

        Raises:
            NotThereError: there is no such model, version or deployment.
            ImagenError: it does not say now.
        """
        if target.deployment:
            released = self._get_decoded(f"deployments/{target.name}", _Deployment)
            release = released.current_release or _Release()
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
        """Return whose token it is.

        Raises:
            ImagenError: it does not say, or does not know the token.
        """
        return self._get_decoded("account", AccountInfo)

    # Files

    def upload_file(
        self, name: str, content: bytes, *, media_type: str
    ) -> UploadedFile:
        """Hand in a file, which costs nothing and is kept for a day.

        Raises:
            ImagenError: that did not work.
        """
        with translate_errors(self.name):
            answer = self._client.post(
                "files",
                files={"content": (name, content, media_type)},
                timeout=httpx.Timeout(_WRITE_TIMEOUT, connect=_CONNECT_TIMEOUT),
            )
        return self._decode(answer, UploadedFile)

    def get_file(self, file_id: str) -> UploadedFile:
        """Look at a file that was handed in.

        Raises:
            NotThereError: it is not there, or not any more.
            ImagenError: it cannot be looked at now.
        """
        return self._get_decoded(f"files/{_quote(file_id)}", UploadedFile)

    def _get_decoded(self, path: str, kind: type[_Decoded]) -> _Decoded:
        return self._decode(self._get(path, {}), kind)

    def _get(self, path: str, query: Mapping[str, str]) -> httpx.Response:
        with translate_errors(self.name):
            return self._client.get(path, params=dict(query))

    def _decode(self, answer: httpx.Response, kind: type[_Decoded]) -> _Decoded:
        if not answer.is_success:
            raise self._to_error(answer)
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise Unavailable(
                f"{self.name} answers what no Replicate does.",
                hint="Is base_url right, and is there a page to log in to first?",
            ) from error

    def _to_error(self, answer: httpx.Response, *, creates: bool = False) -> Exception:
        return to_error(
            answer,
            self.name,
            creates=creates,
            hide=lambda text: text.replace(self.token, _HIDDEN),
            now=self._clock.now(),
        )


def parse_cursor(link: str | None) -> str | None:
    """Return where the next page begins; only that, for a link may lead anywhere."""
    found = parse_qs(urlsplit(link or "").query).get("cursor")
    return found[0] if found else None


def _quote(part: str) -> str:
    return quote(part, safe="")
