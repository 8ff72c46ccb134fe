"""The accounts of a user as earlier processes left them, and waits that are short."""

from io import BytesIO
from pathlib import Path
from threading import Event

import msgspec
import pytest
from PIL import Image

from imagen.adapters.database.connection import FILE, Database
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.journal import SqliteJournal
from imagen.adapters.database.ledger import SqliteLedger
from imagen.adapters.system.clock import SystemClock
from imagen.domain.call import Call, CallUpdate, OutputTarget, Received
from imagen.domain.history import HistoryEntry
from imagen.domain.job import ParameterReport
from imagen.domain.money.usage import UsageRow
from imagen.domain.size import Size
from tests.contract_internal.samples import sample_call, sample_received

SIZE = Size(16, 16)


class Accounts:
    """The data folder of a user.

    Attributes:
        folder: Where it is.
        file: The database in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / FILE
        self._database = Database(folder)
        self.journal = SqliteJournal(self._database)

    @property
    def env(self) -> dict[str, str]:
        return {"IMAGEN_DATA_DIR": str(self.folder)}

    def spend(self, *rows: UsageRow) -> None:
        SqliteLedger(self._database).record(rows)
        self._database.close()

    def make(self, *entries: HistoryEntry) -> None:
        SqliteHistory(self._database).add(entries)
        self._database.close()

    def leave(self, call: Call, *notes: CallUpdate) -> Call:
        """Leave a call open after these updates."""
        self.work_on(call, *notes)
        self.journal.close()
        return call

    def work_on(self, call: Call, *notes: CallUpdate) -> Call:
        """Keep a call in progress in this process until the next `leave`."""
        self.journal.begin([call])
        for note in notes:
            self.journal.record(call.id, note)
        return call

    @property
    def ledger(self) -> list[tuple[str, int | None]]:
        rows = SqliteLedger(self._database).rows()
        return [(row.status, row.cost_micros) for row in rows]

    @property
    def images(self) -> list[str]:
        found = SqliteHistory(self._database).find()
        return [entry.sidecar.id for entry in found]


def call_into(folder: Path, number: int = 1) -> Call:
    """Return a call whose image, as `received_image` has it, goes into the folder."""
    call, changed = sample_call(number), msgspec.structs.replace
    job = changed(call.job, size=SIZE, seed=7)
    plan = changed(
        call.plan, size=SIZE, jobs=(job,), parameter_report=ParameterReport()
    )
    return changed(call, plan=plan, target=OutputTarget(folder=str(folder)))


def received_image() -> Received:
    """Return an image that came, at its price."""
    file = BytesIO()
    Image.new("RGB", SIZE.sides).save(file, "PNG")
    return sample_received(file.getvalue())


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, let each wait between two requests take a hundredth."""

    def wait(_: SystemClock, until: Event, seconds: float) -> bool:
        return until.wait(max(0.0, seconds) / 100)

    monkeypatch.setattr(SystemClock, "wait", wait)
