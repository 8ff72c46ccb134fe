"""The table of docs/adapters.md says which promises our backends cannot prove."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.contract import lacks, test_backends
from tests.contract.broken import promises as list_tests
from tests.integration import (
    test_automatic1111_contract,
    test_bfl_contract,
    test_comfyui_contract,
    test_fal_contract,
    test_gemini_contract,
    test_openai_contract,
    test_openrouter_contract,
    test_replicate_contract,
)

from imagen.testing import HttpBackendContract

GUIDE = Path(__file__).parents[2] / "docs/adapters.md"
HEAD = (
    "| backend | promises | proved | lacks the method | not proved for another reason |"
)

# The tests of the examples are checked in `broken_backends.py`.
CHALK = type("Chalk", (HttpBackendContract,), {"lacks": lacks.CHALK})
EASEL = type("Easel", (HttpBackendContract,), {"lacks": lacks.EASEL})
BACKENDS = {
    "`mock`": [test_backends.TestMockBackend],
    "`automatic1111`": [test_automatic1111_contract.TestWebui],
    "`bfl`": [test_bfl_contract.TestBfl],
    "`comfyui`": [
        test_comfyui_contract.TestOwnServer,
        test_comfyui_contract.TestGuardedServer,
        test_comfyui_contract.TestWorkflowOfTheEditor,
    ],
    "`fal`": [
        test_fal_contract.TestFal,
        test_fal_contract.TestUnknownModel,
    ],
    "`replicate`": [
        test_replicate_contract.TestKnownModel,
        test_replicate_contract.TestCommunityModel,
        test_replicate_contract.TestModelThatWasLookedUpBefore,
    ],
    "`gemini`": [
        test_gemini_contract.TestInteractions,
        test_gemini_contract.TestGenerateContent,
    ],
    "`openai`": [test_openai_contract.TestOpenAI, test_openai_contract.TestXAI],
    "`openrouter`": [
        test_openrouter_contract.TestModelThatWasLookedUpBefore,
        test_openrouter_contract.TestNewModel,
    ],
    "`imagen-chalk`": [CHALK],
    "`imagen-easel`": [EASEL],
}
"""The contract classes of each backend: one that passes proves a promise."""


def list_promises(made: type, tests: set[str]) -> set[str]:
    return {key for test in tests for key in getattr(made, test).promises}


def list_absent_methods(made: type) -> set[str]:
    """Return the optional methods that the backend does not have."""
    found = (re.fullmatch(r"the backend has no `(\w+)`", one) for one in made.lacks)
    return {match[1] for match in found if match}


def list_unproved(made: type) -> set[str]:
    proving = list_tests(made) - lacks.list_skipped(made)
    return list_promises(made, list_tests(made)) - list_promises(made, proving)


def describe(name: str, classes: list[type]) -> tuple[str, float]:
    """Return the row of a backend, and the share of its promises that is not proved."""
    every = list_promises(classes[0], list_tests(classes[0]))
    absent = sorted(set.intersection(*map(list_absent_methods, classes)))
    not_made = {key for key in every if key.partition(":")[0] in absent}
    unproved = set.intersection(*map(list_unproved, classes)) - not_made
    reasons = {
        reason
        for made in classes
        for reason, tests in made.lacks.items()
        if list_promises(made, tests & list_tests(made)) & unproved
    }
    proved = len(every) - len(not_made) - len(unproved)
    methods = ", ".join(f"`{method}`" for method in absent)
    cells = [
        *(name, str(len(every)), str(proved)),
        f"{len(not_made)}: {methods}" if absent else "",
        f"{len(unproved)}: {'; '.join(sorted(reasons))}" if unproved else "",
    ]
    share = len(unproved) / (len(every) - len(not_made))
    return re.sub(r" +", " ", "| " + " | ".join(cells) + " |"), share


def test_the_guide_has_the_table_of_what_is_not_proved() -> None:
    text = GUIDE.read_text("utf-8")
    table = text.partition(f"{HEAD}\n")[2].partition("\n\n")[0].splitlines()[1:]

    assert table == [describe(*backend)[0] for backend in BACKENDS.items()]


@pytest.mark.parametrize("name", BACKENDS)
def test_at_most_one_promise_in_seven_is_not_proved(name: str) -> None:
    assert describe(name, BACKENDS[name])[1] <= 0.15


class Lacking:
    lacks = {"it has no ears": {"test_hears", "test_talks[loudly]"}}


@pytest.mark.parametrize(
    ("name", "reason", "outcome"),
    [
        ("test_hears", "it has no ears", "skipped"),
        ("test_hears[far]", "it has no ears", "skipped"),
        ("test_hears", "it has no time", "failed"),
        ("test_hears", "", "failed"),
        ("test_talks[loudly]", "it has no ears", "skipped"),
        ("test_talks[softly]", "it has no ears", "failed"),
        ("test_talks[softly]", "", "passed"),
    ],
)
def test_a_skip_is_declared(name: str, reason: str, outcome: str) -> None:
    item = SimpleNamespace(cls=Lacking, name=name)
    found = pytest.TestReport(
        nodeid=name,
        location=("", 0, name),
        keywords={},
        outcome="skipped" if reason else "passed",
        longrepr=("", 0, f"Skipped: {reason}") if reason else None,
        when="call",
    )
    lacks.fail_undeclared_skips(item, found)

    assert found.outcome == outcome
