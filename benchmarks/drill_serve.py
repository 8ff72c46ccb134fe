"""Kill a server amid paid requests; afterwards every paid image is stored once.

    python -m benchmarks.drill_serve --requests 10000 --kills 20

A Replicate of our own counts what it was paid for; clients repeat their requests under
the same Idempotency-Key until they have an answer.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import Verdicts, arguments
from tests.integration.serve.drill import Drill


def main(argv: Sequence[str] | None = None) -> int:
    words = arguments(__doc__)
    words.add_argument("--requests", type=int, default=10_000)
    words.add_argument("--kills", type=int, default=20)
    words.add_argument("--at-once", type=int, default=16)
    words.add_argument("--seed", type=int, default=1)
    given = words.parse_args(argv)
    if given.smoke:
        given.requests, given.kills, given.at_once = 12, 2, 4
    verdicts = Verdicts(smoke=given.smoke)
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
    verdicts.promise("nothing lost, nothing paid twice", holds=whole)
    return verdicts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
