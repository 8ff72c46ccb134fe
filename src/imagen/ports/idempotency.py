"""The port to what was asked for under which key."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from imagen.domain.call import Call
from imagen.domain.idempotency import KeyState, RequestKey, StoredAnswer


class RequestKeys(Protocol):
    """Remembers for good which requests were carried out under a key, whatever dies.

    May be used by several threads and processes at once. A request is its caller's and
    has a key, to the letter; of two that have both, it is the same.
    """

    def claim(self, key: RequestKey, *, at: datetime) -> KeyState:
        """Take a request in hand, or say why not; of several, one gets it.

        It is in the hands of this process until that lets go of it, or dies.

        Raises:
            JournalError: it cannot be read or written.
        """
        ...

    def take_over(self, key: RequestKey) -> bool:
        """Take in hand what was `Interrupted`; False if somebody was quicker.

        Of several, one gets it. Only for a request of which certainly nothing was made:
        its calls are forgotten.

        Raises:
            JournalError: it cannot be written.
        """
        ...

    def record_calls(self, key: RequestKey, calls: Sequence[Call]) -> None:
        """Write down which calls are about to be made for it, before one is.

        Raises:
            JournalError: it cannot be written.
        """
        ...

    def complete(self, key: RequestKey, answer: StoredAnswer) -> None:
        """Write down what the client is told; the same is said ever after.

        Raises:
            JournalError: it cannot be written.
        """
        ...

    def abandon(self, key: RequestKey) -> None:
        """Let go of what is not over: it is `Interrupted`.

        Raises:
            JournalError: it cannot be written.
        """
        ...

    def release(self, key: RequestKey) -> None:
        """Forget it: certainly nothing was made, so it may be asked again.

        Raises:
            JournalError: it cannot be written.
        """
        ...
