"""The tables of the database, and the conversion of values to columns.

Times are microseconds since 1970 in UTC. A value with many fields is stored as a JSON
document.
"""

import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from unicodedata import combining, normalize

import msgspec

from imagen.domain.errors import JournalError
from imagen.domain.money.usage import DIMENSIONS, Dimension, UsageRow, UsageTotal

# The column `delivery` keeps the values of its first version, so that databases of
# earlier versions of imagen are read without a migration.
PENDING = "owed"
FAILED = "aside"
DELIVERED = "delivered"
NOT_DELIVERED = "none"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE calls (
            id TEXT PRIMARY KEY,
            created_at INTEGER NOT NULL,
            adapter TEXT NOT NULL,
            backend TEXT NOT NULL,
            may_cost INTEGER NOT NULL,
            reserved INTEGER,
            owner TEXT,
            state TEXT NOT NULL DEFAULT 'planned',
            reference TEXT NOT NULL DEFAULT '',
            trouble TEXT NOT NULL DEFAULT '',
            document TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE refs (
            adapter TEXT NOT NULL,
            reference TEXT NOT NULL,
            call_id TEXT NOT NULL,
            PRIMARY KEY (adapter, reference)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE usage (
            id TEXT PRIMARY KEY,
            created_at INTEGER NOT NULL,
            week TEXT NOT NULL,
            caller TEXT NOT NULL,
            backend TEXT NOT NULL,
            adapter TEXT NOT NULL,
            model TEXT NOT NULL,
            status TEXT NOT NULL,
            latency_ms INTEGER,
            images INTEGER NOT NULL,
            cost_micros INTEGER,
            cost_source TEXT NOT NULL,
            prompt_sha256 TEXT NOT NULL,
            counted_micros INTEGER NOT NULL
        )
        """,
        # Each index has all columns of its query, so that no table row is read: the
        # first is for totals, the second for budgets. `counted_micros` is the cost, or
        # the reservation of a call whose cost is unknown.
        """
        CREATE INDEX usage_groups ON usage
        (week DESC, backend, model, caller, created_at, images, cost_micros)
        """,
        "CREATE INDEX usage_times ON usage (created_at, backend, counted_micros)",
        """
        CREATE TABLE images (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            created_at INTEGER NOT NULL,
            backend TEXT NOT NULL,
            words TEXT NOT NULL,
            document TEXT NOT NULL
        )
        """,
        "CREATE INDEX images_newest ON images (created_at, id, backend)",
        """
        CREATE VIRTUAL TABLE image_words USING fts5 (
            words, content='images', content_rowid='number', detail='none',
            tokenize='trigram case_sensitive 1'
        )
        """,
        """
        CREATE TRIGGER image_added AFTER INSERT ON images BEGIN
            INSERT INTO image_words (rowid, words) VALUES (new.number, new.words);
        END
        """,
        """
        CREATE TRIGGER image_changed AFTER UPDATE ON images BEGIN
            INSERT INTO image_words (image_words, rowid, words)
            VALUES ('delete', old.number, old.words);
            INSERT INTO image_words (rowid, words) VALUES (new.number, new.words);
        END
        """,
        """
        CREATE TRIGGER image_gone AFTER DELETE ON images BEGIN
            INSERT INTO image_words (image_words, rowid, words)
            VALUES ('delete', old.number, old.words);
        END
        """,
    ),
    (
        "ALTER TABLE usage ADD COLUMN delivery TEXT NOT NULL DEFAULT 'owed'",
        "ALTER TABLE usage ADD COLUMN trouble TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX usage_delivery ON usage (delivery, created_at, id)",
        "ALTER TABLE images ADD COLUMN delivery TEXT NOT NULL DEFAULT 'none'",
        "ALTER TABLE images ADD COLUMN trouble TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX images_delivery ON images (delivery, created_at, id)",
        "DROP TRIGGER image_changed",
        """
        CREATE TRIGGER image_changed AFTER UPDATE OF words ON images BEGIN
            INSERT INTO image_words (image_words, rowid, words)
            VALUES ('delete', old.number, old.words);
            INSERT INTO image_words (rowid, words) VALUES (new.number, new.words);
        END
        """,
        """
        CREATE TABLE pauses (
            channel TEXT PRIMARY KEY,
            tries INTEGER NOT NULL,
            until INTEGER NOT NULL,
            trouble TEXT NOT NULL
        )
        """,
    ),
    (
        "ALTER TABLE calls ADD COLUMN caller TEXT NOT NULL DEFAULT ''",
        """
        UPDATE calls SET caller = coalesce(json_extract(document, '$.caller'), '')
        WHERE json_valid(document)
        """,
        """
        CREATE INDEX usage_callers ON usage
        (caller, created_at, backend, counted_micros)
        """,
        """
        CREATE TABLE requests (
            caller TEXT NOT NULL,
            key TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            fingerprint TEXT NOT NULL,
            owner TEXT,
            calls TEXT NOT NULL DEFAULT '[]',
            answer TEXT,
            PRIMARY KEY (caller, key)
        ) WITHOUT ROWID
        """,
    ),
    # The index gets all columns that a search filters by, in the order of the history,
    # so that a page of a large history is read without a sort.
    (
        """
        ALTER TABLE images ADD COLUMN model TEXT
        AS (json_extract(document, '$.sidecar.model'))
        """,
        """
        ALTER TABLE images ADD COLUMN caller TEXT
        AS (json_extract(document, '$.sidecar.caller'))
        """,
        "DROP INDEX images_newest",
        """
        CREATE INDEX images_newest ON images (created_at, id, backend, model, caller)
        """,
    ),
    ("ALTER TABLE calls ADD COLUMN sent_at INTEGER",),
    # For requests of the server without a key: `connection` is the lock of the process
    # that has the connection, "" if it was lost, or "answered".
    (
        "ALTER TABLE requests ADD COLUMN connection TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE requests ADD COLUMN retries INTEGER",
        "ALTER TABLE requests ADD COLUMN ended_at INTEGER",
        "CREATE INDEX requests_fingerprint ON requests (caller, fingerprint)",
    ),
    # Until here, prompts were folded with their accents. `fold` is `fold_column`.
    (
        """
        UPDATE images SET words = fold(CAST(words AS BLOB))
        WHERE words <> fold(CAST(words AS BLOB))
        """,
    ),
)
"""The statements that each version of the database adds to the one before it."""

_INSERT_USAGE = """
    INSERT INTO usage (
        id, created_at, week, caller, backend, adapter, model, status, latency_ms,
        images, cost_micros, cost_source, prompt_sha256, counted_micros
    ) VALUES (
        :id, :created_at, :week, :caller, :backend, :adapter, :model, :status,
        :latency_ms, :images, :cost_micros, :cost_source, :prompt_sha256,
        coalesce(:cost_micros, (SELECT reserved FROM calls WHERE id = :id), 0)
    )
    ON CONFLICT (id) DO NOTHING
"""

USAGE_ROWS = """
    SELECT id, created_at, caller, backend, adapter, model, status, latency_ms, images,
        cost_micros, cost_source, prompt_sha256
    FROM usage
"""
# Grouped in the order of the index, so that only the groups have to be sorted, not the
# rows.
_GROUPS = """
    SELECT week, backend, model, caller, count(*) AS calls, sum(images) AS images,
        sum(cost_micros) AS cost_micros, sum(cost_micros IS NULL) AS unknown
    FROM usage{where} GROUP BY week, backend, model, caller
"""
_SUMS = {
    "calls": "sum(calls)",
    "images": "sum(images)",
    "cost_micros": "coalesce(sum(cost_micros), 0)",
    "unknown": "sum(unknown)",
}
_ORDERS = {name: name for name in DIMENSIONS} | {"week": "week DESC"}

# Letters with a stroke and ligatures, which Unicode does not decompose.
_LETTERS = str.maketrans(
    {
        "\N{LATIN SMALL LETTER AE}": "ae",
        "\N{LATIN SMALL LIGATURE OE}": "oe",
        "\N{LATIN SMALL LETTER O WITH STROKE}": "o",
        "\N{LATIN SMALL LETTER D WITH STROKE}": "d",
        "\N{LATIN SMALL LETTER H WITH STROKE}": "h",
        "\N{LATIN SMALL LETTER L WITH STROKE}": "l",
        "\N{LATIN SMALL LETTER T WITH STROKE}": "t",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
    }
)
# Canonical combining classes of marks that belong to the spelling: nukta, the voicing
# mark of kana, virama, and vowel signs such as those of Thai, Lao and Tibetan. Marks of
# other classes are accents, and the points of Hebrew and Arabic, which are often left
# out.
_KEPT_CLASSES = frozenset([0, 7, 8, 9, *range(84, 133)])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Document = TypeVar("_Document")


def insert_usage(connection: sqlite3.Connection, rows: Iterable[UsageRow]) -> None:
    """Insert the rows whose ids are not recorded yet."""
    connection.executemany(_INSERT_USAGE, map(_usage_columns, rows))


def _usage_columns(row: UsageRow) -> dict[str, object]:
    texts = {
        name: remove_surrogates(value) if isinstance(value, str) else value
        for name, value in msgspec.structs.asdict(row).items()
    }
    created_at = datetime_to_micros(row.created_at)
    return {**texts, "created_at": created_at, "week": row.week}


def read_usage_row(row: tuple[object, ...]) -> UsageRow:
    """Convert a row of `USAGE_ROWS`.

    Raises:
        ValueError: a column has an invalid value.
    """
    named = dict(zip(UsageRow.__struct_fields__, row, strict=True))
    named["created_at"] = micros_to_datetime(msgspec.convert(named["created_at"], int))
    return msgspec.convert(named, UsageRow)


def query_usage_totals(
    connection: sqlite3.Connection,
    by: Sequence[Dimension],
    *,
    where: str,
    values: Sequence[int],
) -> tuple[UsageTotal, ...]:
    """Group and sum the usage rows that meet the condition `where`.

    Raises:
        ValueError: a total has an invalid value.
    """
    orders = {dimension: _ORDERS[dimension] for dimension in by}
    columns = ", ".join([*orders, *_SUMS.values()])
    query = f"SELECT {columns} FROM ({_GROUPS.format(where=where)})"  # noqa: S608 - constants only
    if orders:
        query += f" GROUP BY {', '.join(orders)}"
        query += f" ORDER BY {', '.join(orders.values())}"
    found = connection.execute(query, values).fetchall()
    totals = [dict(zip((*orders, *_SUMS), row, strict=True)) for row in found]
    return tuple(
        msgspec.convert(total, UsageTotal) for total in totals if total["calls"]
    )


def datetime_to_micros(moment: datetime) -> int:
    """Return the microseconds since 1970."""
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def micros_to_datetime(micros: int) -> datetime:
    """Return the time in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def remove_surrogates(text: str) -> str:
    """Replace unpaired surrogates, which UTF-8 cannot encode, with question marks."""
    return text.encode(errors="replace").decode()


def fold(text: str) -> str:
    """Return the form of a text that is searched: without case and accents.

    Folding a folded text changes nothing.
    """
    if text.isascii():
        return text.lower()
    marked = normalize("NFD", normalize("NFD", text).casefold())
    plain = "".join(each for each in marked if combining(each) in _KEPT_CLASSES)
    return normalize("NFC", plain).translate(_LETTERS)


def fold_column(column: bytes) -> str:
    """Return the folded text of a column, also of a damaged one."""
    return fold(column.decode(errors="replace"))


def to_json(document: object) -> str:
    """Encode the value as JSON.

    Raises:
        JournalError: the value cannot be encoded.
    """
    try:
        try:
            return msgspec.json.encode(document).decode()
        except UnicodeEncodeError:
            # Python stores a file name that is not UTF-8 with surrogates. The module
            # json escapes them; msgspec refuses.
            import json  # noqa: PLC0415 - loading it takes longer than the encoding

            return json.dumps(msgspec.to_builtins(document))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise JournalError(f"The record cannot be stored: {error}.") from error


def from_json(document: str, kind: type[_Document], *, path: Path) -> _Document:
    """Decode a stored value; unknown fields are ignored.

    Raises:
        JournalError: the document is invalid.
    """
    with translate_decode_errors(path):
        try:
            return msgspec.json.decode(document, type=kind)
        except msgspec.DecodeError:  # it may have escaped surrogates
            import json  # noqa: PLC0415 - see above

            return msgspec.convert(json.loads(document), kind)


@contextmanager
def translate_decode_errors(path: Path) -> Generator[None]:
    """Translate errors about a stored value to one that names the file.

    Raises:
        JournalError: in place of the original error.
    """
    try:
        yield
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise JournalError(
            f"{path} contains an invalid record: {error}.",
            hint="The file may be damaged, or of another version of imagen.",
        ) from error
