"""The commands `imagen jobs` and `imagen jobs forget`."""

import re
import sqlite3
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len

from imagen.domain.call import (
    Call,
    CallAccepted,
    CallLeftOpen,
    CallReceived,
    CallSending,
)
from imagen.testing.samples import sample_id
from tests.contract_internal.samples import sample_call, sample_received
from tests.e2e.accounts import Accounts
from tests.e2e.conftest import IMAGEN, Ask, assert_one_sentence, left_behind
from tests.e2e.test_terminal import Screen, screen

__all__ = ["screen"]  # a fixture


@pytest.fixture
def accounts(home: Path) -> Accounts:
    return Accounts(home / "data")


@pytest.fixture
def jobs(ask: Ask, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(accounts.folder))
    return lambda *words: ask("jobs", *words)


def call_of(prompt: str, number: int = 1, **more: object) -> Call:
    call = sample_call(number, **more)  # type: ignore[arg-type]
    request = msgspec.structs.replace(call.plan.request, prompt=prompt)
    plan = msgspec.structs.replace(call.plan, request=request)
    return msgspec.structs.replace(call, plan=plan)


def cells(line: str) -> list[str]:
    """What stands in a line, without the age."""
    found = re.split(" {2,}", line.strip())
    return found[:1] + found[2:]


def test_each_is_said_with_where_it_stands_and_what_it_may_cost(
    jobs: Ask, accounts: Accounts
) -> None:
    taken, there = (
        CallAccepted(reference="x-7"),
        CallReceived(received=sample_received()),
    )
    accounts.leave(call_of("one", 1), CallSending())
    accounts.leave(call_of("two", 2, reserved=None), taken)
    accounts.leave(call_of("three", 3, may_cost=False), CallAccepted(reference="x-8"))
    accounts.leave(call_of("four", 4), there, CallLeftOpen(reason="The disk is full."))
    accounts.work_on(call_of("five", 5, backend="狐"))

    run = jobs()

    assert (run.code, run.err) == (0, "")
    ids = [sample_id(number)[:13] for number in range(6)]
    facts = [line for line in run.lines if not line.startswith("    ")]
    assert [cells(line) for line in facts] == [
        [ids[1], "flux", "sent, outcome unknown", "may be billed $0.04"],
        [ids[2], "flux", "accepted as x-7", "may be billed, price unknown"],
        [ids[3], "flux", "accepted as x-8", "costs nothing"],
        [ids[4], "flux", "images received, not stored", "may be billed $0.04"],
        [ids[5], "狐", "not sent; in progress", "may be billed $0.04"],
    ]
    assert [line[4:] for line in run.lines if line.startswith("    ")] == [
        *("one", "two", "three", "four", "The disk is full.", "five"),
    ]
    bills = [re.split("may be billed|costs nothing", line)[0] for line in facts]
    assert len(set(map(cell_len, bills))) == 1


def test_when_nothing_is_open_stdout_is_empty(jobs: Ask, home: Path) -> None:
    run = jobs()

    assert (run.code, run.out, run.err) == (0, "", "imagen: No open jobs.\n")
    assert jobs("--json").out == ""


def test_what_was_never_sent_is_counted_and_not_listed(
    jobs: Ask, accounts: Accounts
) -> None:
    accounts.leave(call_of("never", 1))

    run = jobs()

    assert (run.code, run.out) == (0, "")
    assert_one_sentence(run.err, "1 job was never sent and cost nothing")
    assert [job["state"] for job in jobs("--json").objects] == ["planned"]


def test_in_json_each_is_an_object_with_everything(
    jobs: Ask, accounts: Accounts
) -> None:
    call = call_of("a cat\n\x1b", 1, reserved=1)
    accounts.leave(call, CallAccepted(reference="x-7"), CallLeftOpen(reason="Silence."))

    run = jobs("--json")

    assert (run.code, run.err) == (0, "")
    assert run.objects == [
        {
            "id": call.id,
            "created_at": "2026-11-16T09:31:15.123456Z",
            "backend": "flux",
            "adapter": "replicate",
            "model": "",
            "caller": "writer",
            "prompt": "a cat\n\x1b",
            "state": "accepted",
            "reference": "x-7",
            "live": False,
            "trouble": "Silence.",
            "may_cost": True,
            "reserved_usd": 0.000001,
        }
    ]


def test_nothing_in_them_can_garble_the_terminal(jobs: Ask, accounts: Accounts) -> None:
    accounts.leave(
        call_of("\x1b[2J\r\n\u202ea cat\x07", backend="b\x1b"),
        CallAccepted(reference="x\x9b\n"),
        CallLeftOpen(reason="\x1b]0;x\x07\nno"),
    )

    run = jobs()

    assert len(run.lines) == 3
    assert not set("\x1b\x07\x9b\r\u202e") & set(run.out)


def test_a_terminal_shortens_the_prompt_to_its_width(
    screen: Screen, jobs: Ask, accounts: Accounts
) -> None:
    prompts = ["a red fox " * 40, "狐" * 200]
    for number, prompt in enumerate(prompts, 1):
        accounts.leave(call_of(prompt, number), CallSending())

    code, wide = screen.run(IMAGEN, "jobs", **accounts.env)
    _, narrow = screen.run(IMAGEN, "jobs", **accounts.env, COLUMNS="40")
    piped = jobs()

    assert code == 0
    assert {cell_len(line) for line in wide.splitlines()[1::2]} <= {99, 100}
    assert {cell_len(line) for line in narrow.splitlines()[1::2]} <= {39, 40}
    assert [line.strip() for line in piped.lines[1::2]] == [
        prompt.strip() for prompt in prompts
    ]


# Giving up


def test_one_that_is_given_up_is_off_the_list_and_in_the_ledger(
    jobs: Ask, accounts: Accounts
) -> None:
    accounts.leave(call_of("one", 1), CallSending())
    accounts.leave(call_of("two", 2), CallSending())

    run = jobs("forget", sample_id(1)[:10])

    assert (run.code, run.out) == (0, "")
    assert_one_sentence(
        run.err, f"{sample_id(1)}: forgotten; recorded in the ledger", "unknown cost"
    )
    assert [job["id"] for job in jobs("--json").objects] == [sample_id(2)]
    assert accounts.ledger == [("unknown", None)]


def test_one_that_cost_nothing_is_not_in_the_ledger(
    jobs: Ask, accounts: Accounts
) -> None:
    accounts.leave(call_of("never", 1))
    accounts.leave(call_of("free", 2, may_cost=False), CallSending())

    run = jobs("forget", sample_id(1), "last")

    assert run.code == 0
    assert run.err.count("it cost nothing") == 2
    assert accounts.ledger == []
    assert left_behind(accounts.folder / "spool") == []


def test_images_that_were_here_go_with_it(jobs: Ask, accounts: Accounts) -> None:
    accounts.leave(call_of("one", 1), CallReceived(received=sample_received()))

    run = jobs("forget", "last")

    assert_one_sentence(run.err, "forgotten with its images")
    assert left_behind(accounts.folder / "spool") == []


def test_one_that_is_being_worked_on_stays(jobs: Ask, accounts: Accounts) -> None:
    accounts.leave(call_of("one", 1), CallSending())
    accounts.work_on(call_of("two", 2), CallSending())

    run = jobs("forget", sample_id(1), sample_id(2), "--json")

    assert run.code == 1
    assert run.objects == [
        {"id": sample_id(1), "forgotten": True},
        {"id": sample_id(2), "forgotten": False},
    ]
    assert "another process is working on the job" in run.err
    assert [job["id"] for job in jobs("--json").objects] == [sample_id(2)]


@pytest.mark.parametrize("name", ["nothing", "", "019a", "last"])
def test_a_name_that_does_not_fit_gives_up_nothing(
    jobs: Ask, accounts: Accounts, name: str
) -> None:
    if name != "last":
        accounts.leave(call_of("one", 1), CallSending())
        accounts.leave(call_of("two", 2), CallSending())

    run = jobs("forget", *([sample_id(1)] if name != "last" else []), name)

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, "open job")
    assert accounts.ledger == []


def test_an_id_is_needed(jobs: Ask) -> None:
    run = jobs("forget")

    assert (run.code, run.out) == (2, "")
    assert_one_sentence(run.err, "ID is missing.")


# What may be wrong with the database


@pytest.mark.parametrize(
    "words", [("jobs",), ("history",), ("usage",), ("usage", "--raw"), ("resume",)]
)
def test_a_database_that_cannot_be_read_is_one_sentence(
    ask: Ask, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(accounts.folder))
    accounts.leave(call_of("one"), CallSending())
    accounts.file.write_bytes(b"no database " * 1000)
    damaged = ask(*words, "--json")
    accounts.file.unlink()
    for rest in accounts.folder.glob("imagen.sqlite3-*"):
        rest.unlink()
    accounts.leave(call_of("one"), CallSending())
    with sqlite3.connect(accounts.file) as connection:
        connection.execute("PRAGMA user_version = 1000")
    connection.close()
    newer = ask(*words)

    for run in (damaged, newer):
        assert run.code == 1
        assert_one_sentence(run.err, str(accounts.file))
    assert damaged.objects[0]["error"]["code"] == "journal_error"
    assert newer.out == ""


@pytest.mark.parametrize("words", [("jobs",), ("history",), ("usage",), ("resume",)])
def test_a_database_that_is_not_there_is_an_empty_one(
    ask: Ask, home: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(home / "none" / "yet"))

    run = ask(*words)

    assert (run.code, run.out) == (0, "")
    assert_one_sentence(run.err)
