"""Memory: 1,000 generations in one process leave it as large as 100 do."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import Verdicts, arguments

import imagen

LIMIT = 1.10


def resident_mib() -> float:
    """Return the resident memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError("VmRSS")


def main(argv: Sequence[str] | None = None) -> int:
    smoke = arguments(__doc__).parse_args(argv).smoke
    first, last = (3, 10) if smoke else (100, 1000)
    with tempfile.TemporaryDirectory() as folder, imagen.Studio() as studio:
        for number in range(1, last + 1):
            studio.generate("a fox", size="256x256", seed=number, output=folder)
            if number == first:
                early = resident_mib()
        late = resident_mib()
    print(f"resident after {first} generations {early:.1f} MiB, then {late:.1f} MiB")
    verdicts = Verdicts(smoke=smoke)
    what = f"memory after {last} generations, in times of that after {first}"
    verdicts.at_most(what, late / early, LIMIT)
    return verdicts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
