"""What the server and its workers say to each other, each after its length.

It is pickled: both ends are the same program, and nobody else has the socket.
"""

import pickle
import signal
import socket
from struct import Struct
from threading import Lock
from traceback import format_exception
from typing import Any, TypeAlias

import msgspec

from imagen.domain.errors import ImagenError
from imagen.domain.events import Event
from imagen.domain.result import FailedImage, StoredImage
from imagen.server.errors import ErrorResponse
from imagen.server.workers.work_item import WorkItem
from imagen.settings.model import Settings

HEAD = Struct(">Q")
"""How long the rest is, in bytes."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Those that a terminal or a service manager sends to the workers as well, who do not
heed them: the server says when it is over."""


class Setup(msgspec.Struct, frozen=True):
    """The first thing a worker hears: the config."""

    settings: Settings


class Ready(msgspec.Struct, frozen=True):
    """The first thing it says."""


class Run(msgspec.Struct, frozen=True):
    """It shall carry out an order, which has this number from now on."""

    number: int
    item: WorkItem


class Cancel(msgspec.Struct, frozen=True):
    """Nobody wants it any more."""

    number: int


class EventMessage(msgspec.Struct, frozen=True):
    """Something happened while it was carried out."""

    number: int
    event: Event


class ResultMessage(msgspec.Struct, frozen=True):
    """One of its images is stored, or will not come."""

    number: int
    outcome: StoredImage | FailedImage


class Done(msgspec.Struct, frozen=True):
    """It is carried out; or was refused, and nothing was sent."""

    number: int
    error: BaseException | None = None


Message: TypeAlias = Setup | Ready | Run | Cancel | EventMessage | ResultMessage | Done


def encode_message(message: Message) -> bytes:
    """Return what goes over the socket."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return HEAD.pack(len(body)) + body


def decode_message(body: bytes) -> Any:
    """Return the word that this is, its length taken off."""
    return pickle.loads(body)  # noqa: S301 - it is our own


def to_picklable(error: BaseException) -> BaseException:
    """Return what the server raises for what was raised in a worker.

    An error of ours crosses as it is, or, where an adapter's own class does not survive
    pickling, as the kind of ours that it is. Of any other a `RuntimeError` tells: the
    server may not know its class, and a `SystemExit` or a `StopIteration` would end
    more there than one request.
    """
    if isinstance(error, ErrorResponse):
        return error
    if isinstance(error, ImagenError):
        return error if _is_picklable(error) else _to_base_class(error)
    fault = RuntimeError(f"{type(error).__name__}: {error}")
    fault.add_note("".join(format_exception(error)))
    return fault


def _is_picklable(error: BaseException) -> bool:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - it is our own
    except Exception:  # noqa: BLE001 - whatever its class does
        return False
    return True


def _to_base_class(error: ImagenError) -> ImagenError:
    kinds = (kind for kind in type(error).__mro__ if issubclass(kind, ImagenError))
    kind = next(kind for kind in kinds if kind.__module__ == ImagenError.__module__)
    plain = kind(error.message)
    for name in vars(plain):
        setattr(plain, name, getattr(error, name))
    return plain


class Channel:
    """The worker's end; many threads may speak.

    Args:
        connection: To the server.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb")
        self._send_lock = Lock()

    def receive(self) -> Any:
        """Wait for the next word, and return it; None when the server is gone."""
        try:
            head = self._reader.read(HEAD.size)
            if len(head) < HEAD.size:
                return None
            [length] = HEAD.unpack(head)
            body = self._reader.read(length)
        except OSError:
            return None
        return decode_message(body) if len(body) == length else None

    def close(self) -> None:
        """Hang up."""
        self._reader.close()
        self._connection.close()

    def send(self, message: Message) -> None:
        """Send it.

        Raises:
            OSError: the server is gone.
        """
        data = encode_message(message)
        with self._send_lock:
            self._connection.sendall(data)
