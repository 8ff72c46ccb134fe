"""Whatever dies when: one `imagen sync` later both sides have the same, each once."""

import random
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.integration.supabase.launcher import Fault
from tests.integration.supabase.machine import (
    Machine,
    await_request,
    missing_or_twice,
)
from tests.integration.supabase.pending import add_pending
from tests.integration.supabase.project import Part, SupabaseProject
from tests.nightly import examples

from imagen.testing.samples import sample_row

KILLS = examples(5, nightly=20)
PROCESSES = examples(8, nightly=50)
IMAGES = examples(40, nightly=1000)
ROW = ("POST", "/rest/v1/imagen_usage")
BYTES = ("POST", "/storage/v1/object")
IMAGE = ("POST", "/rest/v1/images")


@pytest.fixture
def machine(project: SupabaseProject, tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine", project)


def whole(*machines: Machine) -> list[str]:
    """Deliver everything that is pending; return what is wrong then."""
    ends = [machine.run("sync") for machine in machines]
    assert [(done.code, done.err) for done in ends] == [(0, "")] * len(machines)
    return missing_or_twice(*machines)


FILES = "imagen.adapters.database.files:FileSpool"
HISTORY = "imagen.adapters.database.history:SqliteHistory"
QUEUE = "imagen.adapters.database.delivery_queue:SqliteImageQueue"
CLOUD = "imagen.adapters.supabase.images:SupabaseCloud"
ADDING = (f"{FILES}.write", f"{HISTORY}.add")
DELIVERING = (f"{CLOUD}.upload", f"{QUEUE}.mark_delivered", f"{FILES}.discard")


# By day the moment before each step; the one after is much like that before the next.
MOMENTS = [
    pytest.param(False, id="before"),
    pytest.param(True, id="after", marks=pytest.mark.nightly),
]


@pytest.mark.parametrize("done", MOMENTS)
@pytest.mark.parametrize(
    ("command", "step"),
    [
        *(("generate", step) for step in (*ADDING, *DELIVERING)),
        *(("sync", step) for step in DELIVERING),
    ],
    ids=lambda value: value.rpartition(".")[2],
)
def test_killed_at_a_step(
    command: str, step: str, done: bool, machine: Machine
) -> None:
    # On stdout: then the only bytes for the upload are those in the spool.
    words = ("generate", "a fox", "-o", "-")
    if command == "sync":
        machine.run(*words, SUPABASE_URL="http://127.0.0.1:9")
        words = ("sync",)
    process = machine.start(*words, fault=Fault(step=step, done=done))
    assert process.wait() == -signal.SIGKILL

    assert machine.run("sync").code == 0
    assert machine.kept_bytes == []
    # An image that the history does not have yet is in the journal: it was paid for.
    assert machine.run("resume").code == 0
    assert whole(machine) == []
    [(images,)] = machine.project.sql("select count(*) from imagen.images")
    assert (images, machine.pending, machine.kept_bytes) == (1, [0, 0], [])


@pytest.mark.parametrize("done", MOMENTS)
@pytest.mark.parametrize("step", [*ADDING, *DELIVERING])
def test_another_process_delivers_at_each_step(
    step: str, done: bool, machine: Machine
) -> None:
    fault = Fault(step=step, done=done, number=signal.SIGSTOP)
    process = machine.start("generate", "a fox", "-o", "-", fault=fault)
    process.await_stop()
    assert machine.run("sync").code == 0
    process.kill(signal.SIGCONT)
    assert machine.run("sync").code == 0
    process.kill(signal.SIGCONT)
    assert process.wait() == 0

    assert whole(machine) == []
    [(images,)] = machine.project.sql("select count(*) from imagen.images")
    assert (images, machine.pending, machine.kept_bytes) == (1, [0, 0], [])


@pytest.mark.parametrize(
    "command", ["generate", pytest.param("sync", marks=pytest.mark.nightly)]
)
@pytest.mark.parametrize(
    "done",
    [
        pytest.param(False, id="before", marks=pytest.mark.nightly),
        pytest.param(True, id="after"),
    ],
)
@pytest.mark.parametrize("step", [ROW, BYTES, IMAGE], ids=["row", "bytes", "image"])
def test_killed_between_two_steps(
    step: tuple[str, str], done: bool, command: str, machine: Machine
) -> None:
    project = machine.project
    if command == "sync":
        project.kill("gateway")
        machine.generate("a hen")
        project.heal()
    project.trouble(step[1], method=step[0], done=done, cut=True, delay=20)

    words = ("generate", "a fox") if command == "generate" else ("sync",)
    process = machine.start(*words)
    await_request(project, *step)
    process.kill()
    process.wait()

    project.calm()
    assert whole(machine) == []
    assert machine.pending == [0, 0]
    assert machine.kept_bytes == []


def test_killed_at_any_moment(machine: Machine) -> None:
    dice = random.Random(5)
    for number in range(KILLS):
        words = ("sync",) if number % 4 == 3 else ("generate", f"fox {number}")
        machine.killed(*words, after=dice.uniform(0.01, 0.4))

    assert whole(machine) == []
    assert machine.pending == [0, 0]


def restart(part: Part) -> Callable[[SupabaseProject], object]:
    return lambda project: (project.kill(part), project.start(part))


@pytest.mark.parametrize(
    "strike",
    [
        pytest.param(restart("postgres"), id="PostgreSQL"),
        pytest.param(restart("postgrest"), id="PostgREST", marks=pytest.mark.nightly),
        pytest.param(restart("gateway"), id="gateway"),
        pytest.param(
            lambda project: (project.freeze("postgrest"), project.thaw("postgrest")),
            id="frozen",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_the_project_dies_in_the_middle(
    strike: Callable[[SupabaseProject], object], machine: Machine
) -> None:
    add_pending(machine, rows=1500, images=10)
    process = machine.start("sync")
    await_request(machine.project, *ROW)
    strike(machine.project)
    process.wait(60)

    machine.project.heal()
    assert whole(machine) == []
    assert machine.pending == [0, 0]


def test_many_processes_at_once(machine: Machine) -> None:
    codes = machine.crowd(PROCESSES, "generate", "fox {}", "-o", "{}.png")

    assert codes == [0] * PROCESSES
    assert whole(machine) == []
    assert machine.pending == [0, 0]
    assert len(machine.project.sql("select id from mai.imagen_usage")) == PROCESSES


def test_many_deliver_the_same_at_once(machine: Machine) -> None:
    add_pending(machine, rows=300, images=examples(8, nightly=60))

    codes = machine.crowd(examples(3, nightly=10), "sync", "--quiet")

    assert set(codes) <= {0, 1}
    assert whole(machine) == []


def test_two_machines_of_one_owner(machine: Machine) -> None:
    another = machine.another("another")
    for each in (machine, another):
        each.generate("a fox", IMAGEN_CLOUD_SYNC="on")

    assert whole(machine, another) == []


def test_clocks_that_are_wrong_by_years(machine: Machine) -> None:
    years = (1970, 1999, 2026, 2099, 9000)
    with machine.accounts() as (ledger, _, _):
        ledger.record(
            [
                sample_row(number, at=datetime(year, 1, 1, tzinfo=UTC))
                for number, year in enumerate(years)
            ]
        )
        before = sample_row(9, at=datetime.now(UTC) - timedelta(days=3650))
        ledger.record([before, msgspec.structs.replace(before, id=sample_row(8).id)])
    machine.generate()

    assert whole(machine) == []
    report = machine.run("usage", "--json")
    assert sum(each["calls"] for each in report.objects) == len(years) + 3


def test_many_images_are_delivered_in_one_go(machine: Machine) -> None:
    add_pending(machine, rows=IMAGES, images=IMAGES)

    done = machine.run("sync", "--json")

    assert done.code == 0
    assert [each["delivered"] for each in done.objects] == [IMAGES, IMAGES]
    assert missing_or_twice(machine) == []
    assert machine.kept_bytes == []
