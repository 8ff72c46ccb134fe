"""Memory: 1,000 generations in one process leave it as large as 100 do."""

import sys
import tempfile
from pathlib import Path

import imagen

LIMIT = 1.10


def resident_mib() -> float:
    """Return the resident memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError("VmRSS")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, imagen.Studio() as studio:
        for number in range(1, 1001):
            studio.generate("a fox", size="256x256", seed=number, output=folder)
            if number == 100:
                early = resident_mib()
        late = resident_mib()
    ratio = late / early
    verdict = "holds" if ratio <= LIMIT else "EXCEEDED"
    print(
        f"resident after 100 generations {early:.1f} MiB, after 1,000 {late:.1f} MiB, "
        f"ratio {ratio:.3f}, limit {LIMIT:g}: {verdict}"
    )
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
