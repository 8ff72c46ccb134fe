"""The installed command beside a cloud that is well, dead, slow or not set up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.integration.supabase.machine import Machine, missing_or_twice, nobody
from tests.integration.supabase.project import SupabaseProject

LATE = "took longer than 10 s."
USAGE, IMAGES = "imagen: usage: ", "imagen: cloud sync: "
FOX = ("--seed", "7", "-o", "fox.png")


@pytest.fixture
def machine(project: SupabaseProject, tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine", project)


def healthy(_: Machine) -> None:
    pass


@dataclass
class Fault:
    """What is wrong with a cloud, what is said of it, and what mends it.

    Attributes:
        make: Makes it so; may change the machine as well.
        usage, images: What the reason has in it; None if that channel is well.
        mend: Has it be well again, beyond what `heal()` and `calm()` do.
        passes: Whether it is over for who has the patience, as `sync` has.
    """

    make: Callable[[Machine], object]
    usage: str | None
    images: str | None
    mend: Callable[[Machine], object] = field(default=healthy)
    passes: bool = False

    @property
    def reasons(self) -> dict[str, str]:
        """By the beginning of the line that has it."""
        reasons = {USAGE: self.usage, IMAGES: self.images}
        return {key: reason for key, reason in reasons.items() if reason}


def key(name: str) -> Callable[[Machine], None]:
    def change(machine: Machine) -> None:
        named = getattr(machine.project, name, name)
        machine.env["SUPABASE_SERVICE_KEY"] = named

    return change


def no_such_user(machine: Machine) -> None:
    machine.project.sql("delete from auth.users where id = %s", machine.owner)


def sign_up(machine: Machine) -> None:
    machine.project.sql("insert into auth.users (id) values (%s)", machine.owner)


def migrate(machine: Machine) -> None:
    machine.project.migrate()
    machine.project.expose()


NOT_TAKEN = "does not accept the key"
RUN_SQL = "in the project's SQL editor"
FAULTS = {
    "nothing listens": Fault(
        lambda m: m.project.kill("gateway"), "was not reached", "was not reached"
    ),
    "it is frozen": Fault(
        lambda m: m.project.freeze("gateway"), LATE, LATE, passes=True
    ),
    "PostgREST is frozen": Fault(
        lambda m: m.project.freeze("postgrest"), LATE, LATE, passes=True
    ),
    "it is slow": Fault(
        lambda m: m.project.trouble("", delay=6), LATE, LATE, passes=True
    ),
    "PostgreSQL is gone": Fault(
        lambda m: m.project.kill("postgres"), "is not available", "is not available"
    ),
    "the line is cut": Fault(
        lambda m: m.project.trouble("", cut=True), "was not reached", "was not reached"
    ),
    "the answers are lost": Fault(
        lambda m: m.project.trouble("", done=True, cut=True),
        "was not reached",
        "was not reached",
    ),
    "a page of HTML is the answer": Fault(
        lambda m: m.project.trouble("", status=200), "not Supabase", "not Supabase"
    ),
    "storage is broken": Fault(
        lambda m: m.project.trouble("/storage/v1", status=503),
        None,
        "is not available (HTTP 503)",
    ),
    "the rows do not follow the bytes": Fault(
        lambda m: m.project.trouble("/rest/v1/images", cut=True),
        None,
        "was not reached",
    ),
    "the project is paused": Fault(
        lambda m: m.project.trouble("", status=540, body="{}"), "paused", "paused"
    ),
    "it is throttled": Fault(
        lambda m: m.project.trouble("", status=429, body="{}"),
        "is rate limiting requests",
        "is rate limiting requests",
    ),
    "the schemas are not exposed": Fault(
        lambda m: m.project.expose("public"),
        "schema of mai.imagen_usage is not exposed",
        "schema of imagen.images is not exposed",
        mend=lambda m: m.project.expose(),
    ),
    "the tables are missing": Fault(
        lambda m: m.project.change(
            "drop table mai.imagen_usage; drop table imagen.images"
        ),
        RUN_SQL,
        RUN_SQL,
        mend=migrate,
    ),
    "the grants are missing": Fault(
        lambda m: m.project.change(
            "revoke all on mai.imagen_usage, imagen.images from service_role"
        ),
        "has no permission for mai.imagen_usage",
        "has no permission for imagen.images",
        mend=migrate,
    ),
    "the bucket is missing": Fault(
        lambda m: m.project.change("delete from storage.buckets"),
        None,
        "bucket imagen-generated does not exist",
        mend=migrate,
    ),
    "the owner is unknown": Fault(
        no_such_user, None, "not a user of the project", mend=sign_up
    ),
    "the key is anon's": Fault(
        key("anon_key"), NOT_TAKEN, NOT_TAKEN, mend=key("secret_key")
    ),
    "the key is the publishable one": Fault(
        key("publishable_key"), NOT_TAKEN, NOT_TAKEN, mend=key("secret_key")
    ),
    "the key is wrong": Fault(
        key("sb_secret_of-another"),
        "accept the key: Invalid API key.",
        "accept the key: Invalid API key.",
        mend=key("service_key"),
    ),
}


# One of each kind: no answer, a lost answer, half an upload, and a setup that the user
# has to mend. No answer in time takes as long as the limit: by night. `test_answers.py`
# tests how each answer is understood, `test_readiness.py` each part of the setup.
BY_DAY = {
    "PostgreSQL is gone",
    "the answers are lost",
    "the rows do not follow the bytes",
    "the grants are missing",
    "the owner is unknown",
    "the key is wrong",
}


def reasons_of(said: str) -> dict[str, str]:
    """Take apart what is said of the cloud: one line for each channel, and no other."""
    reasons = {}
    for line in said.splitlines():
        begin = USAGE if line.startswith(USAGE) else IMAGES
        assert line.startswith(begin), said
        assert begin not in reasons, said
        reasons[begin] = line.removeprefix(begin)
    return reasons


def test_a_healthy_cloud_has_all_of_it_at_once(machine: Machine) -> None:
    made = machine.generate("a fox", "--count", "2", "--json")

    # On a machine that is busy with something else 10 s may be too short.
    assert all(LATE in reason for reason in reasons_of(made.err).values())
    done = machine.run("sync")
    assert (made.code, len(made.objects)) == (0, 2)
    assert (done.code, done.err) == (0, "")
    assert missing_or_twice(machine) == []
    assert machine.kept_bytes == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in BY_DAY else pytest.mark.nightly)
        for name in FAULTS
    ],
)
def test_a_cloud_in_trouble_changes_nothing_and_loses_nothing(
    name: str, machine: Machine
) -> None:
    fault, project = FAULTS[name], machine.project
    fault.make(machine)
    made = machine.generate("a fox", *FOX)

    assert (made.code, made.out) == (0, "fox.png\n")
    said = reasons_of(made.err)
    assert set(fault.reasons) <= set(said)
    for begin, reason in said.items():
        wanted = fault.reasons.get(begin, LATE)
        assert wanted in reason or LATE in reason
        assert "imagen sync" in reason
    if not fault.passes:
        again = machine.run("sync")
        assert again.code == 1
        said = reasons_of(again.err)
        assert set(said) == set(fault.reasons)
        assert all(wanted in said[begin] for begin, wanted in fault.reasons.items())
        assert not any(secret in again.err for secret in machine.secrets)
    assert not any(secret in made.err for secret in machine.secrets)

    project.heal()
    project.calm()
    fault.mend(machine)
    done = machine.run("sync")

    assert (done.code, done.err) == (0, "")
    assert missing_or_twice(machine) == []
    assert machine.kept_bytes == []


def test_a_failure_ends_as_it_would_without_a_cloud(machine: Machine) -> None:
    machine.project.kill("gateway")
    words = ("a fox", "-o", "/proc/nowhere/fox.png")

    without = machine.generate(*words, SUPABASE_URL="")
    made = machine.generate(*words)

    assert made.code == without.code != 0
    machine.project.heal()
    assert machine.run("sync").code == 0
    assert missing_or_twice(machine) == []


def test_a_dead_cloud_costs_the_next_command_nothing(machine: Machine) -> None:
    machine.project.trouble("", status=503)
    machine.generate()
    machine.project.forget()

    made = machine.generate()

    assert machine.project.requests == []
    assert {
        begin: "The next automatic attempt is after" in said
        for begin, said in (reasons_of(made.err).items())
    } == {USAGE: True, IMAGES: True}
    machine.project.calm()
    done = machine.run("sync")
    assert done.out == (
        "usage: 2 delivered, 0 pending\ncloud sync: 2 delivered, 0 pending\n"
    )
    assert missing_or_twice(machine) == []


def test_after_a_sync_that_went_well_nothing_waits_any_more(machine: Machine) -> None:
    machine.project.trouble("", status=503)
    machine.generate()
    machine.project.calm()
    machine.run("sync")
    machine.project.forget()

    machine.generate()

    assert machine.project.requests


def test_what_can_never_pass_is_kept_and_holds_up_nothing(machine: Machine) -> None:
    machine.project.change(
        "alter table mai.imagen_usage add constraint no_owls check (caller <> 'owl');"
        "alter table imagen.images add constraint no_owls check (prompt <> 'an owl')"
    )
    for animal in ("fox", "owl", "hen"):
        machine.generate(f"an {animal}", MAI_FROM_ID=animal, IMAGEN_CLOUD_SYNC="off")
    machine.generate("an owl", MAI_FROM_ID="fox")
    machine.generate("a hen", MAI_FROM_ID="owl")

    done = machine.run("sync")

    assert done.code == 0
    assert "usage: " in done.out
    assert ", 2 failed" in done.out.splitlines()[0]
    assert ", 1 failed" in done.out.splitlines()[1]
    assert machine.pending == [0, 0]
    assert done.err.count("no_owls") == 3
    [(rows,)] = machine.project.sql("select count(*) from mai.imagen_usage")
    [(images,)] = machine.project.sql("select count(*) from imagen.images")
    assert (rows, images) == (3, 1)

    still = machine.run("sync")
    assert (still.code, still.out.count(" failed")) == (0, 2)
    assert machine.run("sync", "--again").code == 0
    machine.project.change(
        "alter table mai.imagen_usage drop constraint no_owls;"
        "alter table imagen.images drop constraint no_owls"
    )
    mended = machine.run("sync", "--again")
    assert (mended.code, mended.err) == (0, "")
    assert missing_or_twice(machine) == []


def test_what_was_for_a_mistyped_owner_is_delivered_once_that_is_mended(
    machine: Machine,
) -> None:
    config = machine.folder / "imagen.yaml"
    right = config.read_text()
    config.write_text(right.replace(machine.owner, nobody()))
    machine.generate("a fox", "--count", "2", IMAGEN_CLOUD_SYNC="off")
    machine.generate("an owl")
    stuck = machine.run("sync")
    assert (stuck.code, stuck.err.count("not a user of the project")) == (1, 1)

    config.write_text(right)
    done = machine.run("sync")

    assert (done.code, done.err) == (0, "")
    assert missing_or_twice(machine) == []
    owners = machine.project.sql(
        "select distinct owner_user_id::text from imagen.images"
    )
    assert owners == [(machine.owner,)]


def test_a_prompt_that_postgres_cannot_hold(machine: Machine) -> None:
    made = machine.run("generate", "-", "--json", stdin=b"a fox\0a hen")

    assert made.code in {0, 2}
    done = machine.run("sync")
    assert (done.code, machine.pending) == (0, [0, 0])


def test_an_image_of_stdout_has_its_copy(machine: Machine) -> None:
    made = machine.generate("a fox", "-o", "-")

    assert made.bytes.startswith(b"\x89PNG")
    assert machine.run("sync").code == 0
    assert missing_or_twice(machine) == []


def test_an_image_that_was_changed_since_has_the_copy_that_was_made(
    machine: Machine,
) -> None:
    machine.project.kill("gateway")
    machine.generate("a fox", *FOX)
    (machine.folder / "fox.png").write_bytes(b"another picture")
    machine.project.heal()

    assert machine.run("sync").code == 0
    assert missing_or_twice(machine) == []


def test_no_cloud_keeps_no_copy_and_the_row_all_the_same(machine: Machine) -> None:
    machine.generate("a fox", "--no-cloud")
    machine.run("sync")

    assert machine.project.sql("select id from imagen.images") == []
    assert len(machine.project.sql("select id from mai.imagen_usage")) == 1
    assert machine.kept_bytes == []


def test_an_owner_who_is_nobody_is_said(
    project: SupabaseProject, tmp_path: Path
) -> None:
    machine = Machine(tmp_path / "machine", project, owner=nobody())
    machine.generate()

    done = machine.run("sync")

    assert done.code == 1
    assert "owner_user_id" in done.err
