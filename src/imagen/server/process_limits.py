"""What a process that serves many at once asks of the system."""

import ctypes
import resource
import signal
import sys
from contextlib import suppress
from threading import stack_size

_STACK_BYTES = 512 * 1024
"""Bytes for the stack of each of up to thousands of threads."""
_MAX_OPEN_FILES = 65_536

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MALLOC_OPTIONS = {
    _M_ARENA_MAX: 2,
    _M_TRIM_THRESHOLD: 128 * 1024,
    _M_MMAP_THRESHOLD: 64 * 1024,
}


def set_process_limits() -> None:
    """Have files and threads enough, and give back what a picture took."""
    _raise_file_limit()
    _limit_heap()
    stack_size(_STACK_BYTES)


def end_with_parent() -> None:
    """Have the system end this process with the one that started it, where it can.

    Who is frozen, or in a library that lets no other thread run, would not notice.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _raise_file_limit() -> None:
    """Have as many connections open as the system lets us, not as is usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = (
        _MAX_OPEN_FILES
        if hard == resource.RLIM_INFINITY
        else min(hard, _MAX_OPEN_FILES)
    )
    if soft < limit:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _limit_heap() -> None:
    """Have glibc keep no heap for each thread, nor what a picture has left behind."""
    with suppress(OSError, AttributeError):  # another C library has no such knobs
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _MALLOC_OPTIONS.items():
            mallopt(option, value)
