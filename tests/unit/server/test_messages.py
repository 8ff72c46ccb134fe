"""The messages between the server and its workers."""

import socket
from inspect import isclass
from multiprocessing.connection import Connection

import pytest

from imagen.domain import errors
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import GenerationRequest
from imagen.domain.size import Size
from imagen.server.errors import ErrorResponse
from imagen.server.workers.messages import (
    HEAD,
    Cancel,
    Done,
    Ready,
    Run,
    decode_message,
    encode_message,
    to_picklable,
)
from imagen.server.workers.work_item import WorkItem

REFERENCE = ReferenceImage(
    name="a.png", sha256="0" * 64, media_type="image/png", content=bytes(range(256))
)
KINDS = [
    kind
    for kind in vars(errors).values()
    if isclass(kind) and issubclass(kind, errors.ImagenError)
]


class Odd(Exception):
    def __init__(self, one: str, *, other: str) -> None:
        super().__init__(f"{one} and {other}")


def crossed(error: BaseException | None) -> BaseException | None:
    over = decode_message(encode_message(Done(1, error))[HEAD.size :])
    assert isinstance(over, Done)
    return over.error


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_imagen_error_is_transferred_unchanged(
    kind: type[errors.ImagenError],
) -> None:
    error = kind("What is wrong.", hint="What to do.")

    there = crossed(error)

    assert type(there) is kind
    assert (there.args, vars(there)) == (error.args, vars(error))


def test_an_error_response_is_transferred_with_status_and_headers() -> None:
    failure = ErrorResponse(
        429, "Later.", type="rate_limit_error", param="n", code="busy", retry_after=7
    )

    there = crossed(failure)

    assert isinstance(there, ErrorResponse)
    assert (there.status, there.details) == (429, failure.details)
    assert there.headers == {"X-Should-Retry": "true", "Retry-After": "7"}


def test_an_error_that_cannot_be_pickled_becomes_a_runtime_error() -> None:
    there = crossed(to_picklable(Odd("this", other="that")))

    assert isinstance(there, RuntimeError)
    assert str(there) == "Odd: this and that"


class Picky(errors.Throttled):
    def __init__(self, one: str, *, other: str) -> None:
        super().__init__(f"{one} and {other}", retry_after=7, hint="Later.")


def test_an_adapters_error_class_becomes_its_imagen_base_class() -> None:
    there = crossed(to_picklable(Picky("this", other="that")))

    assert type(there) is errors.Throttled
    assert there.message == "this and that"
    assert (there.retry_after, there.hint) == (7, "Later.")


@pytest.mark.parametrize(
    "kind", [ValueError, UnicodeError, StopIteration, SystemExit, KeyboardInterrupt]
)
def test_other_exceptions_become_runtime_errors_with_a_traceback(
    kind: type[BaseException],
) -> None:
    with pytest.raises(kind) as caught:
        fail(kind)

    there = crossed(to_picklable(caught.value))

    assert isinstance(there, RuntimeError)
    assert str(there) == f"{kind.__name__}: what"
    assert "in fail" in "".join(there.__notes__)


def fail(kind: type[BaseException]) -> None:
    raise kind("what")


def test_a_request_arrives_unchanged_with_its_reference_images() -> None:
    request = GenerationRequest(
        prompt="a cat",
        size=Size(64, 48),
        seed=2**64 - 1,
        options={"quality": "high", "guidance": 4.5},
        images=(REFERENCE,),
        mask=REFERENCE,
        unsupported_fields={"user": "imagen does not forward it"},
    )
    item = WorkItem(backend="mock", request=request, caller="writer", live=True)

    there = decode_message(encode_message(Run(1, item))[HEAD.size :])

    assert there == Run(1, item)


def test_the_worker_reads_and_writes_the_messages_of_the_server() -> None:
    """The server frames messages by itself, as `multiprocessing.Connection` does."""
    server, worker = socket.socketpair()
    with server, Connection(worker.detach()) as connection:
        server.sendall(encode_message(Ready()) + encode_message(Cancel(3)))
        assert [connection.recv(), connection.recv()] == [Ready(), Cancel(3)]

        connection.send(Done(5))

        sent = server.recv(1000)
        head, body = sent[: HEAD.size], sent[HEAD.size :]
        assert (HEAD.unpack(head), decode_message(body)) == ((len(body),), Done(5))
        server.close()
        with pytest.raises(EOFError):
            connection.recv()
