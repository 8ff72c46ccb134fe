"""Kill commands at random moments and repeat them: each is paid for once.

    python -m benchmarks.drill_once --kills 200

`generate --count`, the same with `--key`, and `sweep` are killed by SIGKILL, and the
same command is repeated until it has printed all paths; some repetitions run twice at
the same time.
At the end the vendor was paid for exactly the images of the plan, each is stored once,
and the journal has nothing open. A call that was killed after its record and before its
request is given up with `imagen jobs forget`, as the message advises, and counted.
Ten identical commands at once, without a key, make ten images.
"""

import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import Verdicts, arguments
from benchmarks.drill_kill import User
from benchmarks.paid_vendors import open_vendor

AT_ONCE = 10
KILLS_A_COMMAND = 12
"""After so many kills a command runs to its end, so that a slow machine gets there."""


def main(argv: Sequence[str] | None = None) -> int:
    words = arguments(__doc__)
    words.add_argument("--kills", type=int, default=200)
    words.add_argument("--seed", type=int, default=None)
    given = words.parse_args(argv)
    verdicts = Verdicts(smoke=given.smoke)
    dice, kills, number = random.Random(given.seed), 0, 0
    kinds = ("generate --key", "generate", "sweep")
    while number < 1 if given.smoke else kills < given.kills:
        kind = kinds[number % len(kinds)]
        number += 1
        images = 4 if given.smoke else 20 if kind.startswith("generate") else 30
        with tempfile.TemporaryDirectory() as folder:
            most = 2 if given.smoke else KILLS_A_COMMAND
            made, problem = repeat_until_done(Path(folder), kind, images, dice, most)
        kills += made
        print(f"{kind} of {images}: killed {made} times{problem and ': '}{problem}")
        if problem:
            break
    else:
        problem = ""
    verdicts.promise(f"paid once, {kills} kills", holds=not problem)
    at_once = 2 if given.smoke else AT_ONCE
    with tempfile.TemporaryDirectory() as folder:
        verdicts.promise(
            f"{at_once} identical commands at once are {at_once} purchases",
            holds=run_at_once(Path(folder), at_once),
        )
    return verdicts.exit_code()


def repeat_until_done(
    folder: Path, kind: str, images: int, dice: random.Random, most: int
) -> tuple[int, str]:
    """Kill and repeat one command; return the number of kills, and what is wrong."""
    with open_vendor("replicate") as vendor:
        user, server = User(folder, vendor), vendor.server
        command = _words(user, kind, images)
        kills = forgotten = late = 0
        while True:
            processes = [user.start(*command)]
            # `generate` without a key is a new purchase while the first one runs.
            if kills and kind != "generate" and dice.random() < 0.5:
                processes.append(user.start(*command, stderr=subprocess.PIPE))
            try:
                # Longer each time: to look a lost job up takes some seconds.
                longest = (0.4 + images * 0.1) * (1 + kills / 4)
                longest = dice.uniform(0.1, longest)
                processes[0].wait(longest if kills < most else None)
            except subprocess.TimeoutExpired:
                for each in processes:
                    each.kill()
            ended = [each.communicate() for each in processes]
            printed = [len(paths.splitlines()) for paths, _ in ended]
            codes = [each.returncode for each in processes]
            # A sweep that begins when the other one has ended is a new purchase. It
            # neither waits nor continues.
            if kind == "sweep" and b"interrupted" not in (words := ended[-1][1] or b""):
                late += len(processes) == 2 and b"Waiting" not in words
            kills += sum(code < 0 for code in codes)
            # Killed between the record of a call and its request: no lookup finds it,
            # and only the user may say that it does not exist.
            unknown = [
                str(each["id"])
                for each in (user.open_calls() if 7 in codes else ())
                if each.get("state") == "sent"
            ]
            if unknown:
                user.run("jobs", "forget", *unknown)
                forgotten += len(unknown)
                continue
            if any(code > 0 for code in codes):
                return kills, f"exit codes {codes}"
            # One that has printed every path was killed when it was done already.
            if 0 in codes or images in printed:
                break
        for each in range(2 if kind == "generate --key" else 0):
            done = user.run(*command)
            if done.returncode or len(done.stdout.splitlines()) != images:
                return kills, f"repetition {each}: {done.stdout}{done.stderr}"
        found = {**user.count_images(), "predictions": len(user.jobs())}
        whole = images * max(1, min(server.created // images, 1 + late))
        if {server.created, server.paid, *found.values()} != {whole}:
            return kills, f"created {server.created}, paid {server.paid}, {found}"
        if forgotten:
            print(f"forgotten by the user, since no job was found: {forgotten} calls")
        left = [each for each in user.open_calls() if each.get("images_left", 1)]
        return kills, f"still open: {left}" if left else ""


def run_at_once(folder: Path, at_once: int) -> bool:
    """Run identical commands without a key at once; return whether all are paid."""
    with open_vendor("replicate") as vendor:
        user, server = User(folder, vendor), vendor.server
        processes = [user.start(*_words(user, "generate", 1)) for _ in range(at_once)]
        for each in processes:
            each.communicate()
        codes = {each.returncode for each in processes}
        found = set(user.count_images().values())
        return (codes, server.paid, found) == ({0}, at_once, {at_once})


def _words(user: User, kind: str, images: int) -> list[str]:
    end = ["--backend", "paid", "-o", f"{user.images}/"]
    if kind == "sweep":
        return ["sweep", "a fox", "--seed", f"1..{images}", "--no-sheet", *end]
    key = ["--key", "header"] if kind == "generate --key" else []
    return ["generate", "a fox", "--count", str(images), *key, *end]


if __name__ == "__main__":
    sys.exit(main())
