"""Start-up of `version`, `usage`, `history`, `generate` and `import imagen`.

The peers are a bare one-command cyclopts program and a bare interpreter.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import IMAGEN, Verdicts, arguments, wall_times

GENERATE_LIMIT = 2.5
"""On 2026-12-01: 2.4 of CPU time (79 ms for bare cyclopts, 190 ms for `generate`, of
which about 40 ms are painting 1024x1024; 153 ms at 16x16)."""

BARE = """
from cyclopts import App
app = App(name="bare")
@app.default
def main(word: str = "x"):
    '''Print a word.'''
    print(word)
app()
"""


def main(argv: Sequence[str] | None = None) -> int:
    smoke = arguments(__doc__).parse_args(argv).smoke
    size = "64x64" if smoke else "1024x1024"
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(BARE)
        python = sys.executable
        seconds = wall_times(
            {
                "bare cyclopts": [python, str(bare)],
                "imagen version": [IMAGEN, "version"],
                "imagen usage": [IMAGEN, "usage"],
                "imagen history": [IMAGEN, "history"],
                "imagen generate": [
                    IMAGEN, "generate", "a fox", "--size", size, "-o", folder,
                ],
                "bare python": [python, "-c", "pass"],
                "import imagen": [python, "-c", "import imagen"],
            },
            rounds=1 if smoke else 20,
            warm_up=not smoke,
            env={"HOME": folder},
        )  # fmt: skip
    verdicts = Verdicts(smoke=smoke)
    verdicts.ratio(seconds, of="imagen version", to="bare cyclopts", limit=1.0)
    verdicts.ratio(seconds, of="imagen usage", to="bare cyclopts", limit=1.5)
    verdicts.ratio(seconds, of="imagen history", to="bare cyclopts", limit=1.5)
    verdicts.ratio(
        seconds, of="imagen generate", to="bare cyclopts", limit=GENERATE_LIMIT
    )
    verdicts.ratio(seconds, of="import imagen", to="bare python", limit=2.0)
    return verdicts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
