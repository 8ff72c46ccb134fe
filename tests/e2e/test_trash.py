"""`--output` over an existing file, and the command `imagen trash`."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import imagen as library
from imagen.domain import events
from tests.e2e.accounts import short_waits
from tests.e2e.conftest import Ask, Start
from tests.e2e.test_paid import Customer, kill
from tests.integration.replicate.server import ReplicateServer

__all__ = ["short_waits"]  # a fixture

SMALL = ("--size", "64x64", "--backend", "mock")
PAID = ("generate", "a red fox", "--backend", "paid")


@pytest.fixture
def server() -> Iterator[ReplicateServer]:
    with ReplicateServer() as server:
        yield server


@pytest.fixture
def customer(ask: Ask, start: Start, server: ReplicateServer, here: Path) -> Customer:
    customer = Customer(ask, start, server, here)
    customer.images.mkdir()
    return customer


@pytest.fixture
def old(here: Path) -> Path:
    """A file of the user."""
    file = here / "x.png"
    file.write_bytes(b"old")
    return file


def test_a_replaced_image_comes_back_with_its_sidecar_and_history_entry(
    ask: Ask, here: Path
) -> None:
    ask("generate", "a fox", *SMALL, "-o", "x.png")
    first = (here / "x.png").read_bytes()
    note = (here / "x.png.json").read_bytes()

    made = ask("generate", "a dog", *SMALL, "-o", "x.png")

    assert made.lines == ["x.png"]
    (listed,) = ask("trash", "list", "--json").objects
    assert listed["id"] == json.loads(note)["id"]
    assert (listed["path"], listed["prompt"]) == (str(here / "x.png"), "a fox")
    assert made.err == (
        f"imagen: {here / 'x.png'} was moved to the trash; "
        f"`imagen trash restore {listed['id']}` restores it.\n"
    )
    history = ask("history", "--json").objects
    assert [each["prompt"] for each in history] == ["a dog"]

    (here / "x.png").rename(here / "y.png")
    (here / "x.png.json").rename(here / "y.png.json")
    restored = ask("trash", "restore", "last")

    assert (restored.code, restored.lines) == (0, [str(here / "x.png")])
    assert (here / "x.png").read_bytes() == first
    assert (here / "x.png.json").read_bytes() == note
    history = ask("history", "--json").objects
    assert [each["prompt"] for each in history] == ["a dog", "a fox"]
    assert ask("trash", "list").err == "imagen: The trash is empty.\n"


@pytest.mark.parametrize("kind", ["a file", "a link", "only a sidecar"])
def test_any_file_is_replaced_and_comes_back(ask: Ask, here: Path, kind: str) -> None:
    place = here / ("x.png.json" if kind == "only a sidecar" else "x.png")
    if kind == "a link":
        place.symlink_to("theirs.png")
    else:
        place.write_bytes(b"theirs")

    made = ask("generate", "a dog", *SMALL, "-o", "x.png", "--quiet")

    assert (made.lines, made.err) == (["x.png"], "")
    assert (here / "x.png").read_bytes().startswith(b"\x89PNG")
    for file in (here / "x.png", here / "x.png.json"):
        file.unlink()
    assert ask("trash", "restore", "last").code == 0
    assert place.is_symlink() == (kind == "a link")
    if kind != "a link":
        assert place.read_bytes() == b"theirs"


@pytest.mark.parametrize(
    "words",
    [
        ("generate", "a dog", *SMALL, "--count", "2"),
        ("sweep", "a dog", *SMALL, "--seed", "1,2", "--no-sheet"),
        ("rerun", "source.png", "--count", "2"),
    ],
    ids=lambda words: words[0],
)
def test_each_image_replaces_the_file_of_its_name(
    ask: Ask, here: Path, words: tuple[str, ...]
) -> None:
    ask("generate", "a fox", *SMALL, "-o", "source.png")
    for name in ("x.png", "x-1.png", "x-2.png", "x-3.png"):
        (here / name).write_bytes(b"theirs")

    made = ask(*words, "-o", "x.png")

    assert sorted(made.lines) == ["x-1.png", "x-2.png"]
    moved = [each["path"] for each in ask("trash", "list", "--json").objects]
    assert sorted(moved) == [str(here / "x-1.png"), str(here / "x-2.png")]
    assert (here / "x.png").read_bytes() == (here / "x-3.png").read_bytes() == b"theirs"


def test_a_copy_replaces_a_file_and_its_sidecar(ask: Ask, here: Path) -> None:
    ask("generate", "a fox", *SMALL, "-o", "fox.png")
    ask("generate", "a dog", *SMALL, "-o", "x.png")
    dog = (here / "x.png").read_bytes()

    copied = ask("strip", "fox.png", "-o", "x.png")

    (moved,) = ask("trash", "list", "--json").objects
    assert (moved["path"], moved["prompt"]) == (str(here / "x.png"), "a dog")
    assert (copied.out, copied.err) == (
        "x.png\n",
        f"imagen: {here / 'x.png'} was moved to the trash; "
        f"`imagen trash restore {moved['id']}` restores it.\n",
    )
    assert not (here / "x.png.json").exists()
    repeated = ask("strip", "fox.png", "-o", "x.png")
    assert (repeated.out, repeated.err) == ("x.png\n", "")
    (here / "x.png").unlink()
    assert ask("trash", "restore", "last").code == 0
    assert (here / "x.png").read_bytes() == dog
    assert (here / "x.png.json").exists()


SHEET = ["x-sheet.html", "x-sheet.png"]


def test_a_sheet_replaces_one_that_differs(ask: Ask, here: Path) -> None:
    for name in SHEET:
        (here / name).write_bytes(b"theirs")
    words = ("sweep", "a dog", *SMALL, "--seed", "1,2", "-o", "x.png", "--key", "k")

    made = ask(*words)

    moved = ask("trash", "list", "--json").objects
    assert sorted(each["path"] for each in moved) == [str(here / n) for n in SHEET]
    assert {each["bytes"] for each in moved} == {len(b"theirs")}
    assert made.err.count("was moved to the trash") == 2
    assert made.err.splitlines()[-1] == "imagen: sheet: x-sheet.html"
    assert (here / "x-sheet.html").read_text("utf-8").count("<img") == 2
    repeated = ask(*words)
    assert (repeated.code, "trash" in repeated.err) == (0, False)
    assert len(ask("trash", "list", "--json").objects) == 2


@pytest.mark.parametrize("name", SHEET)
def test_a_sheet_that_has_no_place_is_exit_2_before_anything_is_sent(
    customer: Customer, server: ReplicateServer, name: str
) -> None:
    (customer.images / name).mkdir()
    place = ("-o", str(customer.images / "x.webp"))
    words = ("sweep", *PAID[1:], "--seed", "1,2", *place)

    refused = customer.run(*words)

    assert refused.code == 2
    assert f"{customer.images / name} exists, and would be replaced." in refused.err
    assert server.created == 0
    assert customer.run(*words, "--no-sheet").code == 0


def test_the_python_api_replaces_files_likewise(ask: Ask, old: Path) -> None:
    heard: list[events.Event] = []

    image = library.generate(
        "a dog", backend="mock", size="64x64", output="x.png", listen=heard.append
    )

    (moved,) = [event for event in heard if isinstance(event, events.Trashed)]
    assert image.path == Path("x.png")
    assert moved.location == str(old)
    assert ask("trash", "list", "--json").objects[0]["id"] == moved.id


@pytest.mark.parametrize("existed", [True, False])
def test_a_file_that_appears_meanwhile_is_not_replaced(
    ask: Ask, here: Path, old: Path, existed: bool
) -> None:
    if not existed:
        old.unlink()

    def appear(event: events.Event) -> None:
        if isinstance(event, events.Started):
            draft = here / "draft"
            draft.write_bytes(b"theirs")
            draft.replace(old)

    image = library.generate(
        "a dog", backend="mock", size="64x64", output="x.png", listen=appear
    )

    assert image.path == Path("x-2.png")
    assert old.read_bytes() == b"theirs"
    assert ask("trash", "list", "--json").objects == []


@pytest.mark.parametrize("what", ["no trash", "a folder", "a pipe"])
def test_a_file_that_cannot_be_moved_is_exit_2(
    customer: Customer, server: ReplicateServer, what: str
) -> None:
    place = customer.images / "x-2.webp"
    if what == "a folder":
        place.mkdir()
    elif what == "a pipe":
        os.mkfifo(place)
    else:
        place.write_bytes(b"theirs")
        customer.data.mkdir()
        (customer.data / "bin").write_bytes(b"not a folder")

    made = customer.run(*PAID, "-o", str(customer.images / "x.webp"), "--count", "2")

    assert made.code == 2
    assert f"{place} exists, and would be replaced." in made.err
    assert server.created == 0
    assert place.exists()
    assert customer.jobs == []


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--estimate",), 0), (("--max-cost", "0.001"), 5), ((), 5)],
    ids=["estimate", "over budget", "unauthorized"],
)
def test_if_nothing_is_made_the_file_stays(
    customer: Customer, words: tuple[str, ...], code: int
) -> None:
    place = customer.images / "x.webp"
    place.write_bytes(b"theirs")
    env = {} if words else {"REPLICATE_API_TOKEN": "wrong"}

    made = customer.run(*PAID, "-o", str(place), *words, env=env)

    assert made.code == code
    assert place.read_bytes() == b"theirs"
    assert customer.run("trash", "list", "--json").objects == []


def test_a_continued_command_replaces_what_is_left_and_nothing_of_its_own(
    customer: Customer, server: ReplicateServer
) -> None:
    for number in (1, 2, 3):
        (customer.images / f"x-{number}.webp").write_bytes(b"theirs")
    words = (*PAID, "--count", "3", "-o", f"{customer.images / 'x.webp'}")
    kill(customer.start(*words), server, when=lambda: server.created == 2)

    made = customer.run(*words)

    assert made.code == 0
    assert (server.created, server.paid) == (3, 3)
    places = [str(customer.images / f"x-{number}.webp") for number in (1, 2, 3)]
    assert sorted(made.lines) == places
    moved = customer.run("trash", "list", "--json").objects
    assert sorted(each["path"] for each in moved) == places
    assert [each["bytes"] for each in moved] == [len(b"theirs")] * 3


def test_resume_replaces_the_file_that_the_command_would_have(
    customer: Customer, server: ReplicateServer
) -> None:
    place = customer.images / "x.webp"
    place.write_bytes(b"theirs")
    server.trouble(never_ends=True)
    started = customer.start(*PAID, "-o", str(place))
    kill(started, server, when=lambda: server.created and server.predictions[0].looks)
    server.end(0)
    assert place.read_bytes() == b"theirs"

    resumed = customer.run("resume", "--all")

    assert resumed.lines == [str(place)]
    assert customer.run("trash", "list", "--json").objects[0]["path"] == str(place)


def test_a_key_whose_image_was_replaced_names_the_trash(
    customer: Customer, server: ReplicateServer
) -> None:
    place = str(customer.images / "x.webp")
    customer.run(*PAID, "-o", place, "--key", "one")
    customer.run(*PAID, "-o", place, "--key", "two")

    again = customer.run(*PAID, "-o", place, "--key", "one")

    assert again.code == 6
    assert "is in the trash" in again.err
    assert server.paid == 2


def test_what_is_in_the_way_is_named(ask: Ask, here: Path, old: Path) -> None:
    ask("generate", "a dog", *SMALL, "-o", "x.png")

    refused = ask("trash", "restore", "last")

    assert refused.code == 6
    assert f"Move {old} away" in refused.err
    assert old.read_bytes() != b"old"


def test_the_trash_is_emptied_only_if_that_is_confirmed(ask: Ask, old: Path) -> None:
    assert ask("trash", "empty").err == "imagen: The trash is empty.\n"
    ask("generate", "a dog", *SMALL, "-o", "x.png")

    asked = ask("trash", "empty")
    assert (asked.code, "Use --yes" in asked.err) == (2, True)
    assert len(ask("trash", "list").lines) == 1

    emptied = ask("trash", "empty", "--yes")
    assert (emptied.code, emptied.err) == (0, "imagen: 1 file deleted.\n")
    assert ask("trash", "list", "--json").objects == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("restore",), "ID is missing."),
        (("restore", "last"), "The trash has no file 'last'."),
        (("restore", "019f"), "The trash has no file '019f'."),
    ],
)
def test_an_unknown_id_is_exit_2(
    ask: Ask, words: tuple[str, ...], message: str
) -> None:
    run = ask("trash", *words)

    assert run.code == 2
    assert message in run.err
