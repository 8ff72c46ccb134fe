"""Writers of one process take turns, and those that come together share a commit.

A commit that is to outlive a power cut waits for the disk, and the disk takes no longer
for sixty writers than for one.
"""

import sqlite3
from collections import deque
from threading import Event, Lock

MOST_AT_ONCE = 64
"""Writers that share a commit; other processes wait as long."""


class Batch:
    """A transaction that writers add to, one after the other.

    Attributes:
        connection: Where it is open.
        for_good: Whether its commit waits for the disk.
        writers: How many have added to it.
        error: Why nothing of it was kept; None while that is not so.
        over: Whether that is settled.
    """

    def __init__(self, connection: sqlite3.Connection, *, for_good: bool) -> None:
        self.connection = connection
        self.for_good = for_good
        self.writers = 0
        self.error: BaseException | None = None
        self.over = Event()

    def takes(self, *, for_good: bool) -> bool:
        """Say whether one more writer may add to it."""
        whole = self.error is None and self.writers < MOST_AT_ONCE
        return whole and (self.for_good or not for_good)


class WriteQueue:
    """A line in which nobody is overtaken.

    Attributes:
        batch: What the next in line may add to; None when they have to begin.
    """

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self._mutex = Lock()
        self._taken = False
        self._line: deque[_Waiter] = deque()

    def take(self, *, for_good: bool, patience: float) -> bool:
        """Wait for one's turn; False when that takes too long.

        Args:
            for_good: Whether what is written has to outlive a power cut.
            patience: Seconds.
        """
        with self._mutex:
            if not self._taken:
                self._taken = True
                return True
            ticket = _Waiter(for_good=for_good)
            self._line.append(ticket)
        try:
            if ticket.called.acquire(timeout=patience):
                return True
        except BaseException:
            if not self._left(ticket):
                self.end()
            raise
        return not self._left(ticket)

    def hand_on(self) -> bool:
        """Let the next one add to the batch; False when nobody can, so it is to end."""
        with self._mutex:
            batch, line = self.batch, self._line
            if batch and line and batch.takes(for_good=line[0].for_good):
                line.popleft().called.release()
                return True
        return False

    def end(self) -> None:
        """Let the next one begin anew."""
        with self._mutex:
            if self._line:
                self._line.popleft().called.release()
            else:
                self._taken = False

    def _left(self, ticket: "_Waiter") -> bool:
        """Leave the line; False when the turn has come in that moment."""
        with self._mutex:
            if ticket in self._line:
                self._line.remove(ticket)
                return True
        return False


class _Waiter:
    """Somebody's place in the line."""

    def __init__(self, *, for_good: bool) -> None:
        self.for_good = for_good
        self.called = Lock()
        self.called.acquire()
