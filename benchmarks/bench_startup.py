"""Start-up of `version`, `usage`, `history`, `generate` and `import imagen`.

The peers are a bare one-command cyclopts program and a bare interpreter.
"""

import sys
import tempfile
from pathlib import Path

from sidebyside import IMAGEN, report, wall_times

BARE = """
from cyclopts import App
app = App(name="bare")
@app.default
def main(word: str = "x"):
    '''Print a word.'''
    print(word)
app()
"""


def main() -> int:
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
                "imagen generate 1024x1024": [
                    IMAGEN, "generate", "a fox", "--size", "1024x1024", "-o", folder,
                ],
                "bare python": [python, "-c", "pass"],
                "import imagen": [python, "-c", "import imagen"],
            },
            rounds=20,
            env={"HOME": folder},
        )  # fmt: skip
    holds = [
        report(seconds, of="imagen version", to="bare cyclopts", limit=1.0),
        report(seconds, of="imagen usage", to="bare cyclopts", limit=1.5),
        report(seconds, of="imagen history", to="bare cyclopts", limit=1.5),
        report(seconds, of="imagen generate 1024x1024", to="bare cyclopts", limit=2.5),
        report(seconds, of="import imagen", to="bare python", limit=2.0),
    ]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
