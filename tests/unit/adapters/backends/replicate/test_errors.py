import json
from datetime import UTC, datetime

import httpx
import pytest

from imagen.adapters.backends.replicate.errors import (
    LOW_CREDIT_HINT,
    InvalidInputError,
    NotFoundError,
    to_error,
)
from imagen.domain.errors import (
    BackendError,
    ImagenError,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
SECRET = "r8_canary"


def error(
    status: int,
    body: object = b"",
    *,
    creates: bool = True,
    headers: dict[str, str] | None = None,
) -> ImagenError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return to_error(
        httpx.Response(status, content=content, headers=headers),
        "Replicate",
        creates=creates,
        hide=lambda text: text.replace(SECRET, "(hidden)"),
        now=NOW,
    )


@pytest.mark.parametrize(
    ("status", "creating", "reading"),
    [
        (400, BackendError, BackendError),
        (401, Unauthorized, Unauthorized),
        (402, OutOfCredit, OutOfCredit),
        (403, Unauthorized, Unauthorized),
        (407, Unavailable, Unavailable),
        (408, Unavailable, Unavailable),
        (413, Refused, Refused),
        (429, Throttled, Throttled),
        (302, Unavailable, Unavailable),
        (500, Unfinished, Unavailable),
        (502, Unfinished, Unavailable),
        (503, Unfinished, Unavailable),
        (504, Unfinished, Unavailable),
        (524, Unfinished, Unavailable),
    ],
)
def test_knows_what_a_status_means(
    status: int, creating: type[ImagenError], reading: type[ImagenError]
) -> None:
    assert type(error(status, creates=True)) is creating
    assert type(error(status, creates=False)) is reading


def test_what_there_is_not_and_what_is_not_valid_are_decided_elsewhere() -> None:
    with pytest.raises(NotFoundError):
        error(404)
    with pytest.raises(InvalidInputError) as refusal:
        error(422, {"detail": "- input: prompt is required\n"})

    assert refusal.value.refused.message == (
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
    [b"", b"<html>", b"[1]", b'"text"', {"detail": ["a"]}, {"detail": None}, b"\xff"],
    ids=str,
)
def test_makes_a_sentence_of_any_body(body: object) -> None:
    assert error(402, body).message == "The account at Replicate is empty."


def test_says_what_replicate_says_on_one_short_line() -> None:
    said = error(402, {"title": "No credit", "detail": "Go to\n  the page. " * 90})

    assert "Go to the page. Go to" in said.message
    assert "\n" not in said.message
    assert len(said.message) < 400


def test_shows_no_token_that_comes_back() -> None:
    assert SECRET not in error(401, {"detail": f"What is {SECRET}?"}).message
