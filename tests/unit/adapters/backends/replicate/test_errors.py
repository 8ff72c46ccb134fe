import json
from datetime import UTC, datetime

import pytest

from imagen.adapters.backends.replicate.catalog import (
    DEFAULT_URL,
    ModelCatalog,
    Target,
)
from imagen.adapters.backends.replicate.errors import LOW_CREDIT_HINT, NotFound
from imagen.adapters.backends.replicate.vendor import Replicate
from imagen.adapters.remote.vendor import HttpResponse, bearer
from imagen.adapters.remote.vendor_client import VendorClient
from imagen.domain.errors import (
    BackendError,
    ImagenError,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
)
from imagen.testing.fakes import FakeClock

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
SECRET = "r8_canary"
VENDOR = Replicate(
    url=DEFAULT_URL,
    target=Target(name="acme/sketch"),
    inputs={},
    wait=0,
    catalog=ModelCatalog(DEFAULT_URL, folder=None, clock=FakeClock()),
)


def error(
    status: int, body: object = b"", *, headers: dict[str, str] | None = None
) -> ImagenError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.lower(): value for name, value in (headers or {}).items()}
    client = VendorClient(
        VENDOR,
        base_url=DEFAULT_URL,
        credentials=bearer(SECRET),
        hint="",
        now=lambda: NOW,
    )
    response = HttpResponse(status=status, content=content, headers=named)
    return client.to_error(response)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BackendError),
        (401, Unauthorized),
        (402, OutOfCredit),
        (403, Unauthorized),
        (404, NotFound),
        (407, Unavailable),
        (408, Unavailable),
        (413, Refused),
        (422, Refused),
        (429, Throttled),
        (302, Unavailable),
    ],
)
def test_knows_what_a_status_means(status: int, kind: type[ImagenError]) -> None:
    assert type(error(status)) is kind


def test_says_what_is_not_valid() -> None:
    refusal = error(422, {"detail": "- input: prompt is required\n"})

    assert refusal.message == (
        "Replicate refused the inputs: input: prompt is required."
    )


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"retry_after": 5, "detail": "resets in ~9s"}, {"Retry-After": "7"}, 5),
        ({"detail": "resets in ~9s"}, {"Retry-After": "7"}, 7),
        ({"detail": "Your rate limit resets in ~9s."}, {}, 9),
        ({"detail": "Expected available in 1 second."}, {}, 1),
        ({"detail": "Request was throttled."}, {}, None),
        ({"retry_after": -5}, {}, None),
        ({"retry_after": True}, {}, None),
        ({"retry_after": "soon"}, {"Retry-After": "Sun, 22 Nov 2026 10:00:30 GMT"}, 30),
        (b"<html>", {}, None),
    ],
    ids=str,
)
def test_knows_how_long_to_wait(
    body: object, headers: dict[str, str], seconds: float | None
) -> None:
    throttled = error(429, body, headers=headers)

    assert isinstance(throttled, Throttled)
    assert throttled.retry_after == seconds


def test_says_what_to_do_with_little_credit() -> None:
    detail = "reduced to 6 requests per minute while you have less than $5.0 in credit"

    assert error(429, {"detail": detail}).hint == LOW_CREDIT_HINT
    assert error(429, {"detail": "Request was throttled."}).hint == ""


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[1]", b'"text"', {"detail": []}, {"detail": None}, b"\xff"],
    ids=str,
)
def test_makes_a_sentence_of_any_body(body: object) -> None:
    assert error(402, body).message == "The account at Replicate is empty."


def test_says_what_replicate_says_on_one_line() -> None:
    said = error(402, {"title": "No credit", "detail": "Go to\n  the page. " * 90})

    assert "Go to the page. Go to" in said.message
    assert "\n" not in said.message


def test_shows_a_structured_message_as_compact_json() -> None:
    said = error(402, {"detail": {"code": 7, "message": "no\ncredit"}})

    assert said.message == (
        'The account at Replicate is empty: {"code":7,"message":"no\\ncredit"}.'
    )


def test_shows_no_token_that_comes_back() -> None:
    assert SECRET not in error(401, {"detail": f"What is {SECRET}?"}).message
