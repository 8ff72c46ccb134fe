"""A call that blocks, in a thread of its own."""

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Generic, TypeVar

from imagen.ports.backend import JobContext

CHECK_INTERVAL = 0.25
"""Seconds between two looks at the context while something blocks."""

Result = TypeVar("Result")


class BackgroundCall(Generic[Result]):
    """A call that blocks, in a thread of its own, so that it can be left behind.

    Reading from a silent server, or looking up its name, cannot be broken off from
    outside; but nobody has to wait for it.
    """

    def __init__(
        self,
        call: Callable[[], Result],
        *,
        undo: Callable[[Result], object] | None = None,
    ) -> None:
        """Set out.

        Args:
            call: What blocks.
            undo: Called with an answer that comes when nobody waits for it any more.
        """
        self._call = call
        self._undo = undo
        self._done = Event()
        self._came = Event()
        self._lock = Lock()
        self._left = False
        self._answer: list[Result] = []
        self._error: BaseException | None = None
        Thread(target=self._run, daemon=True).start()

    def result(self, context: JobContext) -> Result:
        """Wait for what the call returns or raises, as long as the context lets us.

        Raises:
            Cancelled: passed through from the context; the call is left behind.
        """
        try:
            while not self._done.wait(CHECK_INTERVAL):
                context.sleep(0)
        except BaseException:
            self.abandon()
            raise
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def wait(self, seconds: float) -> bool:
        """Wait for the call, but no longer, and say whether it is over."""
        return self._done.wait(max(0.0, seconds))

    def result_within(self, seconds: float) -> Result | None:
        """Return what it brings within that time, even if it was left behind.

        Returns:
            None when it brings nothing in time.
        """
        if not self._came.wait(max(0.0, seconds)):
            return None
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def abandon(self) -> None:
        """Wait for it no more; what it brings is undone."""
        with self._lock:
            self._left = True
            answers = list(self._answer)
        for answer in answers:
            self._undo_result(answer)

    def _run(self) -> None:
        try:
            answer = self._call()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
        else:
            self._deliver(answer)
        finally:
            self._came.set()
            self._done.set()

    def _deliver(self, answer: Result) -> None:
        with self._lock:
            self._answer.append(answer)
            self._came.set()
            left = self._left
        if left:
            self._undo_result(answer)

    def _undo_result(self, answer: Result) -> None:
        if self._undo is not None:
            with suppress(Exception):  # nobody is there to hear of it
                self._undo(answer)
