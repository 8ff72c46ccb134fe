"""Tools with which contract tests call and observe an implementation."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from hashlib import sha256
from threading import Barrier, Event, Thread
from types import FrameType
from typing import TypeVar

import msgspec

from imagen.testing.proxy import KIT_THREAD

Result = TypeVar("Result")

THREAD_TIMEOUT = 3.0
"""Seconds in which the threads of a call must have ended."""

CROWD = 8
"""Threads that use one object at once."""

SHORT = 24
"""Bytes that are displayed in full."""


def outcome_of(work: Callable[[], Result]) -> Result | Exception:
    """Return the result of the call, or the exception that it raised."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the test inspects every exception
        return error


class ObservedThread(Thread):
    """A daemon thread that stores the outcome of a call.

    A daemon, so that an implementation that hangs does not keep pytest from exiting.

    Attributes:
        outcome: The result or the exception; None while the call runs.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.outcome: object = None
        self._work = work

    def run(self) -> None:
        try:
            self.outcome = self._work()
        except BaseException as error:  # noqa: BLE001 - the test inspects it
            self.outcome = error


def wait_for_threads(
    before: AbstractSet[Thread], *, seconds: float = THREAD_TIMEOUT
) -> list[str]:
    """Return the names of the threads that were started since and do not end."""
    names: list[str] = []
    for _ in range(int(seconds / 0.02)):
        names = [
            thread.name
            for thread in threading.enumerate()
            if thread not in before and thread.name != KIT_THREAD
        ]
        if not names:
            break
        Event().wait(0.02)
    return names


def run_at_once(
    call: Callable[[int], Result], *, crowd: int = CROWD
) -> list[Result | Exception | None]:
    """Call the function with 0, 1, 2, ... in one thread each.

    Returns:
        The results or exceptions, in the order of the numbers.
    """
    outcomes: list[Result | Exception | None] = [None] * crowd
    # Threads that start one after the other rarely collide: all wait for the last.
    start = Barrier(crowd, timeout=30)

    def run(number: int) -> None:
        start.wait()
        outcomes[number] = outcome_of(lambda: call(number))

    threads = [Thread(target=run, args=[n], daemon=True) for n in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def error_texts(outcome: object) -> Iterator[str]:
    """Yield all texts of an error, of its causes and of its contexts."""
    pending = [outcome] if isinstance(outcome, BaseException) else []
    seen: set[int] = set()
    while pending:
        error = pending.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield f"{error!s} {error!r} {vars(error)!r}"
        pending += filter(None, (error.__cause__, error.__context__))


class ThreadActivity(msgspec.Struct):
    """Calls of one thread that a backend must leave to others.

    Attributes:
        sleeps: The file and line of each call of `time.sleep` or `asyncio.sleep`.
        connects: The file and line of each connection or name lookup.
    """

    sleeps: list[str] = msgspec.field(default_factory=list[str])
    connects: list[str] = msgspec.field(default_factory=list[str])


@contextmanager
def observe_thread() -> Generator[ThreadActivity, None, None]:
    """Record the sleeps and connections of this thread, without blocking them."""
    activity = ThreadActivity()

    def record(frame: FrameType, event: str, function: object) -> None:
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if event == "c_call" and function is time.sleep:  # noqa: TID251 - to detect it
            activity.sleeps.append(place)
        elif event == "c_call" and _connects(function):
            activity.connects.append(place)
        elif event == "call" and _is_async_sleep(frame):
            activity.sleeps.append(place)

    # A profiler instead of patched functions: an adapter may have imported `sleep` or
    # `connect` under another name before the test began.
    before = sys.getprofile()
    sys.setprofile(record)
    try:
        yield activity
    finally:
        sys.setprofile(before)


def _connects(function: object) -> bool:
    name = getattr(function, "__name__", "")
    if name == "getaddrinfo":
        return True
    owner = getattr(function, "__self__", None)
    return name in {"connect", "connect_ex"} and isinstance(owner, socket.socket)


def _is_async_sleep(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__")
    return module == "asyncio.tasks" and frame.f_code.co_name == "sleep"


def abbreviate(content: bytes | None) -> str:
    """Return a short text that is the same for equal bytes only."""
    # pytest searches for the difference of two unequal values, which takes minutes for
    # two images. Contracts compare these texts instead.
    if content is None:
        return "nothing"
    if len(content) <= SHORT:
        return repr(content)
    digest = sha256(content).hexdigest()[:16]
    return f"{len(content)} bytes, {content[:8]!r}..., sha256 {digest}..."
