"""Every benchmark and every drill runs, at a size that takes seconds."""

from importlib import import_module
from pathlib import Path

import pytest
from benchmarks import __main__ as all_of_them
from benchmarks.common import SKIPPED, Verdicts

FOLDER = Path(all_of_them.__file__).parent
NAMES = sorted(file.stem for file in FOLDER.glob("[bd]*_*.py"))


def test_none_is_missing() -> None:
    assert {"bench_mock", "bench_usage", "drill_kill"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_at_its_smoke_size(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for variable in ("IMAGEN_CONFIG", "IMAGEN_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)

    code = import_module(f"benchmarks.{name}").main(["--smoke"])

    printed = capfd.readouterr().out
    if code == SKIPPED:
        pytest.skip(printed.splitlines()[-1])
    assert code == 0, printed
    assert any(word in printed for word in ("not judged", "holds")), printed


def test_a_limit_that_is_exceeded_is_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    judged, smoke = Verdicts(smoke=False), Verdicts(smoke=True)
    for verdicts in (judged, smoke):
        verdicts.at_most("time", 3, 2, " s")
        verdicts.at_least("rate", 3, 2)

    assert (judged.exit_code(), smoke.exit_code()) == (1, 0)
    assert capsys.readouterr().out.splitlines() == [
        "time: 3 s, at most 2 s: EXCEEDED",
        "rate: 3, at least 2: holds",
        "time: 3 s, at most 2 s: not judged",
        "rate: 3, at least 2: not judged",
    ]


def test_a_broken_promise_fails_at_every_size() -> None:
    verdicts = Verdicts(smoke=True)
    verdicts.promise("nothing is lost", holds=False)

    assert verdicts.exit_code() == 1
