"""Run commands one after the other in the environment of this process.

    python -m tests.e2e.environments STDIO < COMMANDS > RESULTS

COMMANDS is a JSON list of command lines, RESULTS a JSON list of `[code, out, err]`.
Each command has a process of its own, a fork: its modules are loaded already.
"""

import json
import os
import pkgutil
import sys
from importlib import import_module
from pathlib import Path

import imagen.cli
from imagen.cli.app import main


def run(words: list[str], stdio: str) -> tuple[int, str, str]:
    """Run one command; STDIO is `files`, `closed` or `full`."""
    out, err = os.memfd_create("out"), os.memfd_create("err")
    child = os.fork()
    if not child:
        os._exit(_run(words, stdio, out, err))
    _, status = os.waitpid(child, 0)
    printed = (Path(f"/proc/self/fd/{number}").read_text() for number in (out, err))
    result = (os.waitstatus_to_exitcode(status), *printed)
    os.close(out)
    os.close(err)
    return result


def _run(words: list[str], stdio: str, out: int, err: int) -> int:
    if stdio == "closed":
        for number in range(3):
            os.close(number)
        sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment]
        return main(words)
    stdout = os.open("/dev/full", os.O_WRONLY) if stdio == "full" else out
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, err)):
        os.dup2(file, number)
    # As Python opened them, with the encoding of this environment.
    return main(words)


if __name__ == "__main__":
    for module in pkgutil.walk_packages(imagen.cli.__path__, "imagen.cli."):
        import_module(module.name)
    commands = json.load(sys.stdin)
    json.dump([run(words, *sys.argv[1:]) for words in commands], sys.stdout)
