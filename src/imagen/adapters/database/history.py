"""Keeps the history in the database, with a full-text search for any script."""

import sqlite3
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from imagen.adapters.database.connection import Database
from imagen.adapters.database.schema import (
    NOT_DELIVERED,
    PENDING,
    datetime_to_micros,
    fold,
    from_json,
    micros_to_datetime,
    remove_surrogates,
    to_json,
    translate_decode_errors,
)
from imagen.domain.errors import InvalidRequest, JournalError
from imagen.domain.history import HistoryEntry, Position
from imagen.domain.money.usage import Dimension, iso_week, start_of_day

_ADD = """
    INSERT INTO images (id, created_at, backend, words, document, delivery)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at,
        backend = excluded.backend, words = excluded.words,
        document = excluded.document,
        delivery = iif(delivery = 'none', excluded.delivery, delivery)
"""
# Read in the order of the index, so that SQLite does not sort all the rows it finds.
# Columns are read as bytes, because those of a damaged row may not be valid text.
_FIND = """
    SELECT CAST(id AS BLOB), CAST(words AS BLOB), CAST(document AS BLOB)
    FROM images INDEXED BY images_newest
"""
_NEWEST = "ORDER BY created_at DESC, id DESC"
_PREFIX = """
    SELECT CAST(id AS BLOB), CAST(words AS BLOB), CAST(document AS BLOB)
    FROM images WHERE id >= ? AND id < ? ORDER BY id LIMIT 2
"""
# Answered from the index alone. Weeks are made of whole UTC days, and `created_at`
# divided by a day is the number of the UTC day since 1970.
_COUNT = "SELECT {by}, count(*) FROM images INDEXED BY images_newest GROUP BY 1"
_DAY = timedelta(days=1) // timedelta(microseconds=1)
# Deleted words stay in the full-text index, marked as deleted, until it is optimized.
_OPTIMIZE = "INSERT INTO image_words (image_words) VALUES ('optimize')"
_INDEX_SQL = "SELECT sql FROM sqlite_master WHERE name = 'images_newest'"
_QUOTE = """
    UPDATE images SET document = json_quote(document) WHERE NOT json_valid(document)
"""

_LAST = "\U0010ffff"
"""Sorts after every character of an id."""
_MAX_TRIGRAMS = 200
"""Trigrams in one query; the rows it finds are compared with all words anyway."""


class SqliteHistory:
    """A table with a row for every image, and a trigram index of the prompts.

    A second form of each prompt, without case and accents, is stored, indexed and
    searched.

    A damaged row does not hide others: `find` skips it and logs one warning.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._skipped: set[str] = set()

    def add(self, entries: Sequence[HistoryEntry]) -> None:
        """Insert or replace the rows, in one transaction."""
        rows = [_row(entry) for entry in entries]
        paid = any(entry.sidecar.usage_id is not None for entry in entries)
        with self._database.writing(durable=paid) as connection:
            connection.executemany(_ADD, rows)

    def find(
        self,
        *,
        words: str = "",
        backend: str = "",
        model: str = "",
        caller: str = "",
        since: date | None = None,
        until: date | None = None,
        before: Position | None = None,
        limit: int | None = None,
    ) -> Iterator[HistoryEntry]:
        """Step through the rows that may contain the words, and compare."""
        terms = _fold(words).split()
        equal = {"backend": backend, "model": model, "caller": caller}
        where, values = _where(terms, equal, since=since, until=until, before=before)
        # Closed at once: the traceback of a damaged row can keep a generator alive
        # until the database is closed (Python 3.12).
        with closing(self._read(f"{_FIND} {where} {_NEWEST}", values)) as rows:
            found = (row for row in rows if all(term in row.words for term in terms))
            yield from islice(self._parse_rows(found), limit)

    def count(self, by: Dimension) -> Mapping[str, int]:
        """Group the rows; days are added up to weeks in Python."""
        column = f"created_at / {_DAY}" if by == "week" else by
        with self._database.reading() as connection:
            rows = connection.execute(_COUNT.format(by=column)).fetchall()
        counts: Counter[str] = Counter()
        for value, images in rows:
            is_week = by == "week"
            # The model and caller of a damaged row are NULL.
            name = iso_week(micros_to_datetime(value * _DAY)) if is_week else value
            counts[name or ""] += images
        return dict(sorted(counts.items(), reverse=True) if by == "week" else counts)

    def get(self, name: str) -> HistoryEntry | None:
        """Look up at most two ids with this prefix."""
        if name == "last":
            return next(self.find(limit=1), None)
        prefix = _key(name)
        found = list(self._read(_PREFIX, [prefix, prefix + _LAST]))
        if len(found) > 1 and found[0].id != prefix:
            raise InvalidRequest(
                f"Several images have an id that begins with {name!r}.",
                hint="Give more characters of the id.",
            )
        return self._entry(found[0]) if found else None

    def forget(self, image_id: str) -> bool:
        """Delete the row."""
        return self._delete("id = ?", _key(image_id)) > 0

    def forget_older(self, than: datetime) -> int:
        """Delete the rows."""
        return self._delete(
            f"created_at < ? AND delivery <> '{PENDING}'", datetime_to_micros(than)
        )

    def _delete(self, condition: str, value: str | int) -> int:
        """Delete the rows and every trace of their content; return their number."""
        where = f"FROM images WHERE {condition}"
        with self._database.reading() as connection:
            query = f"SELECT min(json_valid(document)) {where}"
            [(is_valid,)] = connection.execute(query, [value])
        if is_valid is None:
            return 0
        with self._database.writing(durable=True) as connection:
            if not is_valid:
                _quote_invalid_documents(connection)
            deleted = connection.execute(f"DELETE {where}", [value]).rowcount
            connection.execute(_OPTIMIZE)
        self._database.truncate_log()
        return deleted

    def _read(self, query: str, values: Sequence[str | int]) -> Generator["_Row"]:
        with (
            self._database.reading() as connection,
            closing(connection.execute(query, values)) as rows,
        ):
            for image_id, words, document in rows:
                yield _Row(_text(image_id), _text(words), document)

    def _parse_rows(self, rows: Iterable["_Row"]) -> Iterator[HistoryEntry]:
        for row in rows:
            try:
                entry = self._entry(row)
            except JournalError as error:
                self._skip(row.id, error)
            else:
                yield entry

    def _entry(self, row: "_Row") -> HistoryEntry:
        path = self._database.path
        with translate_decode_errors(path):
            entry = from_json(row.document.decode(), HistoryEntry, path=path)
            if _key(entry.position.image_id) != row.id:
                raise ValueError(f"image {row.id!r} has the metadata of another image")
        return entry

    def _skip(self, image_id: str, error: JournalError) -> None:
        if image_id in self._skipped:
            return
        self._skipped.add(image_id)
        import logging  # noqa: PLC0415 - only for a damaged row

        logging.getLogger("imagen").warning(
            "Image %r is skipped in the history: %s", image_id, error.message
        )


def _quote_invalid_documents(connection: sqlite3.Connection) -> None:
    """Turn each document that is not valid JSON into a JSON string."""
    # SQLite reads the generated columns of a row to delete it from the index, and fails
    # on a document that it cannot parse.
    [(index,)] = connection.execute(_INDEX_SQL)
    connection.execute("DROP INDEX images_newest")
    connection.execute(_QUOTE)
    connection.execute(index)


class _Row(NamedTuple):
    id: str
    words: str
    document: bytes


def _text(column: bytes) -> str:
    return column.decode(errors="replace")


def _row(entry: HistoryEntry) -> tuple[str, int, str, str, str, str]:
    sidecar = entry.sidecar
    return (
        _key(sidecar.id),
        datetime_to_micros(_created_at(entry)),
        remove_surrogates(sidecar.backend),
        _fold(sidecar.prompt),
        to_json(entry),
        PENDING if entry.owner else NOT_DELIVERED,
    )


def _where(
    terms: Sequence[str],
    equal: Mapping[str, str],
    *,
    since: date | None,
    until: date | None,
    before: Position | None,
) -> tuple[str, list[str | int]]:
    """Return a condition that every matching row meets, and perhaps others."""
    conditions: list[str] = []
    values: list[str | int] = []
    if since is not None:
        conditions.append("created_at >= ?")
        values.append(datetime_to_micros(start_of_day(since)))
    if until is not None:
        conditions.append("created_at < ?")
        values.append(datetime_to_micros(start_of_day(until)))
    if before is not None:
        conditions.append("(created_at, id) < (?, ?)")
        values += [datetime_to_micros(before.made), _key(before.image_id)]
    for column, name in equal.items():
        if name:
            conditions.append(f"{column} = ?")
            values.append(remove_surrogates(name))
    if trigrams := list(islice(_trigrams(terms), _MAX_TRIGRAMS)):
        conditions.append("number IN (SELECT rowid FROM image_words(?))")
        values.append(" ".join(trigrams))
    return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _trigrams(words: Sequence[str]) -> Iterator[str]:
    """Yield each sequence of three characters, quoted for a full-text query."""
    for word in words:
        for start in range(len(word) - 2):
            yield '"' + word[start : start + 3].replace('"', '""') + '"'


def _fold(prompt: str) -> str:
    # The full-text index ignores everything after a NUL.
    return remove_surrogates(fold(prompt)).replace("\0", "\ufffd")


def _key(image_id: str) -> str:
    return remove_surrogates(image_id).lower()


def _created_at(entry: HistoryEntry) -> datetime:
    try:
        return entry.position.made
    except ValueError as error:
        text = entry.sidecar.created_at
        raise JournalError(
            f"The creation time of the image is not a timestamp: {text!r}."
        ) from error
