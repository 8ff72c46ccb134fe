"""Kill a server amid paid requests; afterwards every paid image is stored once.

    python -m benchmarks.drill_serve --requests 10000 --kills 20

A Replicate of our own counts what it was paid for; clients repeat their requests under
the same Idempotency-Key until they have an answer.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.integration.serve.drill import Drill


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--requests", type=int, default=10_000)
    words.add_argument("--kills", type=int, default=20)
    words.add_argument("--at-once", type=int, default=16)
    words.add_argument("--seed", type=int, default=1)
    given = words.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        drill = Drill(
            Path(folder),
            requests=given.requests,
            kills=given.kills,
            at_once=given.at_once,
            seed=given.seed,
        )
        drill.run()
        drill.finish()
        found = drill.found()
    whole = (
        set(found.values()) == {found["paid"]} and len(drill.answers) == found["paid"]
    )
    print(
        f"{given.requests} requests, {drill.kills} kills, "
        f"{time.perf_counter() - began:.0f} s"
    )
    print(found, dict(drill.refused))
    print("nothing lost, nothing paid twice" if whole else "BROKEN")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
