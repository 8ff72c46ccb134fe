"""Real processes over one database: many at once, killed, and refused by the system."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.contract_internal.samples import sample_call
from tests.nightly import examples

from imagen.adapters.database.connection import Database
from imagen.adapters.database.journal import SqliteJournal

CROWD = examples(12, nightly=50)
RACERS = examples(16, nightly=40)
KILLS = examples(6, nightly=20)
DRILLS = Path(__file__).with_name("sqlite_drills.py")


def drill(name: str, folder: Path, *count: int) -> Any:
    done = subprocess.run(
        [sys.executable, str(DRILLS), name, str(folder), *map(str, count)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can get to, and only its owner writes in."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def test_many_processes_at_once_from_the_first_moment_on(tmp_path: Path) -> None:
    seen = drill("crowd", tmp_path / "new", CROWD)

    assert seen["failed"] == []
    assert (seen["rows"], seen["images"], seen["open"]) == (CROWD, CROWD, 0)


def test_processes_share_a_budget_that_has_room_for_seven(tmp_path: Path) -> None:
    outcomes = Counter(drill("race", tmp_path, RACERS)["outcomes"])

    assert outcomes == {"begun": 7, "over": RACERS - 7}


def test_the_calls_of_a_killed_process_are_as_it_left_them(tmp_path: Path) -> None:
    assert drill("kills", tmp_path, KILLS) == {"wrong": [], "killed": KILLS}


def test_a_process_is_dead_even_if_its_children_live(tmp_path: Path) -> None:
    assert drill("children", tmp_path) == {"parent": False, "child": True}


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_in_which_one_may_not_write(open_folder: Path, is_there: bool) -> None:
    if is_there:
        SqliteJournal(Database(open_folder)).begin([sample_call()])
    open_folder.chmod(0o555)

    said = drill("forbidden", open_folder)

    for sentence in said.values():
        assert re.search("cannot be|is not accessible to your user", sentence)
        assert "writable for your user" in sentence


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small disk")
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run([mount, *options], capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_full(small_disk: Path) -> None:
    said = drill("full", small_disk)

    assert said.pop("after") == "received"
    for sentence in said.values():
        assert sentence.endswith(
            "cannot grow: the disk is full. Free some space on that disk."
        )
