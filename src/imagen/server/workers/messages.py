"""The messages between the server and its workers.

A message is its length and its pickled object, as `multiprocessing.Connection` sends
it: the worker uses one, the server reads and writes without blocking. Pickle is safe
here: both ends are the same program, and no other process has the socket.
"""

import pickle
import signal
from struct import Struct
from traceback import format_exception
from typing import Any, TypeAlias

import msgspec

from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import ImagenError
from imagen.domain.events import Event
from imagen.domain.money.budget import Budget
from imagen.domain.result import FailedImage, StoredImage
from imagen.server.errors import ErrorResponse
from imagen.server.workers.work_item import WorkItem
from imagen.settings.model import Settings

HEAD = Struct("!i")
"""The length of the pickled object in bytes."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that workers ignore.

A terminal or a service manager sends them to the workers as well, but only the server
decides when to stop.
"""
Update: TypeAlias = Event | StoredImage | FailedImage
"""An event of an item, or an image that is stored or has failed."""


class Ready(msgspec.Struct, frozen=True):
    """The first message from a worker: it can run items."""


class Run(msgspec.Struct, frozen=True):
    """Run an item; later messages refer to it by this number."""

    number: int
    item: WorkItem


class Cancel(msgspec.Struct, frozen=True):
    """Cancel an item."""

    number: int


class Ping(msgspec.Struct, frozen=True):
    """Answer at once: the server restarts a worker that does not."""


class Pong(msgspec.Struct, frozen=True):
    """The answer to a ping."""


class SetBudgets(msgspec.Struct, frozen=True):
    """Apply other budgets to the items from now on."""

    budgets: tuple[Budget, ...]


class UpdateMessage(msgspec.Struct, frozen=True):
    """Something happened to a running item."""

    number: int
    update: Update


class LearnedCapabilities(msgspec.Struct, frozen=True):
    """What a backend supports with a model ("": its default), as it is known now.

    Some backends know it only after they have asked their server.
    """

    backend: str
    model: str
    capabilities: Capabilities


class Done(msgspec.Struct, frozen=True):
    """An item is finished; with an error, nothing was sent to the backend.

    Attributes:
        last: The outcome of the last image. In a message of its own it would wake the
            server once more for each request.
    """

    number: int
    error: BaseException | None = None
    last: StoredImage | FailedImage | None = None


Message: TypeAlias = (
    Settings
    | Ready
    | Run
    | Cancel
    | Ping
    | Pong
    | SetBudgets
    | UpdateMessage
    | LearnedCapabilities
    | Done
)
"""The first message to a worker is the config."""


def encode_message(message: Message) -> bytes:
    """Return the bytes of a message, length included."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return HEAD.pack(len(body)) + body


def decode_message(body: bytes) -> Any:
    """Return the message of these bytes, without the length."""
    return pickle.loads(body)  # noqa: S301 - no other process has the socket


def to_picklable(error: BaseException) -> BaseException:
    """Return the error that the server raises for an error of a worker.

    imagen's errors stay as they are. An adapter's subclass that cannot be pickled
    becomes the class of imagen that it extends. Every other exception becomes a
    `RuntimeError` with the traceback as a note.
    """
    if isinstance(error, ErrorResponse):
        return error
    if isinstance(error, ImagenError):
        return error if _is_picklable(error) else _to_base_class(error)
    # Raised again in the server, a StopIteration ended the task that reads from the
    # worker, so that its requests hung forever; a SystemExit ended the server.
    fault = RuntimeError(f"{type(error).__name__}: {error}")
    fault.add_note("".join(format_exception(error)))
    return fault


def _is_picklable(error: BaseException) -> bool:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled in this line
    except Exception:  # noqa: BLE001 - the class is an adapter's
        return False
    return True


def _to_base_class(error: ImagenError) -> ImagenError:
    kinds = (kind for kind in type(error).__mro__ if issubclass(kind, ImagenError))
    kind = next(kind for kind in kinds if kind.__module__ == ImagenError.__module__)
    plain = kind(error.message)
    for name in vars(plain):
        setattr(plain, name, getattr(error, name))
    return plain
