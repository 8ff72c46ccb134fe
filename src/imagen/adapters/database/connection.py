"""The one database of this machine: its file, its connections, and what goes wrong.

Safe for many threads and processes at once. No exception of SQLite's or the operating
system's gets out of here: they become a `JournalError` that names the file.
"""

import errno
import os
import sqlite3
import stat
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import sleep  # noqa: TID251 - a nap of SQLite's, as far as others can tell
from weakref import WeakSet, finalize

from imagen.adapters.database.schema import MIGRATIONS
from imagen.adapters.database.write_queue import Batch, WriteQueue
from imagen.adapters.system.private_files import (
    create_private_file,
    create_private_folder,
    sync_folder,
)
from imagen.domain.errors import ImagenError, JournalError

FILE = "imagen.sqlite3"
PATIENCE = 30.0
"""Seconds to wait for whoever writes at the moment."""
SPARE_CONNECTIONS = 8
"""As many as are kept open for the next who needs one."""

_MOMENT = 0.2
"""Seconds to wait for those who read."""
_NAP = 0.005
"""Seconds between two looks whether nobody writes."""
_PERMISSION = (
    "Make it and its folder writable for yourself, or name another folder in "
    "$IMAGEN_DATA_DIR."
)
_TROUBLES = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", "Try again in a moment."),
    sqlite3.SQLITE_LOCKED: ("is locked by another process", "Try again in a moment."),
    sqlite3.SQLITE_CORRUPT: ("is damaged", ""),
    sqlite3.SQLITE_NOTADB: ("is damaged, or no database", ""),
    sqlite3.SQLITE_READONLY: ("cannot be written", _PERMISSION),
    sqlite3.SQLITE_PERM: ("cannot be used by you", _PERMISSION),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", _PERMISSION),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "Make room on that disk."),
}


class Database:
    """`imagen.sqlite3` in a folder; made whole, for its owner only, when first needed.

    Args:
        folder: Where it is, or what finds that out.
        patience: Seconds to wait for whoever writes at the moment.
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
        self._turns = WriteQueue()
        self._spare: list[sqlite3.Connection] = []
        _databases.add(self)
        finalize(self, _close_all, self._spare)

    @property
    def folder(self) -> Path:
        """The folder; made when it is first asked for.

        Raises:
            JournalError: there is none, and none can be made.
        """
        folder = self.path.parent
        with translate_errors(folder):
            return create_private_folder(folder)

    @property
    def path(self) -> Path:
        """The file, which may not be there yet.

        Raises:
            JournalError: there is no folder for it.
        """
        if not isinstance(self._folder, Path):
            try:
                self._folder = self._folder()
            except ImagenError as error:
                raise JournalError(error.message, hint=error.hint) from error
        return self._folder / FILE

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Lend a connection to read with.

        Raises:
            JournalError: for whatever is raised in it, too.
        """
        path = self.path
        with translate_errors(path):
            connection = self._lent()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._keep(connection)

    @contextmanager
    def writing(self, *, for_good: bool) -> Generator[sqlite3.Connection]:
        """Lend a connection that nobody else writes beside: all of it is kept or none.

        Those who wait for each other in this process share a commit. What one of them
        raises undoes nothing of the others'; what the disk does undoes all.

        Args:
            for_good: Whether it has to outlive a power cut, which takes the disk a
                moment.

        Raises:
            JournalError: for whatever is raised in it, too.
        """
        path = self.path
        turns = self._turns
        with translate_errors(path):
            if not turns.take(for_good=for_good, patience=self._patience):
                raise _trouble(path, sqlite3.SQLITE_BUSY)
            batch = self._batch(for_good=for_good)
            try:
                batch.connection.execute("SAVEPOINT writer")
                try:
                    yield batch.connection
                    batch.connection.execute("RELEASE writer")
                except BaseException as error:
                    _undo(batch, error)
                    raise
            finally:
                if not turns.hand_on():
                    turns.batch = None
                    self._end(batch)
                    turns.end()
        batch.over.wait()
        if batch.error is not None:
            with translate_errors(path):
                raise batch.error

    def empty_log(self) -> None:
        """Leave nothing in the log that was overwritten since, if nobody reads it now.

        If somebody does, that happens when the last who has the database closes it.
        """
        with self.reading() as connection:
            _have_it_wait(connection, _MOMENT)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            _have_it_wait(connection, self._patience)

    def close(self) -> None:
        """Let go of the file; whoever needs it again opens it again."""
        _close_all(self._spare)

    def forget_inherited(self) -> None:
        """Begin anew in a process that was forked: no connection outlives a fork."""
        _inherited.extend(self._spare)  # not even to be closed
        self._spare.clear()
        self._turns = WriteQueue()

    def _batch(self, *, for_good: bool) -> Batch:
        """Return what was handed on, or begin; the turn is over if that fails."""
        turns = self._turns
        try:
            turns.batch = turns.batch or self._begun(for_good=for_good)
        except BaseException:
            turns.end()
            raise
        turns.batch.writers += 1
        return turns.batch

    def _begun(self, *, for_good: bool) -> Batch:
        connection = self._lent()
        try:
            level = "FULL" if for_good else "NORMAL"
            connection.execute(f"PRAGMA synchronous = {level}")
            self._begin(connection)
        except BaseException:
            connection.close()
            raise
        return Batch(connection, for_good=for_good)

    def _end(self, batch: Batch) -> None:
        """Keep what was written, or find out why that cannot be; raise nothing."""
        try:
            if batch.error is None:
                batch.connection.execute("COMMIT")
        except sqlite3.Error as error:
            batch.error = error
        finally:
            if batch.error is None:
                self._keep(batch.connection)
            else:
                batch.connection.close()
            batch.over.set()

    def _keep(self, connection: sqlite3.Connection) -> None:
        if len(self._spare) < SPARE_CONNECTIONS:
            self._spare.append(connection)
        else:
            connection.close()

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin to write as soon as nobody else does.

        SQLite itself sleeps longer and longer, and whoever waited longest loses: of 50
        processes that wrote at once some waited 3.4 s, and like this none over 0.8 s.
        """
        _have_it_wait(connection, 0)
        for _ in range(1 + round(self._patience / _NAP)):
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY:
                    raise
                sleep(_NAP)
            else:
                _have_it_wait(connection, self._patience)
                return
        raise _trouble(self.path, sqlite3.SQLITE_BUSY)

    def _lent(self) -> sqlite3.Connection:
        try:
            return self._spare.pop()
        except IndexError:
            return self._connected(self.folder / FILE)

    def _connected(self, path: Path) -> sqlite3.Connection:
        try:
            found = path.stat()
        except FileNotFoundError:
            _create(path, self._migrations)
            found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise JournalError(f"{path} is no file.", hint="Move away what is there.")
        if found.st_size == 0:  # it is never made so
            raise _trouble(path, sqlite3.SQLITE_CORRUPT)
        connection = sqlite3.connect(
            path.absolute().as_uri() + "?mode=rw",
            uri=True,
            timeout=self._patience,
            isolation_level=None,
            check_same_thread=False,  # one at a time has it, whichever thread that is
        )
        try:
            version = _known_version(connection, path, latest=len(self._migrations))
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA fullfsync = ON")  # macOS syncs halfway without
            connection.execute("PRAGMA journal_mode = WAL")  # a restored copy is not so
            if version < len(self._migrations):
                _migrate(connection, self._migrations)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def translate_errors(path: Path) -> Generator[None]:
    """Turn what SQLite and the operating system raise into a sentence about the file.

    Raises:
        JournalError: instead.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = _code(error)
        if code == sqlite3.SQLITE_IOERR and _is_full(path):
            code = sqlite3.SQLITE_FULL
        raise _trouble(path, code, said=str(error)) from error
    except OSError as error:
        code = {
            errno.ENOSPC: sqlite3.SQLITE_FULL,
            errno.EDQUOT: sqlite3.SQLITE_FULL,
            errno.EACCES: sqlite3.SQLITE_PERM,
            errno.EPERM: sqlite3.SQLITE_PERM,
            errno.EROFS: sqlite3.SQLITE_READONLY,
        }.get(error.errno or 0, 0)
        raise _trouble(path, code, said=error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        # Of SQLite's own words, when there are garbled names in them.
        raise _trouble(path, sqlite3.SQLITE_CORRUPT) from error
    except OverflowError as error:
        raise _trouble(path, 0, said=str(error)) from error


def _create(path: Path, migrations: Sequence[Sequence[str]]) -> None:
    """Have the database appear at once and whole, whoever else makes it as well."""
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    handle = create_private_file(draft)
    try:
        try:
            with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = OFF")  # once, when it is whole
                connection.execute("PRAGMA journal_mode = WAL")
                _migrate(connection, migrations)
            os.fsync(handle)
        finally:
            os.close(handle)  # not later: SQLite would lose what it has locked by then
        with _alone_in(path.parent):
            if not path.exists():
                _set_aside(path.with_name(f"{path.name}-wal"))
                draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def _alone_in(folder: Path) -> Generator[None]:
    import fcntl  # noqa: PLC0415 - only once in the life of a database

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _set_aside(log: Path) -> None:
    """Keep the log of a database that was moved away from getting into the new one."""
    with suppress(FileNotFoundError):
        log.rename(log.with_name(f"{log.name}.{os.urandom(4).hex()}"))


def _known_version(connection: sqlite3.Connection, path: Path, *, latest: int) -> int:
    version = _version(connection)
    if version == 0:
        raise _trouble(path, sqlite3.SQLITE_NOTADB)
    if version > latest:
        raise JournalError(
            f"{path} is of a newer version of imagen ({version}; this one knows up to "
            f"{latest}).",
            hint="Update imagen, or name another folder in $IMAGEN_DATA_DIR.",
        )
    return version


def _migrate(
    connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    done = _version(connection)  # somebody else may have been here
    for version, script in enumerate(migrations[done:], start=done + 1):
        for statement in script:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    [(version,)] = connection.execute("PRAGMA user_version")
    return int(version)


def _undo(batch: Batch, error: BaseException) -> None:
    """Take back what one writer did; what the disk refused, is lost for all."""
    try:
        batch.connection.execute("ROLLBACK TO writer")
        batch.connection.execute("RELEASE writer")
    except sqlite3.Error as why:  # SQLite has taken back everything by itself
        batch.error = error if isinstance(error, sqlite3.Error) else why


def _have_it_wait(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


def _trouble(path: Path, code: int, *, said: str = "") -> JournalError:
    what, hint = _TROUBLES.get(code, (f"cannot be used: {said}", ""))
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        hint = (
            "Move it away, with its -wal, and a new one is begun; `sqlite3 FILE "
            ".recover` may save what it held."
        )
    return JournalError(f"{path} {what}.", hint=hint)


def _code(error: sqlite3.Error) -> int:
    try:
        return error.sqlite_errorcode & 0xFF  # the rest of it is finer still
    except AttributeError:  # Python's own: of a text, that it is none
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


def _forget_inherited() -> None:
    for database in _databases:
        database.forget_inherited()


os.register_at_fork(after_in_child=_forget_inherited)
