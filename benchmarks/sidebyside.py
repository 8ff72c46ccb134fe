"""Times commands in turn, A B C A B C ..., so that a machine's mood meets all alike."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

IMAGEN = str(Path(sys.executable).with_name("imagen"))


def wall_times(
    commands: Mapping[str, Sequence[str]], *, rounds: int, env: Mapping[str, str]
) -> dict[str, list[float]]:
    """Return the seconds of each run of each command, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **env},
            )
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def report(
    seconds: Mapping[str, Sequence[float]], *, of: str, to: str, limit: float
) -> bool:
    """Print one ratio of medians beside its limit, and say whether it holds."""
    a, b = statistics.median(seconds[of]), statistics.median(seconds[to])
    ratios = sorted(x / y for x, y in zip(seconds[of], seconds[to], strict=True))
    holds = a / b <= limit
    print(
        f"{of}: {a * 1000:.0f} ms, {to}: {b * 1000:.0f} ms, ratio {a / b:.2f} "
        f"(pairs {ratios[0]:.2f} to {ratios[-1]:.2f}), limit {limit:g}: "
        + ("holds" if holds else "EXCEEDED")
    )
    return holds
