from datetime import UTC, datetime

import httpx
import pytest

from imagen.adapters.remote.errors import (
    display_url,
    mark_unsent,
    parse_retry_after,
    to_status_error,
    translate_errors,
)
from imagen.domain.consumption import UNTOUCHED
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    OutOfCredit,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)


@pytest.mark.parametrize(
    "url",
    ["https://me:s3cret@a.example:81/x/?token=s3cret", "https://a.example:81/x"],
)
def test_shows_an_address_without_its_secrets(url: str) -> None:
    assert display_url(url) == "https://a.example:81/x"


def failing(error: Exception, *, creates: bool) -> ImagenError:
    with (
        pytest.raises(ImagenError) as failed,
        translate_errors("Chalk", creates=creates),
    ):
        raise error
    return failed.value


@pytest.mark.parametrize("creates", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("[Errno 111] Connection refused"),
        httpx.ConnectTimeout("slow"),
        httpx.PoolTimeout("full"),
        httpx.ProxyError("403"),
        httpx.UnsupportedProtocol("x"),
    ],
)
def test_what_was_not_sent_may_be_sent_again(error: Exception, creates: bool) -> None:
    assert type(failing(error, creates=creates)) is Unavailable


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.WriteTimeout("slow"),
        httpx.RemoteProtocolError("closed"),
        httpx.DecodingError("gzip"),
    ],
)
def test_what_may_have_arrived_is_not_sent_again(error: Exception) -> None:
    assert type(failing(error, creates=True)) is Unfinished
    assert type(failing(error, creates=False)) is Unavailable


def test_other_exceptions_pass_through() -> None:
    with pytest.raises(KeyError), translate_errors("Chalk"):
        raise KeyError("ours")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BackendError),
        (401, Unauthorized),
        (402, OutOfCredit),
        (403, Unauthorized),
        (404, BackendError),
        (429, Throttled),
        (500, BackendError),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_knows_what_a_status_means(status: int, kind: type[ImagenError]) -> None:
    error = to_status_error(httpx.Response(status), "Chalk")

    assert type(error) is kind
    assert "Chalk" in error.message


def test_passes_on_how_long_to_wait() -> None:
    answer = httpx.Response(429, headers={"Retry-After": "7"})

    error = to_status_error(answer, "Chalk")

    assert isinstance(error, Throttled)
    assert error.retry_after == 7


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("Tue, 01 Jan 2030 12:00:30 GMT", 30.0),
        ("Tue, 01 Jan 2030 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        (None, None),
    ],
)
def test_reads_retry_after(value: str | None, seconds: float | None) -> None:
    now = datetime(2030, 1, 1, 12, tzinfo=UTC)

    assert parse_retry_after(value, now=now) == seconds


def test_what_comes_before_the_sending_has_cost_nothing() -> None:
    with pytest.raises(Unavailable) as failed, mark_unsent():
        raise Unavailable("Down.")

    assert failed.value.used == UNTOUCHED


def test_a_cancelling_before_the_sending_is_settled() -> None:
    with pytest.raises(Cancelled, match="Enough") as stopped, mark_unsent():
        raise Cancelled("Enough.", hint="Go on later.")

    assert stopped.value.settled
    assert stopped.value.used == UNTOUCHED
    assert stopped.value.hint == "Go on later."
