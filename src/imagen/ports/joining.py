"""The port for requests without an idempotency key, which a repetition may join."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

from imagen.domain.call import Call
from imagen.domain.idempotency import RequestKey, StoredAnswer
from imagen.domain.joining import Joinable


class JoinableRequests(Protocol):
    """A record of the server's requests without an idempotency key.

    They are requests of `RequestKeys`, under the server's own caller and key, and with
    the state of their connection. Used by several threads and processes at once. A
    connection belongs to a process and is lost with it. Nothing is synced to the disk:
    the journal's own sync covers a record that is written before the call is sent.
    Every method raises `JournalError` if the record cannot be read or written.
    """

    def find(
        self, key: RequestKey, *, since: datetime, answered: bool = True
    ) -> tuple[Joinable, ...]:
        """Return the caller's requests with this fingerprint, the oldest first.

        Those that have ended before `since` are left out.

        Args:
            answered: Whether to return those that were answered with images or an
                error. Refused ones are always returned.
        """
        ...

    def record(
        self,
        key: RequestKey,
        calls: Sequence[Call],
        *,
        at: datetime,
        retries: int | None,
    ) -> None:
        """Record the calls of a request before the first one is sent.

        A new request gets an open connection of this process.
        """
        ...

    def save(
        self,
        key: RequestKey,
        *,
        at: datetime | None,
        retries: int | None,
        connection: Literal["lost", "answered"] | None = None,
        ended_at: datetime | None = None,
        answer: StoredAnswer | None = None,
    ) -> None:
        """Record what is given, of a new or a known request.

        Args:
            at: The time of the request; None if only a known one is changed.
            retries: The retry number of the connection.
            ended_at: No process works on the request since then.
        """
        ...

    def connect(self, key: RequestKey, seen: Joinable, *, retries: int | None) -> bool:
        """Give this process the connection; False if it is not as `seen` any more.

        Of several concurrent attempts exactly one succeeds.
        """
        ...

    def expire(self, *, now: datetime, after: timedelta) -> None:
        """Delete requests that ended longer ago, unless a call of theirs is open.

        A request whose process has died ends now, if it was not known to have ended.
        """
        ...
