"""Keeps the history in the database, and finds words of any script in it."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from unicodedata import normalize

from imagen.adapters.database.connection import Database
from imagen.adapters.database.schema import (
    datetime_to_micros,
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
# Through the index, in its order: so nothing is sorted, however much is found. Bytes,
# for those of a damaged row need be no text.
_FIND = """
    SELECT CAST(id AS BLOB), CAST(words AS BLOB), CAST(document AS BLOB)
    FROM images INDEXED BY images_newest
"""
_NEWEST = "ORDER BY created_at DESC, id DESC"
_BEGINNING = """
    SELECT CAST(id AS BLOB), CAST(words AS BLOB), CAST(document AS BLOB)
    FROM images WHERE id >= ? AND id < ? ORDER BY id LIMIT 2
"""
# From the index alone. A week has whole days of UTC, as have those since 1970.
_COUNT = "SELECT {by}, count(*) FROM images INDEXED BY images_newest GROUP BY 1"
_DAY = timedelta(days=1) // timedelta(microseconds=1)
# Until then the index keeps what was there, beside a note that it is gone.
_TIDY = "INSERT INTO image_words (image_words) VALUES ('optimize')"
_INDEX = "SELECT sql FROM sqlite_master WHERE name = 'images_newest'"
_QUOTE = """
    UPDATE images SET document = json_quote(document) WHERE NOT json_valid(document)
"""

_LAST = "\U0010ffff"
"""Sorts behind all that is in an id."""
_MOST_TRIGRAMS = 200
"""More are not asked for at once: what is found is compared anyway."""


class SqliteHistory:
    """A table with a row for every image, and an index of what three letters are where.

    Prompts are kept a second time in a form in which upper and lower case are the same;
    that one is indexed and searched.

    A damaged row hides no other: `find` leaves it out, and logs a warning, once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._left_out: set[str] = set()

    def add(self, entries: Sequence[HistoryEntry]) -> None:
        """Insert or replace the rows, in one transaction."""
        rows = [_row(entry) for entry in entries]
        paid = any(entry.sidecar.usage_id is not None for entry in entries)
        with self._database.writing(for_good=paid) as connection:
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
        """Step through what may have the words, and compare."""
        sought = _folded(words).split()
        made = {"backend": backend, "model": model, "caller": caller}
        where, values = _where(sought, made, since=since, until=until, before=before)
        rows = self._read(f"{_FIND} {where} {_NEWEST}", values)
        found = (row for row in rows if all(word in row.words for word in sought))
        yield from islice(self._readable(found), limit)

    def count(self, by: Dimension) -> Mapping[str, int]:
        """Group the rows; days are added up to weeks here."""
        column = f"created_at / {_DAY}" if by == "week" else by
        with self._database.reading() as connection:
            rows = connection.execute(_COUNT.format(by=column)).fetchall()
        if by != "week":
            named: Counter[str] = Counter()
            for name, images in rows:
                named[name or ""] += images  # a damaged row has none
            return dict(named)
        weeks: Counter[str] = Counter()
        for day, images in rows:
            weeks[iso_week(micros_to_datetime(day * _DAY))] += images
        return dict(sorted(weeks.items(), reverse=True))

    def get(self, name: str) -> HistoryEntry | None:
        """Look for the id, and for two that begin so."""
        if name == "last":
            return next(self.find(limit=1), None)
        begin = _key(name)
        found = list(self._read(_BEGINNING, [begin, begin + _LAST]))
        if len(found) > 1 and found[0].id != begin:
            raise InvalidRequest(
                f"Several images have an id that begins with {name!r}.",
                hint="Give more of it.",
            )
        return self._entry(found[0]) if found else None

    def forget(self, image_id: str) -> bool:
        """Delete the row."""
        return self._delete("id = ?", _key(image_id)) > 0

    def forget_older(self, than: datetime) -> int:
        """Delete the rows."""
        return self._delete(
            "created_at < ? AND delivery <> 'owed'", datetime_to_micros(than)
        )

    def _delete(self, which: str, value: str | int) -> int:
        """Delete rows and every trace of what they held; say how many there were."""
        where = f"FROM images WHERE {which}"
        with self._database.reading() as connection:
            sound = f"SELECT min(json_valid(document)) {where}"
            [(are_sound,)] = connection.execute(sound, [value])
        if are_sound is None:
            return 0
        with self._database.writing(for_good=True) as connection:
            if not are_sound:
                _mend(connection)
            gone = connection.execute(f"DELETE {where}", [value]).rowcount
            connection.execute(_TIDY)
        self._database.empty_log()
        return gone

    def _read(self, query: str, values: Sequence[str | int]) -> Iterator["_Row"]:
        with (
            self._database.reading() as connection,
            closing(connection.execute(query, values)) as rows,
        ):
            for image_id, words, document in rows:
                yield _Row(_text(image_id), _text(words), document)

    def _readable(self, rows: Iterable["_Row"]) -> Iterator[HistoryEntry]:
        for row in rows:
            try:
                entry = self._entry(row)
            except JournalError as error:
                self._leave_out(row.id, error)
            else:
                yield entry

    def _entry(self, row: "_Row") -> HistoryEntry:
        path = self._database.path
        with translate_decode_errors(path):
            entry = from_json(row.document.decode(), HistoryEntry, path=path)
            if _key(entry.position.image_id) != row.id:
                raise ValueError(f"image {row.id!r} has the note of another")
        return entry

    def _leave_out(self, image_id: str, error: JournalError) -> None:
        if image_id in self._left_out:
            return
        self._left_out.add(image_id)
        import logging  # noqa: PLC0415 - only where something is damaged

        logging.getLogger("imagen").warning(
            "Image %r is left out of the history: %s", image_id, error.message
        )


def _mend(connection: sqlite3.Connection) -> None:
    """Make a JSON text of what is no JSON: the index has to read it to let it go."""
    [(index,)] = connection.execute(_INDEX)
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
        datetime_to_micros(_moment(entry)),
        remove_surrogates(sidecar.backend),
        _folded(sidecar.prompt),
        to_json(entry),
        "owed" if entry.owner else "none",
    )


def _where(
    sought: Sequence[str],
    made: Mapping[str, str],
    *,
    since: date | None,
    until: date | None,
    before: Position | None,
) -> tuple[str, list[str | int]]:
    """Return what narrows the search down: all that has the words, and perhaps more."""
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
    for column, name in made.items():
        if name:
            conditions.append(f"{column} = ?")
            values.append(remove_surrogates(name))
    if trigrams := list(islice(_trigrams(sought), _MOST_TRIGRAMS)):
        conditions.append("number IN (SELECT rowid FROM image_words(?))")
        values.append(" ".join(trigrams))
    return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _trigrams(words: Sequence[str]) -> Iterator[str]:
    """Yield what the index is asked for: all three letters that follow each other."""
    for word in words:
        for start in range(len(word) - 2):
            yield '"' + word[start : start + 3].replace('"', '""') + '"'


def _folded(prompt: str) -> str:
    """Return the words without the difference of case, or of ways to write accents."""
    plain = normalize("NFC", normalize("NFD", prompt).casefold())
    return remove_surrogates(plain).replace("\0", "\ufffd")  # the index ends at a NUL


def _key(image_id: str) -> str:
    return remove_surrogates(image_id).lower()


def _moment(entry: HistoryEntry) -> datetime:
    try:
        return entry.position.made
    except ValueError as error:
        made = entry.sidecar.created_at
        raise JournalError(f"An image was made at {made!r}?") from error
