"""Whatever dies when: one `imagen sync` later both sides have the same, each once."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.integration.supabase.machine import (
    Machine,
    await_request,
    missing_or_twice,
)
from tests.integration.supabase.pending import add_pending
from tests.integration.supabase.project import SupabaseProject

from imagen.testing.samples import sample_row

KILLS = 20
PROCESSES = 50
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


@pytest.mark.parametrize("command", ["generate", "sync"])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
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
        machine.killed(*words, after=dice.uniform(0.2, 1.5))

    assert whole(machine) == []
    assert machine.pending == [0, 0]


@pytest.mark.parametrize(
    "strike",
    [
        lambda project: (project.kill("postgres"), project.start("postgres")),
        lambda project: (project.kill("postgrest"), project.start("postgrest")),
        lambda project: (project.kill("gateway"), project.start("gateway")),
        lambda project: (project.freeze("postgrest"), project.thaw("postgrest")),
    ],
    ids=["PostgreSQL", "PostgREST", "gateway", "frozen"],
)
def test_the_project_dies_in_the_middle(
    strike: Callable[[SupabaseProject], object], machine: Machine
) -> None:
    add_pending(machine, rows=3000, images=40)
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
    add_pending(machine, rows=300, images=60)

    codes = machine.crowd(10, "sync", "--quiet")

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


def test_a_thousand_images_are_delivered_in_one_go(machine: Machine) -> None:
    add_pending(machine, rows=1000, images=1000)

    done = machine.run("sync", "--json")

    assert done.code == 0
    assert [each["delivered"] for each in done.objects] == [1000, 1000]
    assert missing_or_twice(machine) == []
    assert machine.kept_bytes == []
