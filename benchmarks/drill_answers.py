"""Give hostile answers around paid calls; afterwards all that can be had is stored.

    python -m benchmarks.drill_answers [--only WORDS] [--explain]

Each kind of answer (`answers/kinds.py`) meets one `imagen generate`, and then `imagen
resume` until no call is open. The vendor has Replicate's protocol; it and the command
share a clock whose waits take no time. Each kind has an expectation: the jobs that the
vendor accepted, the images stored, the files rescued, the calls open at the end.
"""

import io
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import msgspec
from benchmarks.answers.kinds import LASTS, ONCE, Kind, list_kinds
from benchmarks.answers.vendor import HostileVendor
from benchmarks.common import Verdicts, arguments

from imagen.bootstrap.runtime import Runtime
from imagen.cli.app import main as run_command
from imagen.testing.fakes import FakeClock

CONFIG = """\
backends:
  paid: {{adapter: replicate, model: black-forest-labs/flux-schnell, base_url: "{url}"}}
"""
GENERATE = ("generate", "a fox", "--backend", "paid", "--size", "1024x1024")
SMOKE = {"connection reset, accepted", "HTML", "JSON null", "a nested list"}
MAX_RESUMES = 6
MAX_SECONDS = 600.0
"""The longest time of a command by its own clock: the timeout of a job."""

AT_ONCE = 6
"""Processes: most kinds use the CPU, and some wait for an answer that never comes."""

CLOSED_PORT = "http://127.0.0.1:9"
COLUMNS = ("exit", "submitted", "stored", "rescued", "open", "resumes")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of answer led to; `problems` are the differences."""

    exit: int
    submitted: int
    stored: int
    rescued: int
    open: int
    resumes: int
    problems: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()


def main(argv: Sequence[str] | None = None) -> int:
    words = arguments(__doc__)
    words.add_argument("--only", default="", help="kinds whose title has these words")
    words.add_argument("--explain", action="store_true", help="show what was printed")
    given = words.parse_args(argv)
    verdicts = Verdicts(smoke=given.smoke)
    kinds = {
        number: kind
        for number, kind in enumerate(list_kinds())
        if given.only in kind.title and (kind.name in SMOKE or not given.smoke)
    }
    # New processes: the clock is replaced in each, and servers have threads.
    context = multiprocessing.get_context("spawn")
    broken = 0
    print(f"{'':70}", *COLUMNS)
    with ProcessPoolExecutor(2 if given.smoke else AT_ONCE, mp_context=context) as pool:
        for kind, result in zip(kinds.values(), pool.map(run_kind, kinds), strict=True):
            title = kind.title + (f", {LASTS[kind.lasts]}" if kind.changes else "")
            cells = [f"{getattr(result, name):{len(name)}}" for name in COLUMNS]
            problems = [f"BROKEN: {problem}" for problem in result.problems]
            print(f"{title:70}", *cells, *problems, flush=True)
            if given.explain or problems:
                print(*result.printed, sep="\n")
            broken += bool(problems)
    distinct = len({kind.title for kind in kinds.values()})
    print(f"{distinct} kinds, {len(kinds)} calls, {broken} not as expected")
    verdicts.promise(
        "submitted once, and everything that can be had is stored", holds=not broken
    )
    return verdicts.exit_code()


def run_kind(number: int) -> Result:
    """Run one kind of the list in this process."""
    clock = FakeClock(datetime.now(UTC).replace(microsecond=0))
    Runtime.clock = clock  # type: ignore[assignment,method-assign]
    vendor = HostileVendor(clock)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return User(Path(folder), vendor, clock).meet(list_kinds()[number])
    finally:
        vendor.stop()


class User:
    """A user with a config, a folder for images and a token."""

    def __init__(self, folder: Path, vendor: HostileVendor, clock: FakeClock) -> None:
        self.vendor, self.clock = vendor, clock
        self.config = folder / "imagen.yaml"
        self.images, self.data = folder / "images", folder / "data"
        self.printed: list[str] = []
        self.longest = 0.0
        for name in os.environ.keys() - {"PATH", "LANG", "TZ", "TMPDIR"}:
            del os.environ[name]
        os.environ["HOME"] = str(folder)
        os.environ["IMAGEN_CONFIG"] = str(self.config)
        os.environ["IMAGEN_DATA_DIR"] = str(self.data)
        os.environ["REPLICATE_API_TOKEN"] = "r8_drill"

    def meet(self, kind: Kind) -> Result:
        """Generate an image, and resume until no call is open."""
        vendor, command = self.vendor, 1
        vendor.changes, vendor.accepts = kind.changes, kind.accepts
        vendor.output = kind.output
        vendor.hostile = lambda changed: (
            changed == 0 if kind.lasts == ONCE else command <= kind.lasts
        )
        url = vendor.url if kind.reachable else CLOSED_PORT
        self.config.write_text(CONFIG.format(url=f"{url}/v1"))
        code = self.run(*GENERATE, "-o", f"{self.images}/")
        while self.list("jobs") and command <= MAX_RESUMES:
            command += 1
            self.clock.wait(Event(), kind.seconds)
            self.run("resume")
        sidecars = list(self.images.glob("*.json"))
        found = Result(
            exit=code,
            submitted=len(vendor.jobs),
            stored=len(list(self.images.glob("*"))) - len(sidecars),
            rescued=len(list((self.data / "rescued").glob("*"))),
            open=len(self.list("jobs")),
            resumes=command - 1,
            printed=tuple(self.printed),
        )
        problems = self.compare(kind, found, sidecars)
        return msgspec.structs.replace(found, problems=tuple(problems))

    def compare(
        self, kind: Kind, found: Result, sidecars: Sequence[Path]
    ) -> Iterator[str]:
        """Yield the differences from what is expected."""
        expected = kind.expected
        if found.exit not in expected.codes:
            yield f"exit {sorted(expected.codes)}"
        for name in ("submitted", "stored", "rescued", "open"):
            if getattr(found, name) != (wanted := getattr(expected, name)):
                yield f"{name} {wanted}"
        if kind.changes and not self.vendor.changed:
            yield "the answer was never given"
        if self.longest > MAX_SECONDS:
            yield f"a command waited {self.longest:g} s"
        rows = len(self.list("usage", "--raw"))
        if not found.open and rows != found.submitted:
            yield f"{rows} rows in the ledger"
        if len(sidecars) != found.stored:
            yield f"{len(sidecars)} sidecars"
        for note in map(json.loads, map(Path.read_bytes, sidecars)):
            if note["parameters"]["prediction"] not in self.vendor.jobs:
                yield "the image of another job"
            if note["source_sha256"] not in self.vendor.sent:
                yield "other bytes than were sent"

    def list(self, *words: str) -> list[str]:
        _, output, _ = self._run(*words, "--json")
        return output.splitlines()

    def run(self, *words: str) -> int:
        began = self.clock.monotonic()
        code, *texts = self._run(*words)
        self.longest = max(self.longest, self.clock.monotonic() - began)
        self.printed.append(f"    {words[0]}, exit {code}")
        self.printed += [
            f"        {line}" for text in texts for line in text.split("\n")
        ]
        return code

    def _run(self, *words: str) -> tuple[int, str, str]:
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        with redirect_stdout(out), redirect_stderr(err):
            code = run_command(words)
        texts: list[str] = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().strip())
        return code, texts[0], texts[1]


if __name__ == "__main__":
    sys.exit(main())
