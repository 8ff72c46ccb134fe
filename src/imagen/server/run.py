"""Listens, serves, and ends in good order."""

import ctypes
import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from sys import setswitchinterval
from threading import stack_size
from types import FrameType

import uvicorn

from imagen.domain.errors import Unavailable, UsageError
from imagen.server.address import Address
from imagen.server.app import build_app
from imagen.server.desk import Desk
from imagen.server.keys import read_keys
from imagen.server.workshop import Workshop
from imagen.settings.environment import Environment
from imagen.settings.model import Settings

GRACE = 30
"""Seconds that running requests get to end when the server is told to stop."""


def serve(
    settings: Settings,
    address: Address,
    *,
    environment: Environment,
    say: Callable[[str], None],
) -> int:
    """Serve until a signal ends it, and return what the shell is told.

    A second signal ends it at once.

    What runs when it is told to stop is finished. What is not over after a while stays
    in the journal, and the next server asks for it: nothing that is paid for is
    cancelled.

    Raises:
        UsageError: others can reach the address, and no key is needed.
        Unavailable: the address cannot be listened on.
    """
    keys = read_keys(environment.serve_keys)
    if not (keys or address.is_loopback):
        raise UsageError(
            f"Others can reach {address}, so $IMAGEN_SERVE_KEYS must say who may use "
            "the server.",
            hint="Set it to NAME:KEY, several with commas; or listen on :PORT, which "
            "only this machine reaches.",
        )
    _have_files_enough()
    _give_memory_back()
    setswitchinterval(_SWITCH)
    stack_size(_STACK)
    with closing(_listening(address)) as listening:
        workshop = Workshop(settings, environment=environment, say=say)
        desk = Desk(workshop)
        server = _Server(
            uvicorn.Config(
                build_app(workshop, desk, keys=keys),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE,
            ),
            desk,
        )
        port = listening.getsockname()[1]
        say(f"listening on http://{Address(host=address.host, port=port)}")
        server.run([listening])
        if desk.open:
            say(f"{desk.open} requests were not over; the next server asks for them")
            os._exit(server.exit_code)  # their threads would wait for their backends
    return server.exit_code


class _Server(uvicorn.Server):
    """Ends like any program that a signal ends, once what runs is over.

    Attributes:
        exit_code: What the shell is told.
    """

    def __init__(self, config: uvicorn.Config, desk: Desk) -> None:
        super().__init__(config)
        self.exit_code = 0
        self._desk = desk

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop taking requests in; the second time, stop."""
        del frame
        if self.should_exit:
            os._exit(128 + sig)
        self.exit_code = 128 + sig if sig == signal.SIGINT else 0
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Send away those who wait for a turn, and let the others finish."""
        self._desk.close(GRACE)
        await super().shutdown(sockets)


_SWITCH = 0.0005
"""Seconds after which a thread makes room for another: what waits for a client or a
backend must not wait for what encodes a picture."""
_STACK = 512 * 1024
"""Bytes for the stack of each of up to thousands of threads."""


def _have_files_enough() -> None:
    """Have as many connections open as the system lets us, not as is usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


_MOST_FILES = 65_536


def _give_memory_back() -> None:
    """Have glibc keep no heap for each thread, nor what a picture has left behind."""
    with suppress(OSError, AttributeError):  # another C library has no such knobs
        mallopt = ctypes.CDLL(None).mallopt
        for knob, value in _KNOBS.items():
            mallopt(knob, value)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KNOBS = {_M_ARENA_MAX: 2, _M_TRIM_THRESHOLD: 128 * 1024, _M_MMAP_THRESHOLD: 64 * 1024}


def _listening(address: Address) -> socket.socket:
    try:
        [(family, kind, number, _, where), *_] = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listening = socket.socket(family, kind, number)
    except OSError as error:
        raise _unusable(address, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _unusable(address, error) from error
    return listening


_BACKLOG = 2048


def _unusable(address: Address, error: OSError) -> Unavailable:
    return Unavailable(
        f"{address} cannot be listened on: {error.strerror or error}.",
        hint="Choose another one with --addr.",
    )
