"""The SQLite database of this machine: its file, connections and error messages.

Safe for many threads and processes at the same time. Exceptions of SQLite and of the
operating system are translated to a `JournalError` that names the file.
"""

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import sleep  # noqa: TID251 - stands in for the busy handler of SQLite
from weakref import WeakSet, finalize

from imagen.adapters.database.schema import (
    MIGRATIONS,
    fold_column,
    translate_decode_errors,
)
from imagen.adapters.database.write_queue import Batch, WriteQueue
from imagen.adapters.system.private_files import (
    check_locks,
    create_private_file,
    create_private_folder,
    lock_folder,
    sync_folder,
)
from imagen.domain.errors import ImagenError, JournalError

FILE = "imagen.sqlite3"
PATIENCE = 30.0
"""Seconds to wait while another thread or process writes."""
SPARE_CONNECTIONS = 8
"""Idle connections that are kept open."""

_READER_PATIENCE = 0.2
"""Seconds to wait for readers before a checkpoint is left to a later one."""
_POLL_INTERVAL = 0.005
"""Seconds between two attempts to begin a write transaction."""
_PERMISSION = (
    "Make the file and its folder writable for your user, or set another folder in "
    "$IMAGEN_DATA_DIR."
)
_PROBLEMS = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", "Try again in a moment."),
    sqlite3.SQLITE_LOCKED: ("is locked by another process", "Try again in a moment."),
    sqlite3.SQLITE_CORRUPT: ("is damaged", ""),
    sqlite3.SQLITE_NOTADB: ("is damaged, or not a database", ""),
    sqlite3.SQLITE_READONLY: ("cannot be written", _PERMISSION),
    sqlite3.SQLITE_PERM: ("is not accessible to your user", _PERMISSION),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", _PERMISSION),
    sqlite3.SQLITE_FULL: (
        "cannot grow: the disk is full",
        "Free some space on that disk.",
    ),
}


_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP}


class Database:
    """The file `imagen.sqlite3` in a folder, readable for its owner only.

    The file is created, complete with its tables, when it is first needed.

    Args:
        folder: The folder, or a function that returns it.
        patience: Seconds to wait while another thread or process writes.
        migrations: The statements that each version adds to the one before it.
    """

    def __init__(
        self,
        folder: Path | Callable[[], Path],
        *,
        patience: float = PATIENCE,
        migrations: Sequence[Sequence[str]] = MIGRATIONS,
    ) -> None:
        self._folder = folder
        self._patience = patience
        self._migrations = migrations
        self._queue = WriteQueue()
        # A list instead of a connection for each thread: the threads of a server come
        # and go, and each connection costs several statements to open.
        self._spare: list[sqlite3.Connection] = []
        _databases.add(self)
        finalize(self, _close_all, self._spare)

    @property
    def folder(self) -> Path:
        """The folder, which is created on first access.

        Raises:
            JournalError: the folder does not exist and cannot be created.
        """
        folder = self.path.parent
        with translate_errors(folder):
            return create_private_folder(folder)

    @property
    def path(self) -> Path:
        """The file, which may not exist yet.

        Raises:
            JournalError: the folder cannot be determined.
        """
        if not isinstance(self._folder, Path):
            try:
                self._folder = self._folder()
            except ImagenError as error:
                raise JournalError(error.message, hint=error.hint) from error
        return self._folder / FILE

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Lend a connection for reading.

        Raises:
            JournalError: also in place of what the body raises.
        """
        path = self.path
        with translate_errors(path):
            connection = self._take_connection()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._return_connection(connection)

    @contextmanager
    def decoding(self) -> Generator[sqlite3.Connection]:
        """Lend a connection for reading; an invalid value is a `JournalError`, too."""
        with translate_decode_errors(self.path), self.reading() as connection:
            yield connection

    @contextmanager
    def writing(self, *, durable: bool) -> Generator[sqlite3.Connection]:
        """Lend a connection for writing; what the body writes is kept whole or not.

        Waiting writers of this process share a commit. An exception in the body rolls
        back the writes of that body only; a failed commit loses those of all.

        Args:
            durable: Whether the writes must survive a power cut, which takes until the
                disk has confirmed them.

        Raises:
            JournalError: also in place of what the body raises.
        """
        path = self.path
        queue = self._queue
        with translate_errors(path):
            if not queue.acquire(durable=durable, timeout=self._patience):
                raise _error(path, sqlite3.SQLITE_BUSY)
            batch = self._join_batch(durable=durable)
            try:
                batch.connection.execute("SAVEPOINT writer")
                try:
                    yield batch.connection
                    batch.connection.execute("RELEASE writer")
                except BaseException as error:
                    _roll_back(batch, error)
                    raise
            finally:
                if not queue.pass_on():
                    queue.batch = None
                    self._commit(batch)
                    queue.release()
        # The last writer of the batch commits. Returning earlier would report as stored
        # what may still be lost.
        batch.done.wait()
        if batch.error is not None:
            with translate_errors(path):
                raise batch.error

    def truncate_log(self) -> None:
        """Remove overwritten data from the write-ahead log, unless it is being read.

        In that case the last process that closes the database does it.
        """
        with self.reading() as connection:
            _set_busy_timeout(connection, _READER_PATIENCE)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            _set_busy_timeout(connection, self._patience)

    def close(self) -> None:
        """Close the idle connections; they are opened again when needed."""
        _close_all(self._spare)

    def reset_after_fork(self) -> None:
        """Start with no connections in a forked process."""
        # SQLite forbids any use of a connection after a fork, even closing it. So the
        # inherited ones stay referenced, and are never finalized.
        _inherited.extend(self._spare)
        self._spare.clear()
        self._queue = WriteQueue()

    def _join_batch(self, *, durable: bool) -> Batch:
        """Return the open batch, or begin one; release the queue if that fails."""
        queue = self._queue
        try:
            queue.batch = queue.batch or self._begin_batch(durable=durable)
        except BaseException:
            queue.release()
            raise
        queue.batch.writers += 1
        return queue.batch

    def _begin_batch(self, *, durable: bool) -> Batch:
        connection = self._take_connection()
        try:
            level = "FULL" if durable else "NORMAL"
            connection.execute(f"PRAGMA synchronous = {level}")
            self._begin_immediate(connection)
        except BaseException:
            connection.close()
            raise
        return Batch(connection, durable=durable)

    def _commit(self, batch: Batch) -> None:
        """Commit the batch, or store in it why that failed; never raise."""
        try:
            if batch.error is None:
                batch.connection.execute("COMMIT")
        except sqlite3.Error as error:
            batch.error = error
        finally:
            if batch.error is None:
                self._return_connection(batch.connection)
            else:
                batch.connection.close()
            batch.done.set()

    def _return_connection(self, connection: sqlite3.Connection) -> None:
        if len(self._spare) < SPARE_CONNECTIONS:
            self._spare.append(connection)
        else:
            connection.close()

    def _begin_immediate(self, connection: sqlite3.Connection) -> None:
        """Begin a write transaction as soon as no other process has one."""
        # Not the busy timeout of SQLite: it sleeps longer after each attempt, so the
        # process that waited longest loses against new ones. Of 50 processes that wrote
        # at once, some waited 3.4 s with it; with a constant interval none over 0.8 s.
        _set_busy_timeout(connection, 0)
        for _ in range(1 + round(self._patience / _POLL_INTERVAL)):
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if _primary_code(error) != sqlite3.SQLITE_BUSY:
                    raise
                sleep(_POLL_INTERVAL)
            else:
                _set_busy_timeout(connection, self._patience)
                return
        raise _error(self.path, sqlite3.SQLITE_BUSY)

    def _take_connection(self) -> sqlite3.Connection:
        try:
            return self._spare.pop()
        except IndexError:
            return self._connect(self.folder / FILE)

    def _connect(self, path: Path) -> sqlite3.Connection:
        try:
            found = path.stat()
        except FileNotFoundError:
            check_locks(path.parent)
            _create(path, self._migrations)
            found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise JournalError(f"{path} is not a file.", hint="Move it away.")
        # SQLite takes an empty file for a new database. imagen never creates one, so
        # this file has lost its content.
        if found.st_size == 0:
            raise _error(path, sqlite3.SQLITE_CORRUPT)
        is_writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        mode = "mode=rw" if is_writable else _read_only_mode(path)
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{mode}",
            uri=True,
            timeout=0,
            isolation_level=None,
            # A connection is lent to one thread at a time, but not always to the same.
            check_same_thread=False,
        )
        try:
            version = self._read_version(connection, path)
            _check_version(version, path, latest=len(self._migrations))
            if version == len(self._migrations) and not is_writable:
                return connection
            connection.execute("PRAGMA secure_delete = ON")
            # On macOS, an fsync alone does not make the disk write its cache.
            connection.execute("PRAGMA fullfsync = ON")
            # The file keeps this setting, but a copy that was restored from a backup
            # may have lost it.
            connection.execute("PRAGMA journal_mode = WAL")
            if version < len(self._migrations):
                _migrate(connection, self._migrations)
        except BaseException:
            connection.close()
            raise
        return connection

    def _read_version(self, connection: sqlite3.Connection, path: Path) -> int:
        """Read the format, and wait for a lock only where files can be locked."""
        try:
            return _version(connection)
        except sqlite3.OperationalError as error:
            if _primary_code(error) != sqlite3.SQLITE_BUSY:
                raise
            if os.access(path.parent, os.W_OK):
                check_locks(path.parent)
        finally:
            _set_busy_timeout(connection, self._patience)
        return _version(connection)


@contextmanager
def translate_errors(path: Path) -> Generator[None]:
    """Translate errors of SQLite and the operating system to one that names the file.

    Raises:
        JournalError: in place of the original error.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = _primary_code(error)
        if code == sqlite3.SQLITE_IOERR and _is_full(path):
            code = sqlite3.SQLITE_FULL
        raise _error(path, code, detail=str(error)) from error
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise JournalError(
                f"{path} cannot be used: the file system does not support locks (NFS "
                "without lockd).",
                hint="Set a folder on a local disk in $IMAGEN_DATA_DIR.",
            ) from error
        code = {
            errno.ENOSPC: sqlite3.SQLITE_FULL,
            errno.EDQUOT: sqlite3.SQLITE_FULL,
            errno.EACCES: sqlite3.SQLITE_PERM,
            errno.EPERM: sqlite3.SQLITE_PERM,
            errno.EROFS: sqlite3.SQLITE_READONLY,
        }.get(error.errno or 0, 0)
        raise _error(path, code, detail=error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        # The message of SQLite itself contains garbled names of a damaged schema.
        raise _error(path, sqlite3.SQLITE_CORRUPT) from error
    except OverflowError as error:
        raise _error(path, 0, detail=str(error)) from error


def _create(path: Path, migrations: Sequence[Sequence[str]]) -> None:
    """Create the database so that other processes see it only when it is complete."""
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    handle = create_private_file(draft)
    try:
        try:
            with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
                # The finished file is synced once, below.
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("PRAGMA journal_mode = WAL")
                _migrate(connection, migrations)
            os.fsync(handle)
        finally:
            # POSIX drops all locks of a process on a file when it closes any handle of
            # that file. So this one is closed before the database is in use.
            os.close(handle)
        with lock_folder(path.parent, fcntl.LOCK_EX):
            if not path.exists():
                _move_log_away(path.with_name(f"{path.name}-wal"))
                draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _read_only_mode(path: Path) -> str:
    """Return how to open a file that this process cannot write, or whose folder.

    SQLite reads the log of a database with the help of a file that it creates. Without
    a log it needs none if it is told that no process writes.
    """
    log = path.with_name(f"{path.name}-wal")
    return "mode=ro" if log.exists() else "mode=ro&immutable=1"


def _move_log_away(log: Path) -> None:
    """Rename the log of a database that was deleted or moved away.

    SQLite would otherwise replay it into the new database.
    """
    with suppress(FileNotFoundError):
        log.rename(log.with_name(f"{log.name}.{os.urandom(4).hex()}"))


def _check_version(version: int, path: Path, *, latest: int) -> None:
    if version == 0:
        raise _error(path, sqlite3.SQLITE_NOTADB)
    if version > latest:
        raise JournalError(
            f"{path} was written by a newer version of imagen (format {version}; "
            f"this version supports up to {latest}).",
            hint="Update imagen, or set another folder in $IMAGEN_DATA_DIR.",
        )


def _migrate(
    connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    # Read inside the transaction: another process may have migrated it just now.
    current = _version(connection)
    connection.create_function("fold", 1, fold_column, deterministic=True)
    for version, script in enumerate(migrations[current:], start=current + 1):
        for statement in script:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    [(version,)] = connection.execute("PRAGMA user_version")
    return int(version)


def _roll_back(batch: Batch, error: BaseException) -> None:
    """Undo the writes of one writer; if that fails, the whole batch is lost."""
    try:
        batch.connection.execute("ROLLBACK TO writer")
        batch.connection.execute("RELEASE writer")
    except sqlite3.Error as rollback_error:
        # After an error of the disk, SQLite has rolled back the whole transaction.
        is_cause = isinstance(error, sqlite3.Error)
        batch.error = error if is_cause else rollback_error


def _set_busy_timeout(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


def _error(path: Path, code: int, *, detail: str = "") -> JournalError:
    problem, hint = _PROBLEMS.get(code, (f"cannot be used: {detail}", ""))
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        hint = (
            "Move it away together with its -wal file, and imagen creates a new one; "
            "`sqlite3 FILE .recover` may save its content."
        )
    return JournalError(f"{path} {problem}.", hint=hint)


def _primary_code(error: sqlite3.Error) -> int:
    try:
        return error.sqlite_errorcode & 0xFF  # the other bits are the extended code
    except AttributeError:
        # Raised by Python's sqlite3 module itself, for text that is not UTF-8.
        garbled = isinstance(error, sqlite3.OperationalError)
        return sqlite3.SQLITE_CORRUPT if garbled else 0


def _is_full(path: Path) -> bool:
    with suppress(OSError):
        return os.statvfs(path.parent).f_bavail == 0
    return False


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


_databases: "WeakSet[Database]" = WeakSet()
_inherited: list[sqlite3.Connection] = []


def _reset_after_fork() -> None:
    for database in _databases:
        database.reset_after_fork()


os.register_at_fork(after_in_child=_reset_after_fork)
