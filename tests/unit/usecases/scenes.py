"""A backend that may cost money, and everything that is recorded about it."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import count

import msgspec
from tests.contract_internal.databases import QuickDatabase, temporary_database
from tests.contract_internal.fakes.images import PlainEditor

from imagen.adapters.database.delivery_queue import SqliteImageQueue
from imagen.adapters.database.files import FileSpool
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.journal import SqliteJournal
from imagen.adapters.database.ledger import SqliteLedger
from imagen.domain import events
from imagen.domain.call import CallUpdate, OutputTarget
from imagen.domain.capabilities import Capabilities
from imagen.domain.instance import Instance
from imagen.domain.job import ImageJob
from imagen.domain.money.budget import Budget
from imagen.domain.money.cost import Cost
from imagen.domain.money.price import Price, Rate
from imagen.domain.naming import Destination
from imagen.domain.request import GenerationRequest
from imagen.domain.result import Generated, GenerationReport
from imagen.domain.size import Size
from imagen.engine.cancellation import Cancellation
from imagen.engine.recorder import Recorder
from imagen.engine.store import StoreImage
from imagen.ports.job_context import JobContext
from imagen.ports.journal import Journal
from imagen.ports.storage import Storage
from imagen.testing.fakes import (
    ANYTHING,
    FakeClock,
    MemoryStorage,
    ScriptedBackend,
    ScriptStep,
    plain_images,
)
from imagen.usecases.generate import GenerateImages, build_report
from imagen.usecases.resume import ResumeCalls, ResumeResult

PAID = msgspec.structs.replace(ANYTHING, may_cost=True, provider="vendor")
FIVE_CENTS = Price(rates=(Rate(unit="per_image", usd=Decimal("0.05")),))


def run(
    generate: GenerateImages,
    request: GenerationRequest,
    cancellation: Cancellation | None = None,
) -> GenerationReport:
    """Make and store all images of a request."""
    plan = generate.plan(request)
    return build_report(generate.outcomes(plan, cancellation or Cancellation()))


class RecordingJournal(SqliteJournal):
    """A journal of one process.

    Attributes:
        database: The database.
        updates: The recorded updates.
    """

    def __init__(self, database: QuickDatabase) -> None:
        super().__init__(database)
        self.database = database
        self.updates: list[CallUpdate] = []

    def record(self, call_id: str, update: CallUpdate) -> None:
        self.updates.append(update)
        super().record(call_id, update)

    def another(self) -> "RecordingJournal":
        """Return the journal of another process on the same calls."""
        return RecordingJournal(QuickDatabase(self.database.folder))


class PaidScene:
    """One request to a vendor, and afterwards another process that resumes it."""

    def __init__(
        self,
        *script: ScriptStep,
        can: Capabilities = PAID,
        price: Price | None = FIVE_CENTS,
        budgets: tuple[Budget, ...] = (),
        journal: Journal | None = None,
        storage: Storage | None = None,
        name: str | None = None,
        owner: str = "",
        backend: ScriptedBackend | None = None,
    ) -> None:
        self.backend = backend or ScriptedBackend(*script, capabilities=can)
        self.clock = FakeClock()
        self.kept = MemoryStorage()
        self.heard: list[events.Event] = []
        database = temporary_database()
        self.journal = RecordingJournal(database)
        self.usage = SqliteLedger(database)
        self.history = SqliteHistory(database)
        self.spool = FileSpool(database)
        self.image_queue = SqliteImageQueue(database)
        numbers = count(1)
        place = OutputTarget(
            folder="/pictures", destination=Destination(name=name), owner=owner
        )
        self.store = StoreImage(
            storage=storage or self.kept,
            rescues=(),
            load_editor=PlainEditor,
            place=place,
        )
        self.generate = GenerateImages(
            instance=Instance(name="vendor", adapter="scripted"),
            backend=self.backend,
            store=self.store,
            records=self.records(journal or self.journal),
            clock=self.clock,
            random_int=lambda bound: next(numbers) % bound,
            caller="me",
            price_of=lambda *_: price,
            budgets=budgets,
            listen=self.heard.append,
        )

    def records(self, journal: Journal) -> Recorder:
        return Recorder(
            journal=journal,
            history=self.history,
            spool=self.spool,
            clock=self.clock,
            listen=self.heard.append,
        )

    def run(
        self, *, cancellation: Cancellation | None = None, **asked: object
    ) -> GenerationReport:
        request = {"prompt": "a cat", "size": Size(16, 16), **asked}
        return run(
            self.generate,
            GenerationRequest(**request),  # type: ignore[arg-type]
            cancellation,
        )

    def die(self) -> RecordingJournal:
        """End the process; return the journal of the next one."""
        self.journal.close()
        return self.journal.another()

    def resume(
        self, journal: SqliteJournal, calls: Sequence[str] = ()
    ) -> list[ResumeResult]:
        """Finish the calls in this order, or every open call, in another process."""
        resume = ResumeCalls(
            journal=journal,
            records=self.records(journal),
            backend_of=lambda _: self.backend,
            store_of=lambda _: msgspec.structs.replace(self.store, storage=self.kept),
            clock=self.clock,
            listen=self.heard.append,
        )
        there = {each.call.id: each for each in journal.list_open()}
        if not calls:
            return list(resume.outcomes(list(there.values()), Cancellation()))
        return [resume.run(there[each], cancellation=Cancellation()) for each in calls]

    @property
    def states(self) -> list[str]:
        return [each.state for each in self.journal.list_open()]

    @property
    def ledger(self) -> list[tuple[str, int | None]]:
        """Status and cost of each row."""
        rows = reversed(list(self.usage.rows()))
        return [(row.status, row.cost_micros) for row in rows]

    @property
    def images(self) -> list[str]:
        return [name for name in self.kept.kept if not name.endswith(".json")]

    @property
    def warnings(self) -> list[str]:
        return [each.message for each in self.heard if isinstance(each, events.Warned)]


class KnowingBackend(ScriptedBackend):
    """A vendor that can be asked for its jobs.

    Attributes:
        jobs_there: What it has taken, by name.
        asked: The names that it was asked for.
    """

    def __init__(self, *script: ScriptStep, capabilities: Capabilities = PAID) -> None:
        super().__init__(*script, capabilities=capabilities)
        self.jobs_there: dict[str, ScriptStep] = {}
        self.found: list[tuple[str, ...]] = []
        self.asked: list[str] = []

    def resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        self.asked.append(reference)
        answer = self.jobs_there.get(reference, paid_images)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Generated) else answer(job, context)

    def find(
        self, job: ImageJob, *, since: object, context: JobContext
    ) -> tuple[str, ...]:
        return self.found.pop(0) if self.found else ()


def paid_images(job: ImageJob, context: JobContext) -> Generated:
    """Return images for which the vendor names no price."""
    return msgspec.structs.replace(plain_images(job, context), cost=Cost())


def taken(
    then: Exception | None = None, *, reference: str = "job-7"
) -> Callable[[ImageJob, JobContext], Generated]:
    """Take the job, and then fail or make it."""

    def answer(job: ImageJob, context: JobContext) -> Generated:
        context.accepted(reference)
        if then is not None:
            raise then
        return paid_images(job, context)

    return answer
