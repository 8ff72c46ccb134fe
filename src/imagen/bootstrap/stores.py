"""The stores in the SQLite database of this machine, each opened on first use."""

from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from imagen.adapters.database.connection import Database
    from imagen.adapters.database.history import SqliteHistory
    from imagen.adapters.database.idempotency import SqliteRequestKeys
    from imagen.adapters.database.journal import SqliteJournal
    from imagen.adapters.database.ledger import SqliteLedger
    from imagen.adapters.database.outbox import SqliteOutbox

Store = TypeVar("Store")


class Stores:
    """The journal, ledger, history, outbox and idempotency keys of one database.

    Safe for several threads. Each store is built, and its module imported, on first
    use: `imagen history` needs one of the five.

    Args:
        folder: Returns the folder of the database file.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._built: dict[str, object] = {}
        # functools.cached_property has no lock since Python 3.12. Two threads could
        # each build a journal, and the one that is dropped would release the process
        # lock under which calls are being made. Reentrant: `keys` builds the journal.
        self._lock = RLock()

    @property
    def journal(self) -> "SqliteJournal":
        """The calls that are not finished."""
        from imagen.adapters.database.journal import SqliteJournal  # noqa: PLC0415

        return self._get("journal", lambda: SqliteJournal(self._database()))

    @property
    def ledger(self) -> "SqliteLedger":
        """The usage rows: what each call cost."""
        from imagen.adapters.database.ledger import SqliteLedger  # noqa: PLC0415

        return self._get("ledger", lambda: SqliteLedger(self._database()))

    @property
    def history(self) -> "SqliteHistory":
        """The images that were made on this machine."""
        from imagen.adapters.database.history import SqliteHistory  # noqa: PLC0415

        return self._get("history", lambda: SqliteHistory(self._database()))

    @property
    def outbox(self) -> "SqliteOutbox":
        """The pending uploads to the cloud."""
        from imagen.adapters.database.outbox import SqliteOutbox  # noqa: PLC0415

        return self._get("outbox", lambda: SqliteOutbox(self._database()))

    @property
    def keys(self) -> "SqliteRequestKeys":
        """The idempotency keys of the server's requests."""
        from imagen.adapters.database.idempotency import SqliteRequestKeys  # noqa: PLC0415

        return self._get(
            "keys", lambda: SqliteRequestKeys(self._database(), self.journal.lease)
        )

    def close(self) -> None:
        """Close the database; other processes may claim the calls of this one."""
        with self._lock:
            if "journal" in self._built:
                self.journal.close()
            elif "database" in self._built:
                self._database().close()

    def _database(self) -> "Database":
        from imagen.adapters.database.connection import Database  # noqa: PLC0415

        return self._get("database", lambda: Database(self._folder))

    def _get(self, name: str, build: Callable[[], Store]) -> Store:
        with self._lock:
            if name not in self._built:
                self._built[name] = build()
            return cast("Store", self._built[name])
