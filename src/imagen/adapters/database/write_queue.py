"""A queue for the writers of one process, which share transactions.

A durable commit waits for the disk, and the disk takes no longer for sixty writers than
for one.
"""

import sqlite3
from collections import deque
from threading import Event, Lock

MAX_WRITERS = 64
"""Writers that share a commit. Other processes wait until it is done."""


class Batch:
    """A transaction to which several writers add, one after the other.

    Attributes:
        durable: Whether the commit waits for the disk.
        error: Why the whole transaction was lost; None while it was not.
        done: Set once the transaction is committed or lost.
    """

    def __init__(self, connection: sqlite3.Connection, *, durable: bool) -> None:
        self.connection = connection
        self.durable = durable
        self.writers = 0
        self.error: BaseException | None = None
        self.done = Event()

    def accepts(self, *, durable: bool) -> bool:
        """Return whether one more writer may add to the transaction."""
        is_open = self.error is None and self.writers < MAX_WRITERS
        return is_open and (self.durable or not durable)


# Not a plain `threading.Lock`: it is not fair, so under load the thread that waited
# longest may wait again, and it cannot pass an open transaction to the next holder.
class WriteQueue:
    """A first-in, first-out lock that passes an open transaction to the next writer.

    Attributes:
        batch: The transaction that the next writer may add to; None to begin a new one.
    """

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self._mutex = Lock()
        self._is_held = False
        self._waiters: deque[_Waiter] = deque()

    def acquire(self, *, durable: bool, timeout: float) -> bool:
        """Wait until it is the caller's turn; return False after `timeout` seconds."""
        with self._mutex:
            if not self._is_held:
                self._is_held = True
                return True
            waiter = _Waiter(durable=durable)
            self._waiters.append(waiter)
        try:
            if waiter.turn.acquire(timeout=timeout):
                return True
        except BaseException:
            # For example KeyboardInterrupt. If the turn came in the same moment, it
            # has to go on to the next writer.
            if not self._leave(waiter):
                self.release()
            raise
        return not self._leave(waiter)

    def pass_on(self) -> bool:
        """Pass the open transaction to the next writer.

        Returns:
            False if no writer waits that could add to it; then commit it.
        """
        with self._mutex:
            batch, waiters = self.batch, self._waiters
            if batch and waiters and batch.accepts(durable=waiters[0].durable):
                waiters.popleft().turn.release()
                return True
        return False

    def release(self) -> None:
        """Let the next writer begin a new transaction."""
        with self._mutex:
            if self._waiters:
                self._waiters.popleft().turn.release()
            else:
                self._is_held = False

    def _leave(self, waiter: "_Waiter") -> bool:
        """Leave the queue; return False if the turn came in the same moment."""
        with self._mutex:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                return True
        return False


class _Waiter:
    """A writer in the queue; `turn` is unlocked when it is its turn."""

    def __init__(self, *, durable: bool) -> None:
        self.durable = durable
        self.turn = Lock()
        self.turn.acquire()
