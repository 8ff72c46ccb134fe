"""Keeps the delivery state of usage rows and images in columns of their tables."""

from collections.abc import Collection, Mapping

import msgspec

from imagen.adapters.database.connection import Database
from imagen.adapters.database.ledger import SqliteUsageReader
from imagen.adapters.database.schema import (
    DELIVERED,
    FAILED,
    NOT_DELIVERED,
    PENDING,
    USAGE_ROWS,
    datetime_to_micros,
    from_json,
    micros_to_datetime,
    read_usage_row,
    remove_surrogates,
)
from imagen.domain.delivery import Channel, DeliveryStatus, FailedDelivery, Pause
from imagen.domain.history import HistoryEntry
from imagen.domain.money.usage import UsageRow

_PENDING_IMAGES = f"""
    SELECT document FROM images
    WHERE delivery = '{PENDING}' AND id NOT IN (SELECT value FROM json_each(?))
    ORDER BY created_at DESC, id DESC LIMIT ?
"""  # noqa: S608 - constants only
_PENDING_USAGE = f"""
    {USAGE_ROWS}
    WHERE delivery = '{PENDING}' AND id NOT IN (SELECT value FROM json_each(?))
    ORDER BY created_at, id LIMIT ?
"""  # noqa: S608 - constants only
_PAUSE = """
    INSERT INTO pauses VALUES (?, ?, ?, ?)
    ON CONFLICT (channel) DO UPDATE SET tries = excluded.tries,
        until = excluded.until, trouble = excluded.trouble
"""


class _DeliveryState:
    """The part of a queue that is the same for usage rows and images."""

    # The name of the channel is also the name of its table.
    channel: Channel

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark_delivered(self, ids: Collection[str]) -> None:
        self._update(
            dict.fromkeys(ids, ""), DELIVERED, of=f"delivery <> '{NOT_DELIVERED}'"
        )

    def mark_failed(self, reasons: Mapping[str, str]) -> None:
        self._update(reasons, FAILED, of=f"delivery = '{PENDING}'")

    def retry_failed(self) -> None:
        query = f"""
            UPDATE {self.channel} SET delivery = '{PENDING}', trouble = ''
            WHERE delivery = '{FAILED}'
        """  # noqa: S608 - the table name is a constant
        with self._database.writing(durable=False) as connection:
            connection.execute(query)

    def pause(self, pause: Pause | None) -> None:
        with self._database.writing(durable=False) as connection:
            if pause is None:
                connection.execute(
                    "DELETE FROM pauses WHERE channel = ?", [self.channel]
                )
                return
            until = datetime_to_micros(pause.until)
            trouble = remove_surrogates(pause.trouble)
            connection.execute(_PAUSE, [self.channel, pause.tries, until, trouble])

    def status(self) -> DeliveryStatus:
        with self._database.decoding() as connection:
            [(pending,)] = connection.execute(
                f"SELECT count(*) FROM {self.channel} WHERE delivery = '{PENDING}'"  # noqa: S608 - as above
            )
            failed = connection.execute(
                f"SELECT id, trouble FROM {self.channel} WHERE delivery = '{FAILED}'"  # noqa: S608 - as above
                " ORDER BY created_at, id"
            ).fetchall()
            paused = connection.execute(
                "SELECT tries, until, trouble FROM pauses WHERE channel = ?",
                [self.channel],
            ).fetchone()
            return DeliveryStatus(
                pending=pending,
                failed=tuple(
                    FailedDelivery(id=id_, trouble=trouble) for id_, trouble in failed
                ),
                pause=None if paused is None else _build_pause(*paused),
            )

    def _update(self, reasons: Mapping[str, str], state: str, *, of: str) -> None:
        query = f"""
            UPDATE {self.channel} SET delivery = ?, trouble = ?
            WHERE id = ? AND {of}
        """  # noqa: S608 - as above
        changes = [
            (state, remove_surrogates(reason), remove_surrogates(each))
            for each, reason in reasons.items()
        ]
        with self._database.writing(durable=False) as connection:
            connection.executemany(query, changes)


class SqliteUsageQueue(_DeliveryState):
    """The delivery state of usage rows, in two columns of the ledger's table."""

    channel = "usage"

    def pending(
        self, limit: int, *, excluding: Collection[str] = ()
    ) -> tuple[UsageRow, ...]:
        """Read from the index of pending rows."""
        with self._database.decoding() as connection:
            values = [_json_list(excluding), limit]
            found = connection.execute(_PENDING_USAGE, values).fetchall()
            return tuple(map(read_usage_row, found))


class SqliteImageQueue(_DeliveryState):
    """The delivery state of images, in two columns of the history's table."""

    channel = "images"

    def pending(
        self, limit: int, *, excluding: Collection[str] = ()
    ) -> tuple[HistoryEntry, ...]:
        """Read from the index of pending rows."""
        with self._database.reading() as connection:
            values = [_json_list(excluding), limit]
            found = connection.execute(_PENDING_IMAGES, values).fetchall()
        return tuple(
            from_json(document, HistoryEntry, path=self._database.path)
            for (document,) in found
        )


class SqliteUndeliveredUsage(SqliteUsageReader):
    """The usage rows that are pending or failed."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, condition=f"delivery IN ('{PENDING}', '{FAILED}')")


def _json_list(ids: Collection[str]) -> str:
    return msgspec.json.encode(sorted(ids)).decode()


def _build_pause(tries: int, until: int, trouble: str) -> Pause:
    return Pause(tries=tries, until=micros_to_datetime(until), trouble=trouble)
