"""Temporary SQLite databases, which stand in for every port that keeps records."""

from contextlib import AbstractContextManager, suppress
from functools import cache
from pathlib import Path
from shutil import rmtree
from sqlite3 import Connection
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any
from uuid import uuid4
from weakref import finalize

from imagen.adapters.database.connection import FILE, Database
from imagen.adapters.database.files import FileSpool


class QuickDatabase(Database):
    """A database that has its tables at once, and whose commits await no disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not self.path.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
            # Complete at once, and never over that of another thread.
            draft = folder / f".{uuid4()}"
            draft.write_bytes(_empty_database())
            with suppress(FileExistsError):
                self.path.hardlink_to(draft)
            draft.unlink()

    def writing(self, *, durable: bool) -> AbstractContextManager[Connection]:
        del durable
        return super().writing(durable=False)

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Execute a statement behind the back of the adapters; return the rows."""
        with self.writing(durable=False) as connection:
            return connection.execute(statement, values).fetchall()


class FailingDatabase(QuickDatabase):
    """A database that raises an error instead of being read or written."""

    def __init__(self, folder: Path, error: Exception) -> None:
        super().__init__(folder)
        self._error = error

    def reading(self) -> AbstractContextManager[Connection]:
        raise self._error

    def writing(self, *, durable: bool) -> AbstractContextManager[Connection]:
        raise self._error


def damaged_database(folder: Path) -> Database:
    """Return a database whose file is not a database."""
    (folder / FILE).write_text("This is a text.")
    return Database(folder)


def temporary_database() -> QuickDatabase:
    """Return a new database, whose folder is deleted together with it."""
    folder = Path(mkdtemp(prefix="imagen-"))
    database = QuickDatabase(folder)
    finalize(database, rmtree, folder, ignore_errors=True)
    return database


def temporary_spool() -> FileSpool:
    """Return a new spool, whose folder is deleted together with it."""
    database = temporary_database()
    return FileSpool(database)


@cache
def _empty_database() -> bytes:
    # Copied, because creating the tables takes longer than most of the tests.
    with TemporaryDirectory() as folder:
        database = Database(Path(folder))
        with database.reading():
            pass
        database.close()
        return database.path.read_bytes()
