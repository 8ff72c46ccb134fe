"""Keeps what is owed to the cloud in the database, and images in files beside it."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import date
from pathlib import Path
from typing import TypeAlias

import msgspec

from imagen.adapters.database.connection import Database, translate_errors
from imagen.adapters.database.schema import (
    USAGE_ROWS,
    datetime_to_micros,
    from_json,
    micros_to_datetime,
    query_usage_totals,
    read_usage_row,
    remove_surrogates,
    translate_decode_errors,
)
from imagen.adapters.system.private_files import (
    create_private_file,
    create_private_folder,
)
from imagen.domain.delivery import Channel, DeliveryStatus, FailedDelivery, Pause
from imagen.domain.history import HistoryEntry
from imagen.domain.money.usage import Dimension, UsageRow, UsageTotal, start_of_day

_TABLES: Mapping[Channel, str] = {"usage": "usage", "images": "images"}
_OWED_IMAGES = """
    SELECT document FROM images
    WHERE delivery = 'owed' AND id NOT IN (SELECT value FROM json_each(?))
    ORDER BY created_at DESC, id DESC LIMIT ?
"""
_PAUSE = """
    INSERT INTO pauses VALUES (?, ?, ?, ?)
    ON CONFLICT (channel) DO UPDATE SET tries = excluded.tries,
        until = excluded.until, trouble = excluded.trouble
"""

_Change: TypeAlias = tuple[str, str, str]


class SqliteOutbox:
    """Two columns of the ledger's and of the history's table, and a folder of files.

    `outbox` has the bytes of each image that is owed, in a file of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._files = _Files(lambda: database.folder / "outbox")

    def hold(self, image_id: str, content: bytes) -> None:
        """Write a file."""
        self._files.keep(image_id, content)

    def held(self, image_id: str) -> bytes | None:
        """Read the file."""
        return self._files.read(image_id)

    def let_go(self, image_ids: Collection[str]) -> None:
        """Remove the files."""
        self._files.drop(image_ids)

    def rows(self, limit: int) -> tuple[UsageRow, ...]:
        """Read from the index of what is owed."""
        query = f"{USAGE_ROWS} WHERE delivery = 'owed' ORDER BY created_at, id LIMIT ?"
        with (
            translate_decode_errors(self._path),
            self._database.reading() as connection,
        ):
            found = connection.execute(query, [limit]).fetchall()
            return tuple(map(read_usage_row, found))

    def images(
        self, limit: int, *, besides: Collection[str] = ()
    ) -> tuple[HistoryEntry, ...]:
        """Read likewise."""
        values = [msgspec.json.encode(sorted(besides)).decode(), limit]
        with self._database.reading() as connection:
            found = connection.execute(_OWED_IMAGES, values).fetchall()
        return tuple(
            from_json(document, HistoryEntry, path=self._path) for (document,) in found
        )

    def totals(
        self, by: Sequence[Dimension], *, since: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Group and sum in the database."""
        where, values = _undelivered(since)
        with (
            translate_decode_errors(self._path),
            self._database.reading() as connection,
        ):
            return query_usage_totals(connection, by, where=where, values=values)

    def undelivered(self, *, since: date | None = None) -> Iterator[UsageRow]:
        """Step through the table."""
        where, values = _undelivered(since)
        query = f"{USAGE_ROWS}{where} ORDER BY created_at DESC, id DESC"
        with (
            translate_decode_errors(self._path),
            self._database.reading() as connection,
            closing(connection.execute(query, values)) as found,
        ):
            for row in found:
                yield read_usage_row(row)

    def delivered(self, channel: Channel, ids: Collection[str]) -> None:
        """Change the column, and remove the files."""
        changes = [("delivered", "", remove_surrogates(each)) for each in ids]
        self._change(channel, changes, of="delivery <> 'none'")
        if channel == "images":
            self._files.drop(ids)

    def set_aside(self, channel: Channel, troubles: Mapping[str, str]) -> None:
        """Change the columns."""
        changes = [
            ("aside", remove_surrogates(trouble), remove_surrogates(each))
            for each, trouble in troubles.items()
        ]
        self._change(channel, changes, of="delivery = 'owed'")

    def owe_again(self, channel: Channel) -> None:
        """Change the columns back."""
        query = f"""
            UPDATE {_TABLES[channel]} SET delivery = 'owed', trouble = ''
            WHERE delivery = 'aside'
        """  # noqa: S608 - words of ours alone
        with self._database.writing(for_good=False) as connection:
            connection.execute(query)

    def pause(self, channel: Channel, pause: Pause | None) -> None:
        """Write the row, or delete it."""
        with self._database.writing(for_good=False) as connection:
            if pause is None:
                connection.execute("DELETE FROM pauses WHERE channel = ?", [channel])
                return
            until, trouble = (
                datetime_to_micros(pause.until),
                remove_surrogates(pause.trouble),
            )
            connection.execute(_PAUSE, [channel, pause.tries, until, trouble])

    def standing(self, channel: Channel) -> DeliveryStatus:
        """Count, and read what says why."""
        table = _TABLES[channel]
        with (
            translate_decode_errors(self._path),
            self._database.reading() as connection,
        ):
            [(owed,)] = connection.execute(
                f"SELECT count(*) FROM {table} WHERE delivery = 'owed'"  # noqa: S608 - as above
            )
            aside = connection.execute(
                f"SELECT id, trouble FROM {table} WHERE delivery = 'aside'"  # noqa: S608 - as above
                " ORDER BY created_at, id"
            ).fetchall()
            paused = connection.execute(
                "SELECT tries, until, trouble FROM pauses WHERE channel = ?", [channel]
            ).fetchone()
            return DeliveryStatus(
                pending=owed,
                failed=tuple(FailedDelivery(id=id_, trouble=why) for id_, why in aside),
                pause=None if paused is None else _pause(*paused),
            )

    @property
    def _path(self) -> Path:
        return self._database.path

    def _change(self, channel: Channel, changes: Sequence[_Change], *, of: str) -> None:
        query = f"""
            UPDATE {_TABLES[channel]} SET delivery = ?, trouble = ?
            WHERE id = ? AND {of}
        """  # noqa: S608 - as above
        with self._database.writing(for_good=False) as connection:
            connection.executemany(query, changes)


class _Files:
    """A folder with a file for each image that is owed.

    What was written before a power cut need not have reached the disk: the image that
    the user has did, and is looked for then.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder

    def keep(self, image_id: str, content: bytes) -> None:
        folder = self._folder()
        with translate_errors(folder):
            create_private_folder(folder)
            draft = folder / f"{image_id}.{os.urandom(8).hex()}.part"
            try:
                with os.fdopen(create_private_file(draft), "wb") as file:
                    file.write(content)
                draft.replace(folder / image_id)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise

    def read(self, image_id: str) -> bytes | None:
        path = self._folder() / image_id
        with translate_errors(path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def drop(self, image_ids: Collection[str]) -> None:
        folder = self._folder()
        for image_id in image_ids:
            with suppress(OSError):
                (folder / image_id).unlink(missing_ok=True)


def _undelivered(since: date | None) -> tuple[str, list[int]]:
    where = " WHERE delivery IN ('owed', 'aside')"
    if since is None:
        return where, []
    return f"{where} AND created_at >= ?", [datetime_to_micros(start_of_day(since))]


def _pause(tries: int, until: int, trouble: str) -> Pause:
    return Pause(tries=tries, until=micros_to_datetime(until), trouble=trouble)
