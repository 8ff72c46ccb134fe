"""What a process that serves many at once asks of the system."""

import ctypes
import resource
from contextlib import suppress
from threading import stack_size

_STACK = 512 * 1024
"""Bytes for the stack of each of up to thousands of threads."""
_MOST_FILES = 65_536

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KNOBS = {_M_ARENA_MAX: 2, _M_TRIM_THRESHOLD: 128 * 1024, _M_MMAP_THRESHOLD: 64 * 1024}


def tune() -> None:
    """Have files and threads enough, and give back what a picture took."""
    _have_files_enough()
    _give_memory_back()
    stack_size(_STACK)


def _have_files_enough() -> None:
    """Have as many connections open as the system lets us, not as is usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _give_memory_back() -> None:
    """Have glibc keep no heap for each thread, nor what a picture has left behind."""
    with suppress(OSError, AttributeError):  # another C library has no such knobs
        mallopt = ctypes.CDLL(None).mallopt
        for knob, value in _KNOBS.items():
            mallopt(knob, value)
