"""Kill paid generations at random moments; afterwards nothing is lost or paid twice.

    python -m benchmarks.drill_kill --runs 200 --trouble none --vendor replicate

A vendor of our own counts what it was paid for. Each run is the installed command,
ended by SIGKILL at a moment drawn by chance; then `imagen resume --all`, killed as well
a few times. At the end images paid = images stored = sidecars = rows in the
ledger = images in the history, and no job has two. A vendor without a list of jobs may
also have jobs of calls that were killed before its response came: these stay open.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import IMAGEN, Verdicts, arguments
from benchmarks.paid_vendors import VENDORS, PaidVendor, open_vendor

TROUBLES: dict[str, dict[str, object]] = {
    "none": {},
    "drop": {"accepts_then": "drop"},
    "500": {"accepts_then": "500"},
    "throttle": {"refuses_with": 429, "waits": 0.1, "times": 1},
    "late": {"answer_late": 0.2},
}


def main(argv: Sequence[str] | None = None) -> int:
    words = arguments(__doc__)
    words.add_argument("--runs", type=int, default=200)
    words.add_argument("--trouble", choices=TROUBLES, default="none")
    words.add_argument("--vendor", choices=VENDORS, default=VENDORS[0])
    words.add_argument("--seed", type=int, default=None)
    words.add_argument("--killed-resumes", type=int, default=5)
    given = words.parse_args(argv)
    if given.smoke:
        given.runs, given.killed_resumes = 2, 1
    verdicts = Verdicts(smoke=given.smoke)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_vendor(given.vendor) as vendor,
    ):
        whole = drill(
            Path(folder),
            vendor,
            runs=given.runs,
            killed_resumes=given.killed_resumes,
            trouble=given.trouble,
            seed=given.seed,
        )
    verdicts.promise("nothing lost, nothing paid twice", holds=whole)
    return verdicts.exit_code()


def drill(
    folder: Path,
    vendor: PaidVendor,
    *,
    runs: int,
    killed_resumes: int,
    trouble: str,
    seed: int | None,
) -> bool:
    dice, server = random.Random(seed), vendor.server
    user = User(folder, vendor)
    if trouble not in {"none", "throttle"}:
        server.trouble(**TROUBLES[trouble])
    usual = user.time_run()
    ends: Counter[str] = Counter()
    for number in range(runs):
        if trouble == "throttle":
            server.trouble(**TROUBLES[trouble])
        ends[user.generate_and_kill(dice.uniform(0.02, usual * 1.05), number)] += 1
    server.calm()
    for _ in range(killed_resumes):
        user.run_and_kill("resume", "--all", after=dice.uniform(0.3, usual * 2))
    last = user.run("resume", "--all")
    found = user.count_images()
    print(f"{trouble}: {runs} runs, each killed within {usual * 1.05:.2f} s")
    print(dict(ends))
    print(f"the last resume ended with {last.returncode}")
    print(f"created {server.created}, paid {server.paid}, {found}")
    unknown = user.open_calls()
    print(f"still open, without a known job: {len(unknown)}")
    stored = len(user.jobs())
    lost = server.created - stored
    print(f"jobs without an image: {lost}")
    return (
        set(found.values()) == {stored}
        and server.created == server.paid
        and 0 <= lost <= (0 if vendor.has_list else len(unknown))
        and all(each["state"] == "sent" for each in unknown)
    )


class User:
    """A user with a config, a folder for images, and a token."""

    def __init__(self, folder: Path, vendor: PaidVendor) -> None:
        self.folder = folder
        self.images = folder / "images"
        self._vendor = vendor
        config = f"backends:\n  paid: {{{vendor.backend}, concurrency: 4}}\n"
        (folder / "imagen.yaml").write_text(config)
        self.env = {
            **os.environ,
            "HOME": str(folder),
            "IMAGEN_CONFIG": str(folder / "imagen.yaml"),
            "IMAGEN_DATA_DIR": str(folder / "data"),
            vendor.key_env: vendor.server.token,
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [IMAGEN, *words], env=self.env, capture_output=True, text=True, check=False
        )

    def time_run(self) -> float:
        began = time.perf_counter()
        done = self.run(*self._generate(0))
        if done.returncode:
            sys.exit(done.stderr)
        return time.perf_counter() - began

    def generate_and_kill(self, seconds: float, number: int) -> str:
        return self.run_and_kill(*self._generate(number), after=seconds)

    def start(
        self, *words: str, stderr: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [IMAGEN, *words],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )

    def run_and_kill(self, *words: str, after: float) -> str:
        process = self.start(*words)
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        code = process.returncode
        return "killed" if code == -signal.SIGKILL else f"exit {code}"

    def count_images(self) -> dict[str, int]:
        rows = self.run("usage", "--raw", "--json").stdout.splitlines()
        return {
            "images": len(list(self.images.glob(f"*.{self._vendor.suffix}"))),
            "sidecars": len(list(self.images.glob("*.json"))),
            "ledger": sum(json.loads(row)["status"] == "ok" for row in rows),
            "history": len(
                self.run("history", "--limit", "0", "--json").stdout.splitlines()
            ),
        }

    def jobs(self) -> set[str]:
        notes = [json.loads(path.read_bytes()) for path in self.images.glob("*.json")]
        return {note["parameters"][self._vendor.job_id] for note in notes}

    def open_calls(self) -> list[dict[str, object]]:
        return [
            json.loads(line) for line in self.run("jobs", "--json").stdout.splitlines()
        ]

    def _generate(self, number: int) -> tuple[str, ...]:
        return (
            "generate",
            f"a fox, number {number}",
            *("--backend", "paid", "--size", "1024x1024", "-o", f"{self.images}/"),
        )


if __name__ == "__main__":
    sys.exit(main())
