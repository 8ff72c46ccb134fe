"""Each contract fails faulty implementations, and with the expected tests."""

import fcntl
import os
import runpy
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from imagen.testing import BackendContract
from imagen.testing.contracts.backend_lookup import LookupContract

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "imagen-chalk"
FILES = {
    file.stem: file
    for folder in (HERE, HERE.parent / "contract_internal")
    for file in sorted(folder.glob("broken_*.py"))
}
IMPLEMENTERS = {
    suite: {
        name: implementer
        for name, implementer in runpy.run_path(str(file)).items()
        if name.startswith("Test")
    }
    for suite, file in FILES.items()
}

LEAN = [
    f"-pno:{it}" for it in ("cacheprovider", "logging", "xdist", "hypothesispytest")
]
"""Plugins that these runs do not need; without them they take half the time."""


class Verdicts:
    """Which tests of each implementer failed, were skipped, or passed."""

    def __init__(self) -> None:
        self.failed: dict[str, set[str]] = defaultdict(set)
        self.skipped: dict[str, set[str]] = defaultdict(set)
        self.passed: dict[str, set[str]] = defaultdict(set)

    def read(self, report: Path) -> None:
        for case in ET.parse(report).iter("testcase"):
            implementer = case.attrib["classname"].rpartition(".")[2]
            test = case.attrib["name"].partition("[")[0]
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed[implementer].add(test)
            elif case.find("skipped") is not None:
                self.skipped[implementer].add(test)
            else:
                self.passed[implementer].add(test)
        for implementer, failed in self.failed.items():
            self.passed[implementer] -= failed


@pytest.fixture(scope="session")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Verdicts]:
    """The results of all implementers, from one run that the first process does."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "verdicts"
    folder.mkdir(exist_ok=True)
    parts = [("example", [str(EXAMPLE)])] + [
        (suite, [f"{FILES[suite]}::{name}" for name in part])
        for suite, names in IMPLEMENTERS.items()
        for part in _parts(list(names))
    ]
    done = folder / "done"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            _run_all([tests for _, tests in parts], folder)
            done.touch()
    verdicts = {suite: Verdicts() for suite, _ in parts}
    for number, (suite, _) in enumerate(parts):
        verdicts[suite].read(folder / f"{number}.xml")
    return verdicts


def _run_all(parts: Sequence[list[str]], folder: Path) -> None:
    """Run each part in a pytest process of its own, all at once."""
    with ExitStack() as started:
        runs = [
            started.enter_context(
                _run(
                    tests,
                    report=folder / f"{number}.xml",
                    temporary=folder / f"{number}",
                )
            )
            for number, tests in enumerate(parts)
        ]
        for run in runs:
            started.callback(run.kill)
        for run in runs:
            run.wait(timeout=150)


def _parts(names: list[str]) -> list[list[str]]:
    """Split the names among processes of about a dozen each."""
    hands = 1 + len(names) // 12
    return [names[first::hands] for first in range(hands)]


def _run(tests: list[str], *, report: Path, temporary: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "-q", "--tb=no", f"--junit-xml={report}"),
            *("-s", f"--basetemp={temporary}", *LEAN, *tests),
        ],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "CI": "true"},  # where pytest shows differences in full
    )


def test_the_adapter_to_copy_keeps_every_promise(
    verdicts: Mapping[str, Verdicts],
) -> None:
    promises = {name for name in dir(BackendContract) if name.startswith("test_")}
    beyond = {name for name in dir(LookupContract) if name.startswith("test_")}
    beyond |= {"test_prepares_without_network"}  # the example has no `prepare`

    assert verdicts["example"].passed["TestChalkBackend"] == promises - beyond
    assert verdicts["example"].failed["TestChalkBackend"] == set()


@pytest.mark.parametrize(
    ("suite", "name"),
    [(suite, name) for suite, names in IMPLEMENTERS.items() for name in names],
)
def test_each_fault_is_caught_by_the_promises_that_it_breaks(
    verdicts: Mapping[str, Verdicts], suite: str, name: str
) -> None:
    assert verdicts[suite].failed[name] == IMPLEMENTERS[suite][name].breaks


@pytest.mark.parametrize("suite", IMPLEMENTERS)
def test_the_healthy_one_has_everything_looked_at(
    verdicts: Mapping[str, Verdicts], suite: str
) -> None:
    assert verdicts[suite].skipped["TestIsHealthy"] == set()


@pytest.mark.parametrize("suite", IMPLEMENTERS)
def test_every_promise_is_broken_by_somebody(suite: str) -> None:
    healthy = IMPLEMENTERS[suite]["TestIsHealthy"]
    promises = {name for name in dir(healthy) if name.startswith("test_")}

    broken = set().union(*(one.breaks for one in IMPLEMENTERS[suite].values()))

    assert broken == promises
