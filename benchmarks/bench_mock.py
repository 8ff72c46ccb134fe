"""The mock: one picture of 1024x1024, painted and encoded, against 150 ms."""

import statistics
import sys
import time

from imagen.adapters.backends.mock.painter.picture import encode_png, paint

LIMIT_MS = 150.0


def main() -> int:
    milliseconds: list[float] = []
    for seed in range(1, 41):
        start = time.perf_counter()
        picture = paint(
            prompt="a wide editorial header about RAG systems",
            negative="",
            seed=seed,
            width=1024,
            height=1024,
            steps=20,
        )
        size = len(encode_png(picture))
        milliseconds.append((time.perf_counter() - start) * 1000)
    median, worst = statistics.median(milliseconds), max(milliseconds)
    holds = median <= LIMIT_MS
    print(
        f"mock 1024x1024: median {median:.0f} ms, worst {worst:.0f} ms, last file "
        f"{size / 1000:.0f} kB, limit {LIMIT_MS:g} ms: "
        + ("holds" if holds else "EXCEEDED")
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
