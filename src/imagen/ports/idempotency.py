"""The port for idempotency keys: which request was made under which key."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from imagen.domain.call import Call
from imagen.domain.idempotency import (
    KeyState,
    RequestKey,
    StoredAnswer,
    StoredRequest,
)


class RequestKeys(Protocol):
    """A durable record of the requests that were made under an idempotency key.

    Used by several threads and processes at once. A request is identified by its caller
    and its key, compared exactly. A claim belongs to the process and ends with it.
    Records never expire. Every method raises `JournalError` if the record cannot be
    read or written.
    """

    def claim(
        self, key: RequestKey, *, at: datetime, calls: Sequence[Call] = ()
    ) -> KeyState:
        """Claim the request for this process, or return why that is impossible.

        Of several concurrent claims exactly one succeeds. The calls of a new request
        are recorded with it.
        """
        ...

    def take_over(self, key: RequestKey) -> bool:
        """Claim a request in state `KeyInterrupted`; False if another process did.

        Of several concurrent claims exactly one succeeds.
        """
        ...

    def record_calls(self, key: RequestKey, calls: Sequence[Call]) -> None:
        """Record the calls of the request, before the first one starts.

        They replace those that were recorded before.
        """
        ...

    def complete(self, key: RequestKey, answer: StoredAnswer) -> None:
        """Store the response of a finished request; `claim` returns it from now on."""
        ...

    def abandon(self, key: RequestKey) -> None:
        """Give up the claim on an unfinished request; its state is `KeyInterrupted`."""
        ...

    def release(self, key: RequestKey) -> None:
        """Delete the record: certainly nothing was made, so a client may try again."""
        ...


class RequestList(Protocol):
    """The recorded requests of a caller.

    Raises `JournalError` if the record cannot be read.
    """

    def list_requests(self, caller: str) -> tuple[StoredRequest, ...]:
        """Return all requests of the caller, the oldest first."""
        ...
