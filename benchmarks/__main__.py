"""Run all benchmarks, or those named, one after the other: `python -m benchmarks`.

One that exceeds a limit, or fails, does not keep the rest from running. The last lines
have the result of each; the exit status is 1 if any exceeded a limit or failed.

    python -m benchmarks [--drills] [--smoke] [NAME ...]
"""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import ROOT, SKIPPED, arguments

OUTCOMES = {0: "done", 1: "EXCEEDED OR FAILED", SKIPPED: "skipped"}


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--drills", action="store_true", help="run the drills instead")
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    kind = "drill" if given.drills else "bench"
    found = sorted(file.stem for file in Path(__file__).parent.glob(f"{kind}_*.py"))
    results: dict[str, str] = {}
    for name in given.names or found:
        print(f"== {name}", flush=True)
        began = time.perf_counter()
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        code = subprocess.run(
            command + ["--smoke"] * given.smoke, cwd=ROOT, check=False
        ).returncode
        outcome = OUTCOMES.get(code, f"FAILED with status {code}")
        results[name] = f"{outcome}, {time.perf_counter() - began:.0f} s"
    print("== summary")
    for name, result in results.items():
        print(f"{name}: {result}")
    fine = (OUTCOMES[0], OUTCOMES[SKIPPED])
    return int(not all(each.startswith(fine) for each in results.values()))


if __name__ == "__main__":
    sys.exit(main())
