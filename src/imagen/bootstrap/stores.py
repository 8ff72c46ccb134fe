"""The stores in the SQLite database of this machine, each opened on first use."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Generic, TypeVar, cast

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
    from imagen.adapters.database.joining import SqliteJoinableRequests
    from imagen.adapters.database.journal import SqliteJournal
    from imagen.adapters.database.ledger import SqliteLedger

Store = TypeVar("Store")
_JOURNAL = "journal:SqliteJournal"


class _Lazy(Generic[Store]):
    """A store that is imported and built when it is first used."""

    def __init__(self, target: str) -> None:
        self._target = target

    def __get__(self, stores: "Stores", _: type) -> Store:
        return cast("Store", stores.get(self._target))


class Stores:
    """The journal, ledger, history, delivery queues and keys of one database.

    Safe for several threads. Each store is built, and its module imported, on first
    use: `imagen history` needs two of the eight.

    Args:
        folder: Returns the folder of the database file.
    """

    journal: "_Lazy[SqliteJournal]" = _Lazy(_JOURNAL)
    """The calls that are not finished."""
    ledger: "_Lazy[SqliteLedger]" = _Lazy("ledger:SqliteLedger")
    """The usage rows: what each call cost."""
    history: "_Lazy[SqliteHistory]" = _Lazy("history:SqliteHistory")
    """The images that were made on this machine."""
    usage_queue: "_Lazy[SqliteUsageQueue]" = _Lazy("delivery_queue:SqliteUsageQueue")
    """The delivery state of usage rows."""
    image_queue: "_Lazy[SqliteImageQueue]" = _Lazy("delivery_queue:SqliteImageQueue")
    """The delivery state of images."""
    undelivered: "_Lazy[SqliteUndeliveredUsage]" = _Lazy(
        "delivery_queue:SqliteUndeliveredUsage"
    )
    """The usage rows that are not in the shared ledger yet."""
    spool: "_Lazy[FileSpool]" = _Lazy("files:FileSpool")
    """The bytes of images until they are uploaded."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._built: dict[str, object] = {}
        self._database: Database | None = None
        # functools.cached_property has no lock since Python 3.12. Two threads could
        # each build a journal, and the one that is dropped would release the process
        # lock under which calls are being made. Reentrant: a store
        # opens the database.
        self._lock = RLock()

    @property
    def keys(self) -> "SqliteRequestKeys":
        """The idempotency keys of the server's requests."""
        from imagen.adapters.database.idempotency import SqliteRequestKeys  # noqa: PLC0415

        return SqliteRequestKeys(self._open(), self.journal.process_lock)

    @property
    def joinable(self) -> "SqliteJoinableRequests":
        """The server's requests without an idempotency key."""
        from imagen.adapters.database.joining import SqliteJoinableRequests  # noqa: PLC0415

        return SqliteJoinableRequests(self._open(), self.journal.process_lock)

    def close(self) -> None:
        """Close the database; other processes may claim the calls of this one."""
        with self._lock:
            if _JOURNAL in self._built:
                self.journal.close()
            elif self._database is not None:
                self._database.close()

    def get(self, target: str) -> object:
        """Return the store of a class `MODULE:NAME`, built on first use."""
        with self._lock:
            if target not in self._built:
                module, _, name = target.partition(":")
                build = getattr(
                    import_module(f"imagen.adapters.database.{module}"), name
                )
                self._built[target] = build(self._open())
            return self._built[target]

    def _open(self) -> "Database":
        from imagen.adapters.database.connection import Database  # noqa: PLC0415

        with self._lock:
            self._database = self._database or Database(self._folder)
            return self._database
