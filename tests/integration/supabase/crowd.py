"""The command, so often at once: `crowd.py PROCESSES WORDS`.

A program of its own, without threads, so that it can fork: each process is one run of
the command, with what it imports already there. It prints the exit codes as JSON; `{}`
in WORDS is the number of the process.
"""

import json
import os
import sys

import postgrest  # noqa: F401 - once, and not in every process
import storage3  # noqa: F401

import imagen.adapters.imaging.convert
import imagen.adapters.supabase.images
import imagen.adapters.supabase.ledger
import imagen.cli.generate
import imagen.cli.sync  # noqa: F401
from imagen.cli.app import main


def crowd(processes: int, words: list[str]) -> list[int]:
    """Run the command in so many processes that begin at the same moment."""
    reader, writer = os.pipe()
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)  # until all are there
            code = 99
            try:
                code = main([word.replace("{}", str(number)) for word in words])
                sys.stderr.flush()
            finally:
                os._exit(code)
        children.append(child)
    os.close(writer)
    os.close(reader)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    codes = crowd(int(sys.argv[1]), sys.argv[2:])
    print("\n" + json.dumps(codes))
