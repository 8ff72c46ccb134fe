"""Arguments, verdicts and timings that the benchmarks and drills share.

Each of them is a module with a `main` that returns 0 if all limits hold, 1 if one does
not, and SKIPPED if a part is missing that it needs: `python -m benchmarks.bench_mock`.
With `--smoke` it does the same work in a few seconds, with tiny counts, and judges no
figure. `make bench` runs all of them, `make nightly` the drills.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGEN = str(Path(sys.executable).with_name("imagen"))
SKIPPED = 77
"""The exit code for "skipped", as automake has it."""


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows `--smoke`."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--smoke", action="store_true", help="tiny counts, no figure is judged"
    )
    return parser


def skip(why: str) -> int:
    print(f"skipped: {why}")
    return SKIPPED


class Verdicts:
    """Prints each figure beside its limit, and remembers whether all limits hold."""

    def __init__(self, *, smoke: bool) -> None:
        self.smoke = smoke
        self._broken = 0

    def at_most(self, what: str, value: float, limit: float, unit: str = "") -> None:
        self._judge(f"{what}: {value:.4g}{unit}, at most {limit:g}{unit}", value, limit)

    def at_least(self, what: str, value: float, limit: float, unit: str = "") -> None:
        text = f"{what}: {value:.4g}{unit}, at least {limit:g}{unit}"
        self._judge(text, -value, -limit)

    def ratio(
        self, seconds: Mapping[str, Sequence[float]], *, of: str, to: str, limit: float
    ) -> None:
        """Judge the ratio of two medians."""
        a, b = statistics.median(seconds[of]), statistics.median(seconds[to])
        pairs = sorted(x / y for x, y in zip(seconds[of], seconds[to], strict=True))
        self.at_most(
            f"{of} {a * 1000:.0f} ms, {to} {b * 1000:.0f} ms, ratio (pairs "
            f"{pairs[0]:.2f} to {pairs[-1]:.2f})",
            a / b,
            limit,
        )

    def promise(self, what: str, *, holds: bool) -> None:
        """Judge something that holds at every size."""
        print(f"{what}: {'holds' if holds else 'BROKEN'}", flush=True)
        self._broken += not holds

    def exit_code(self) -> int:
        return 1 if self._broken else 0

    def _judge(self, text: str, value: float, limit: float) -> None:
        holds = value <= limit
        verdict = "holds" if holds else "EXCEEDED"
        print(f"{text}: {'not judged' if self.smoke else verdict}", flush=True)
        self._broken += not holds and not self.smoke


def wall_times(
    commands: Mapping[str, Sequence[str]],
    *,
    rounds: int,
    env: Mapping[str, str],
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Return the seconds of each run of each command, run in turn: A B C A B C ...

    So a busy moment of the machine meets all of them. The first runs are not counted,
    unless there is no warm-up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + warm_up):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **env},
            )
            if turn or not warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds
