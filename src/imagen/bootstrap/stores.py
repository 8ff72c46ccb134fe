"""The stores in the SQLite database of this machine, each opened on first use."""

from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from imagen.adapters.database.connection import Database
    from imagen.adapters.database.delivery_queue import (
        SqliteImageQueue,
        SqliteUndeliveredUsage,
        SqliteUsageQueue,
    )
    from imagen.adapters.database.files import FileSpool
    from imagen.adapters.database.history import SqliteHistory
    from imagen.adapters.database.idempotency import SqliteRequestKeys
    from imagen.adapters.database.journal import SqliteJournal
    from imagen.adapters.database.ledger import SqliteLedger

Store = TypeVar("Store")


class Stores:
    """The journal, ledger, history, delivery queues and keys of one database.

    Safe for several threads. Each store is built, and its module imported, on first
    use: `imagen history` needs two of the eight.

    Args:
        folder: Returns the folder of the database file.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._built: dict[str, object] = {}
        self._database: Database | None = None
        # functools.cached_property has no lock since Python 3.12. Two threads could
        # each build a journal, and the one that is dropped would release the process
        # lock under which calls are being made. Reentrant: `keys` builds the journal.
        self._lock = RLock()

    @property
    def journal(self) -> "SqliteJournal":
        """The calls that are not finished."""
        from imagen.adapters.database.journal import SqliteJournal  # noqa: PLC0415

        return self._get("journal", SqliteJournal)

    @property
    def ledger(self) -> "SqliteLedger":
        """The usage rows: what each call cost."""
        from imagen.adapters.database.ledger import SqliteLedger  # noqa: PLC0415

        return self._get("ledger", SqliteLedger)

    @property
    def history(self) -> "SqliteHistory":
        """The images that were made on this machine."""
        from imagen.adapters.database.history import SqliteHistory  # noqa: PLC0415

        return self._get("history", SqliteHistory)

    @property
    def usage_queue(self) -> "SqliteUsageQueue":
        """The delivery state of usage rows."""
        from imagen.adapters.database import delivery_queue  # noqa: PLC0415

        return self._get("usage_queue", delivery_queue.SqliteUsageQueue)

    @property
    def image_queue(self) -> "SqliteImageQueue":
        """The delivery state of images."""
        from imagen.adapters.database import delivery_queue  # noqa: PLC0415

        return self._get("image_queue", delivery_queue.SqliteImageQueue)

    @property
    def undelivered(self) -> "SqliteUndeliveredUsage":
        """The usage rows that are not in the shared ledger yet."""
        from imagen.adapters.database import delivery_queue  # noqa: PLC0415

        return self._get("undelivered", delivery_queue.SqliteUndeliveredUsage)

    @property
    def spool(self) -> "FileSpool":
        """The bytes of images until they are uploaded."""
        from imagen.adapters.database.files import FileSpool  # noqa: PLC0415

        return self._get("spool", FileSpool)

    @property
    def keys(self) -> "SqliteRequestKeys":
        """The idempotency keys of the server's requests."""
        from imagen.adapters.database.idempotency import SqliteRequestKeys  # noqa: PLC0415

        return self._get(
            "keys", lambda db: SqliteRequestKeys(db, self.journal.process_lock)
        )

    def close(self) -> None:
        """Close the database; other processes may claim the calls of this one."""
        with self._lock:
            if "journal" in self._built:
                self.journal.close()
            elif self._database is not None:
                self._database.close()

    def _get(self, name: str, build: "Callable[[Database], Store]") -> Store:
        from imagen.adapters.database.connection import Database  # noqa: PLC0415

        with self._lock:
            self._database = self._database or Database(self._folder)
            if name not in self._built:
                self._built[name] = build(self._database)
            return cast("Store", self._built[name])
