"""A command that is repeated: continued, waited for, or a new purchase."""

import ctypes
from collections.abc import Generator, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from threading import Barrier, Event, Thread

import msgspec
import pytest
from tests.contract_internal.databases import QuickDatabase
from tests.contract_internal.fakes.images import PlainEditor
from tests.unit.usecases.scenes import FIVE_CENTS, PAID

from imagen.adapters.database.files import FileSpool
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.idempotency import SqliteRequestKeys
from imagen.adapters.database.journal import SqliteJournal
from imagen.adapters.database.ledger import SqliteLedger
from imagen.adapters.storage.local import LocalStorage
from imagen.adapters.system.files import read_regular
from imagen.domain import events
from imagen.domain.call import OutputTarget
from imagen.domain.capabilities import Capabilities
from imagen.domain.command import Command, CommandName
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    InvalidRequest,
    OverBudget,
    Unfinished,
)
from imagen.domain.idempotency import StoredRequest
from imagen.domain.instance import Instance
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import Cost
from imagen.domain.request import GenerationRequest
from imagen.domain.result import FailedImage, Generated, StoredImage
from imagen.domain.size import Size
from imagen.engine.cancellation import Cancellation
from imagen.engine.recorder import Recorder
from imagen.engine.store import StoreImage
from imagen.ports.job_context import JobContext
from imagen.testing.fakes import (
    FakeClock,
    ResumableScriptedBackend,
    ScriptStep,
    plain_images,
)
from imagen.usecases.earlier import FindEarlierImages
from imagen.usecases.find import FindImage
from imagen.usecases.generate import GenerateImages, Work
from imagen.usecases.jobs import forget_job, list_commands
from imagen.usecases.once import RunOnce, forget_finished
from imagen.usecases.remaining import Remaining
from imagen.usecases.resume import ResumeCalls

Outcome = StoredImage | FailedImage


def leave_unfinished(outcomes: Iterator[Outcome]) -> None:
    """Keep the command of a dead process: closing it would end it properly."""
    # A reference that nothing gives back, as the interpreter would close it at its end.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(outcomes))


class Account:
    """The folder, vendor and clock that several processes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.rescued = folder / "rescued"
        self.images.mkdir()
        self.rescued.mkdir()
        self.backend = ResumableScriptedBackend(capabilities=PAID)
        self.clock = FakeClock()
        self.backend.at = self.clock.now()
        self.trash: list[str] = []
        self._numbers = count(1)
        self._processes: list[Process] = []

    def process(self) -> "Process":
        process = Process(self)
        self._processes.append(process)
        return process

    def random_int(self, bound: int) -> int:
        return next(self._numbers) * 7919 % bound

    def close(self) -> None:
        for each in self._processes:
            each.die()

    @property
    def seeds(self) -> list[int | None]:
        """The seeds of the jobs that the vendor was paid for, in order."""
        return [job.seed for job in self.backend.taken.values()]

    @property
    def stored(self) -> set[Path]:
        return set(self.images.glob("*.png"))


class Process:
    """One process with its own connections; `die` ends it like SIGKILL."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.heard: list[events.Event] = []
        database = QuickDatabase(account.folder / "data")
        self.journal = SqliteJournal(database)
        self.keys = SqliteRequestKeys(database, self.journal.process_lock)
        self.history = SqliteHistory(database)
        self.ledger = SqliteLedger(database)
        self.records = Recorder(
            journal=self.journal,
            history=self.history,
            spool=FileSpool(database),
            clock=account.clock,
            listen=self.heard.append,
        )
        store = StoreImage(
            storage=LocalStorage(account.images, durable=False),
            rescues=(LocalStorage(account.rescued, durable=False),),
            load_editor=PlainEditor,
            place=OutputTarget(folder=str(account.images)),
        )
        self.generate = GenerateImages(
            instance=Instance(name="vendor", adapter="scripted"),
            backend=account.backend,
            store=store,
            records=self.records,
            clock=account.clock,
            random_int=account.random_int,
            price_of=lambda *_: FIVE_CENTS,
            listen=self.heard.append,
        )
        self.resume = ResumeCalls(
            journal=self.journal,
            records=self.records,
            backend_of=lambda _: account.backend,
            store_of=lambda _: store,
            clock=account.clock,
        )
        self.earlier = FindEarlierImages(
            find=FindImage(read=read_regular, history=self.history),
            history=self.history,
            restore=lambda _: False,
            fetch=lambda _: None,
            find_rescued=lambda image_id: next(
                map(str, account.rescued.glob(f"{image_id}.*")), None
            ),
            is_rescued=lambda location: account.rescued in Path(location).parents,
        )
        self.once = RunOnce(
            keys=self.keys,
            requests=self.keys,
            journal=self.journal,
            history=self.history,
            records=self.records,
            build_resume=lambda: self.resume,
            build_earlier=lambda: self.earlier,
            clock=account.clock,
            random_int=account.random_int,
            listen=self.heard.append,
        )

    def start(
        self,
        *,
        count: int = 3,
        name: CommandName = "generate",
        key: str | None = None,
        fresh: bool = False,
        max_cost: int | None = None,
        cancellation: Cancellation | None = None,
        **asked: object,
    ) -> Generator[Outcome]:
        command, work = self.prepare(
            count=count, name=name, key=key, fresh=fresh, max_cost=max_cost, **asked
        )
        return self.once.outcomes(command, work, cancellation or Cancellation())

    def prepare(
        self,
        *,
        count: int = 3,
        name: CommandName = "generate",
        key: str | None = None,
        fresh: bool = False,
        max_cost: int | None = None,
        **asked: object,
    ) -> tuple[Command, Work]:
        fields = {"prompt": "a cat", "size": Size(16, 16), **asked}
        request = GenerationRequest(count=count, **fields)  # type: ignore[arg-type]
        plan = self.generate.plan(request)
        command = Command(
            name=name,
            fingerprint=f"{count} {sorted(fields.items())}",
            key=key,
            fresh=fresh,
        )
        work = Work(
            calls=self.generate.build_calls(plan),
            send=lambda calls, stop: self.generate.outcomes(plan, stop, calls=calls),
            max_cost=max_cost,
        )
        return command, work

    def run(self, **asked: object) -> list[Outcome]:
        return sorted(self.start(**asked), key=lambda each: each.number)  # type: ignore[arg-type]

    def remaining(self, **asked: object) -> Remaining | None:
        return self.once.find_remaining(*self.prepare(**asked))  # type: ignore[arg-type]

    def die(self) -> None:
        self.journal.close()


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    account = Account(tmp_path)
    yield account
    account.close()


@pytest.fixture
def hang() -> Iterator[ScriptStep]:
    """A step of a vendor that accepts a job, and never ends it."""
    end = Event()

    def wait(job: ImageJob, context: JobContext) -> Generated:
        end.wait(60)
        raise BackendError("The process is dead.")

    yield wait
    end.set()


def kill_after(
    account: Account, images: int, hang: ScriptStep, **asked: object
) -> None:
    """Run a command in a process that dies while it waits for the next image."""
    account.backend._script[:] = [*[plain_images] * images, hang]
    process = account.process()
    outcomes = process.start(**asked)  # type: ignore[arg-type]
    if images:
        for _ in range(images):
            next(outcomes)
    else:
        Thread(target=partial(next, outcomes, None), daemon=True).start()
    while len(account.backend.taken) <= images:
        Event().wait(0.01)
    process.die()
    account.backend._script.clear()
    leave_unfinished(outcomes)


def locations(outcomes: list[Outcome]) -> list[str]:
    assert all(isinstance(each, StoredImage) for each in outcomes), outcomes
    return [each.location for each in outcomes if isinstance(each, StoredImage)]


@pytest.mark.parametrize("images", [0, 1, 2])
def test_the_same_command_continues_a_killed_one(
    account: Account, hang: ScriptStep, images: int
) -> None:
    kill_after(account, images, hang)

    outcomes = account.process().run()

    assert len(account.backend.taken) == 3
    assert set(map(Path, locations(outcomes))) == account.stored
    assert len(set(account.seeds)) == 3


def test_images_that_are_stored_come_first_and_the_rest_has_the_first_seeds(
    account: Account, hang: ScriptStep
) -> None:
    kill_after(account, 1, hang)
    [first] = account.stored

    outcomes = list(account.process().start())

    assert isinstance(outcomes[0], StoredImage)
    assert outcomes[0].location == str(first)
    seed = account.seeds[0] or 0
    assert account.seeds == [seed, seed + 1, seed + 2]


def test_one_line_says_that_a_command_is_continued(
    account: Account, hang: ScriptStep
) -> None:
    kill_after(account, 1, hang)
    process = account.process()

    process.run()

    words = [e.message for e in process.heard if isinstance(e, events.Continued)]
    assert words == ["Continuing an interrupted command: 2 of 3 images are left."]


def test_a_finished_command_is_a_new_purchase_when_it_is_repeated(
    account: Account,
) -> None:
    process = account.process()

    assert locations(process.run()) != locations(process.run())
    assert len(account.backend.taken) == 6
    assert list_commands(process.keys) == ()


@pytest.mark.parametrize("key", [None, "one"])
def test_images_that_an_interrupted_caller_has_not_seen_are_returned_later(
    account: Account, key: str | None
) -> None:
    process = account.process()
    running = process.start(key=key)
    made = [next(running) for _ in range(3)]
    running.close()

    again = process.run(key=key)

    assert locations(again) == locations(made)
    assert len(account.backend.taken) == 3
    if key is None:
        words = [e.message for e in process.heard if isinstance(e, events.Continued)]
        assert words == [
            "Returning the images of an interrupted command; none is left."
        ]
        assert locations(process.run()) != locations(made)
        assert len(account.backend.taken) == 6


def test_a_running_command_is_a_new_purchase(
    account: Account, hang: ScriptStep
) -> None:
    account.backend._script[:] = [plain_images, hang]
    first = account.process().start()
    next(first)

    other = account.process()

    assert len(locations(other.run())) == 3
    leave_unfinished(first)


def test_a_fresh_command_leaves_the_interrupted_one_alone(
    account: Account, hang: ScriptStep
) -> None:
    kill_after(account, 1, hang)
    process = account.process()

    assert len(locations(process.run(fresh=True))) == 3

    assert len(account.backend.taken) == 5
    [left] = list_commands(process.keys)
    assert process.remaining() is not None
    assert left.process is None


def test_another_request_is_a_new_purchase(account: Account, hang: ScriptStep) -> None:
    kill_after(account, 1, hang)

    account.process().run(prompt="a dog")

    assert len(account.backend.taken) == 5


@pytest.mark.parametrize(("name", "hours"), [("generate", 25), ("sweep", 24 * 31)])
def test_an_old_command_is_not_continued(
    account: Account, hang: ScriptStep, name: CommandName, hours: int
) -> None:
    kill_after(account, 2, hang, name=name)
    process = account.process()
    process.resume.run(process.journal.list_open()[0], cancellation=Cancellation())
    process.journal.close()
    account.clock.wait(Event(), hours * 3600)

    account.process().run(name=name)

    assert len(account.backend.taken) == 6


def test_repeated_commands_continue_the_oldest_interrupted_one_first(
    account: Account, hang: ScriptStep
) -> None:
    kill_after(account, 1, hang)
    account.clock.wait(Event(), 60)
    kill_after(account, 2, hang, fresh=True)
    process = account.process()

    first, second = process.run(), process.run()

    assert len(account.backend.taken) == 6
    assert len({*locations(first), *locations(second)}) == 6
    assert list_commands(process.keys) == ()


def test_two_repetitions_at_once_continue_one_and_buy_one(
    account: Account, hang: ScriptStep
) -> None:
    kill_after(account, 1, hang)
    made: list[list[str]] = []

    def run() -> None:
        made.append(locations(account.process().run()))

    threads = [Thread(target=run) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)

    assert len(account.backend.taken) == 6
    assert len({location for each in made for location in each}) == 6


@pytest.mark.parametrize("asked", [{"name": "sweep"}, {"key": "header"}])
def test_a_sweep_or_a_key_waits_for_the_running_command(
    account: Account, asked: dict[str, object]
) -> None:
    release = Event()

    def wait(job: ImageJob, context: JobContext) -> Generated:
        release.wait(60)
        return plain_images(job, context)

    account.backend._script[:] = [wait]
    first, second = account.process(), account.process()
    made: list[list[str]] = []
    threads = [Thread(target=lambda: made.append(locations(first.run(**asked))))]
    threads[0].start()
    while not account.backend.taken:
        Event().wait(0.01)
    threads.append(Thread(target=lambda: made.append(locations(second.run(**asked)))))
    threads[1].start()
    while not second.heard:
        Event().wait(0.01)
    release.set()
    for each in threads:
        each.join(60)

    assert len(account.backend.taken) == 3
    assert sorted(made[0]) == sorted(made[1])


def test_a_sweep_that_waited_returns_images_that_were_made_anew(
    account: Account, hang: ScriptStep
) -> None:
    kill_after(account, 1, hang, name="sweep")
    journal = account.process().journal
    [lost] = [each for each in journal.list_open() if each.state != "planned"]
    assert forget_job(journal, lost)
    first, second = account.process(), account.process()
    begun, seen = Event(), Event()

    def pause(event: events.Event) -> None:
        if isinstance(event, events.Continued):
            begun.set()
            seen.wait(60)

    class OneLook(FakeClock):
        """Does not look at the running command again before it has finished."""

        def wait(self, until: Event, seconds: float) -> bool:
            seen.set()
            thread.join(60)
            return super().wait(until, seconds)

    clock = OneLook(account.clock.now())
    first.once = msgspec.structs.replace(first.once, listen=pause)
    second.once = msgspec.structs.replace(second.once, clock=clock)
    made: list[list[str]] = []
    thread = Thread(target=lambda: made.append(locations(first.run(name="sweep"))))
    thread.start()
    begun.wait(60)

    made.append(locations(second.run(name="sweep")))

    assert sorted(made[0]) == sorted(made[1])
    assert len(account.backend.taken) == 4
    assert list_commands(second.keys) == ()
    second.run(name="sweep")
    assert len(account.backend.taken) == 7


def test_of_two_sweeps_that_start_at_once_one_waits(account: Account) -> None:
    both = Barrier(2)

    class FirstLook:
        """Claims nothing before the other one has looked, too."""

        def __init__(self, keys: SqliteRequestKeys) -> None:
            self.keys, self.looks = keys, 0

        def list_requests(self, caller: str) -> tuple[StoredRequest, ...]:
            found = self.keys.list_requests(caller)
            self.looks += 1
            if self.looks == 2:
                both.wait(60)
            return found

    made: list[list[str]] = []

    def run() -> None:
        process = account.process()
        requests = FirstLook(process.keys)
        process.once = msgspec.structs.replace(process.once, requests=requests)
        made.append(locations(process.run(name="sweep")))

    threads = [Thread(target=run) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)

    assert len(account.backend.taken) == 3
    assert sorted(made[0]) == sorted(made[1])


def test_waiting_ends_with_a_cancellation(account: Account, hang: ScriptStep) -> None:
    account.backend._script[:] = [plain_images, hang]
    first = account.process().start(name="sweep")
    next(first)
    cancellation = Cancellation()
    cancellation.cancel()

    with pytest.raises(Cancelled):
        next(account.process().start(name="sweep", cancellation=cancellation))

    leave_unfinished(first)


def test_a_key_returns_the_same_images(account: Account) -> None:
    first = account.process().run(key="header")

    assert locations(account.process().run(key="header")) == locations(first)
    assert len(account.backend.taken) == 3


def test_a_key_of_another_request_is_refused(account: Account) -> None:
    account.process().run(key="header")

    with pytest.raises(InvalidRequest, match="was used for another request"):
        account.process().run(key="header", prompt="a dog")


def test_a_command_of_which_nothing_is_left_is_dropped(account: Account) -> None:
    account.backend._script[:] = [BackendError("No.")] * 3
    process = account.process()

    assert [type(each) for each in process.run()] == [FailedImage] * 3

    assert list_commands(process.keys) == ()


def test_a_failed_image_is_made_with_a_new_seed(account: Account) -> None:
    account.backend._script[:] = [plain_images, BackendError("Black."), plain_images]
    first = account.process().run()
    assert isinstance(first[1], FailedImage)

    outcomes = account.process().run()

    assert len(locations(outcomes)) == 3
    assert len(account.backend.taken) == 4
    assert len(set(account.seeds)) == 4


def test_a_failed_image_is_made_with_the_seed_that_was_given(account: Account) -> None:
    account.backend._script[:] = [plain_images, BackendError("Black."), plain_images]
    account.process().run(seed=7)

    account.process().run(seed=7)

    assert account.seeds == [7, 8, 9, 8]


def test_only_the_rest_counts_for_the_maximum_cost(
    account: Account, hang: ScriptStep
) -> None:
    kill_after(account, 2, hang)

    assert len(locations(account.process().run(max_cost=60_000))) == 3


def test_a_new_command_over_the_maximum_cost_leaves_nothing(account: Account) -> None:
    process = account.process()

    with pytest.raises(OverBudget):
        process.run(max_cost=60_000)

    assert (account.seeds, list_commands(process.keys)) == ([], ())


def test_an_unknown_call_is_never_sent_again(
    account: Account, hang: ScriptStep
) -> None:
    account.backend._script[:] = [plain_images, Unfinished("Lost."), plain_images]
    account.process().run()
    account.backend.taken.pop("job-2")

    outcomes = account.process().run()

    assert isinstance(outcomes[1], FailedImage)
    assert len(account.backend.jobs) == 3


def test_an_image_whose_file_is_gone_is_not_paid_again(
    account: Account, hang: ScriptStep
) -> None:
    kill_after(account, 1, hang)
    [file] = account.stored
    file.unlink()

    outcomes = account.process().run()

    assert isinstance(outcomes[0], FailedImage)
    assert "its file is gone" in str(outcomes[0].error)
    assert len(account.backend.taken) == 3


def test_an_image_that_the_history_forgot_is_not_paid_again(
    account: Account, hang: ScriptStep
) -> None:
    kill_after(account, 1, hang)
    process = account.process()
    [entry] = process.history.find()
    process.history.forget(entry.sidecar.id)

    outcomes = process.run()

    assert isinstance(outcomes[0], FailedImage)
    assert len(account.backend.taken) == 3


def test_a_rescued_image_is_returned_as_rescued(
    account: Account, hang: ScriptStep
) -> None:
    (account.folder / "images").chmod(0o700)
    kill_after(account, 1, hang)
    process = account.process()
    [entry] = process.history.find()
    moved = account.rescued / Path(entry.location).name
    Path(entry.location).rename(moved)
    process.history.forget(entry.sidecar.id)
    process.history.add([msgspec.structs.replace(entry, location=str(moved))])

    outcomes = process.run()

    assert isinstance(outcomes[0], FailedImage)
    assert str(moved) in str(outcomes[0].error)
    assert len(account.backend.taken) == 3


def test_a_resume_that_stores_the_last_image_ends_the_command(
    account: Account, hang: ScriptStep
) -> None:
    kill_after(account, 2, hang)
    process = account.process()
    [left] = process.journal.list_open()
    process.resume.run(left, cancellation=Cancellation())

    forget_finished(process.keys, process.keys, process.earlier)

    assert list_commands(process.keys) == ()


def test_a_batch_of_which_a_part_is_missing_makes_only_that_part(
    account: Account,
) -> None:
    seedless: Capabilities = msgspec.structs.replace(
        PAID, largest_seed=None, largest_batch=4
    )
    account.backend._capabilities = seedless

    def make_two(job: ImageJob, context: JobContext) -> Generated:
        made = plain_images(job, context)
        return msgspec.structs.replace(
            made, images=made.images[:2], cost=Cost(micros=1, source="reported")
        )

    account.backend._script[:] = [make_two]
    assert len(account.process().run(count=4)) == 4

    outcomes = account.process().run(count=4)

    assert len(locations(outcomes)) == 4
    assert [job.count for job in account.backend.jobs] == [4, 1, 1]


def test_the_estimate_shows_what_is_left(account: Account, hang: ScriptStep) -> None:
    process = account.process()
    assert process.remaining() is None
    kill_after(account, 1, hang)

    left = process.remaining()

    assert left is not None
    assert (left.images_left, len(left.open), left.cost.usd) == (2, 1, 0.05)
