"""Operating-system limits of the server and its workers."""

import ctypes
import resource
import signal
import sys
from contextlib import suppress
from threading import stack_size

# Bytes. A worker can run thousands of threads, and glibc reserves 8 MiB for each stack
# by default.
_STACK_BYTES = 512 * 1024
_MAX_OPEN_FILES = 65_536

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# glibc keeps a heap for each thread and does not return freed image buffers to the
# system: few arenas, early trimming, and mmap for buffers above 64 KiB.
_MALLOC_OPTIONS = {
    _M_ARENA_MAX: 2,
    _M_TRIM_THRESHOLD: 128 * 1024,
    _M_MMAP_THRESHOLD: 64 * 1024,
}


def set_process_limits() -> None:
    """Allow many connections and threads, and return freed memory to the system."""
    _raise_file_limit()
    _limit_heap()
    stack_size(_STACK_BYTES)


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (Linux only).

    A process that is frozen, or in a library that lets no other thread run, does not
    notice that the socket to its parent is closed: after `kill -9` of the server such a
    worker kept its calls locked, and the next server could not resume them.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    limit = _MAX_OPEN_FILES if unlimited else min(hard, _MAX_OPEN_FILES)
    if soft < limit:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _limit_heap() -> None:
    # C libraries other than glibc (musl, macOS) have no mallopt.
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _MALLOC_OPTIONS.items():
            mallopt(option, value)
