"""A process that can start no more threads."""

from collections.abc import Generator
from contextlib import contextmanager
from threading import stack_size


@contextmanager
def no_more_threads() -> Generator[None]:
    """Let every start of a thread fail, because its stack does not fit the memory."""
    before = stack_size(2**47)
    try:
        yield
    finally:
        stack_size(before)
