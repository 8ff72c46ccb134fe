"""The mock: one picture of 1024x1024, painted and encoded, against 150 ms."""

import statistics
import sys
import time
from collections.abc import Sequence

from benchmarks.common import Verdicts, arguments

from imagen.adapters.backends.mock.painter import encode_png, paint

LIMIT_MS = 150.0


def main(argv: Sequence[str] | None = None) -> int:
    smoke = arguments(__doc__).parse_args(argv).smoke
    side, pictures = (128, 2) if smoke else (1024, 40)
    milliseconds: list[float] = []
    for seed in range(1, pictures + 1):
        start = time.perf_counter()
        picture = paint(
            prompt="a wide editorial header about RAG systems",
            negative="",
            seed=seed,
            width=side,
            height=side,
            steps=20,
        )
        size = len(encode_png(picture))
        milliseconds.append((time.perf_counter() - start) * 1000)
    print(f"worst {max(milliseconds):.0f} ms, last file {size / 1000:.0f} kB")
    verdicts = Verdicts(smoke=smoke)
    median = statistics.median(milliseconds)
    verdicts.at_most(f"mock {side}x{side}, median", median, LIMIT_MS, " ms")
    return verdicts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
