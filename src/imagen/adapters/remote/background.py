"""Calls that block, each in a thread of its own that can be abandoned."""

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Generic, TypeVar

from imagen.domain.errors import Unavailable
from imagen.ports.job_context import JobContext

CHECK_INTERVAL = 0.25
"""Seconds between two checks of the context for cancellation."""

Result = TypeVar("Result")


# A blocking read or name lookup cannot be interrupted from another thread. A future of
# concurrent.futures cannot be cancelled once it runs, and the interpreter joins the
# executor's threads at exit, so one silent server would keep the process alive. A
# daemon thread per call can be left behind, and `undo` reverts what it still creates.
class BackgroundCall(Generic[Result]):
    """A blocking call that runs in a daemon thread, which starts at once.

    `undo` gets a result that arrives after the call was abandoned. If no thread can be
    started, construction raises Unavailable.
    """

    def __init__(
        self,
        call: Callable[[], Result],
        *,
        undo: Callable[[Result], object] | None = None,
    ) -> None:
        self._call = call
        self._undo = undo
        # `_returned` is set before the undo and `_finished` after it: a caller that
        # cancels needs the late result at once, and not only once it is undone.
        self._returned = Event()
        self._finished = Event()
        self._lock = Lock()
        self._abandoned = False
        self._results: list[Result] = []
        self._error: BaseException | None = None
        try:
            Thread(target=self._run, daemon=True).start()
        except RuntimeError as error:
            raise Unavailable(
                f"The request was not sent: {error}.",
                hint="This machine runs too many threads, or is out of memory.",
            ) from error

    def result(self, context: JobContext) -> Result:
        """Wait for the call, and return its result or raise its error.

        Raises:
            Cancelled: passed through from the context; the call is abandoned.
        """
        try:
            while not self._finished.wait(CHECK_INTERVAL):
                context.sleep(0)
        except BaseException:
            self.abandon()
            raise
        return self._get_result()

    def wait(self, seconds: float) -> bool:
        """Wait for the call and its undo, and return whether both have finished."""
        return self._finished.wait(max(0.0, seconds))

    def result_within(self, seconds: float) -> Result | None:
        """Return the result, even of an abandoned call; None if it does not arrive."""
        if not self._returned.wait(max(0.0, seconds)):
            return None
        return self._get_result()

    def _get_result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._results[0]

    def abandon(self) -> None:
        """Stop waiting for the call; a result that arrives later is undone."""
        with self._lock:
            self._abandoned = True
            arrived = bool(self._results)
        if arrived:
            self._undo_result()

    def _run(self) -> None:
        try:
            result = self._call()
            with self._lock:
                self._results.append(result)
                self._returned.set()
                abandoned = self._abandoned
            if abandoned:
                self._undo_result()
        except BaseException as error:  # noqa: BLE001 - raised again by `result`
            self._error = error
        finally:
            self._returned.set()
            self._finished.set()

    def _undo_result(self) -> None:
        if self._undo is not None:
            # The caller has left, so an error of the undo cannot be reported.
            with suppress(Exception):
                self._undo(self._results[0])
