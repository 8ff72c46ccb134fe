"""Listens, serves, and ends in good order."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from math import ceil
from types import FrameType
from typing import NoReturn

import uvicorn

from imagen.domain.errors import Unavailable, UsageError
from imagen.server.address import Address
from imagen.server.app import build_app
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.service import ServerContext
from imagen.server.keys import parse_keys
from imagen.server.process_limits import set_process_limits
from imagen.settings.environment import Environment
from imagen.settings.model import Settings

EXTRA_SHUTDOWN_SECONDS = 2
"""Seconds for the answers to those that were not over in time, and for what hangs."""


def serve(
    settings: Settings,
    address: Address,
    *,
    environment: Environment,
    log: Callable[[str], None],
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
    keys = parse_keys(environment.serve_keys)
    if not (keys or address.is_loopback):
        raise UsageError(
            f"Others can reach {address}, so $IMAGEN_SERVE_KEYS must say who may use "
            "the server.",
            hint="Set it to NAME:KEY, several with commas; or listen on :PORT, which "
            "only this machine reaches.",
        )
    set_process_limits()
    with closing(_bind(address)) as listener:
        context = ServerContext(settings, environment=environment, log=log)
        dispatcher = RequestDispatcher(context)
        server = _Server(
            uvicorn.Config(
                build_app(context, dispatcher, keys=keys),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=ceil(settings.serve.grace)
                + EXTRA_SHUTDOWN_SECONDS,
            ),
            dispatcher,
        )
        port = listener.getsockname()[1]
        log(f"listening on http://{Address(host=address.host, port=port)}")
        server.run([listener])
    return server.exit_code


class _Server(uvicorn.Server):
    """Ends like any program that a signal ends, once what runs is over.

    Attributes:
        exit_code: What the shell is told.
    """

    def __init__(self, config: uvicorn.Config, dispatcher: RequestDispatcher) -> None:
        super().__init__(config)
        self.exit_code = 0
        self._dispatcher = dispatcher

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop taking requests in; the second time, stop."""
        del frame
        if self.should_exit:
            self._exit_now(128 + sig)
        self.exit_code = 128 + sig if sig == signal.SIGINT else 0
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Send away those who wait for a turn, and let the others finish."""
        self._dispatcher.close()
        await super().shutdown(sockets)
        if self._dispatcher.open:
            self._dispatcher.context.log(
                f"{self._dispatcher.open} requests were not over; the next server "
                "asks for them"
            )
        self._exit_now(self.exit_code)

    def _exit_now(self, code: int) -> NoReturn:
        """End with whatever runs; Python would wait for it, and for whom it asks."""
        self._dispatcher.context.workers.kill()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _bind(address: Address) -> socket.socket:
    try:
        [(family, kind, protocol, _, socket_address), *_] = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _bind_error(address, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(socket_address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _bind_error(address, error) from error
    return listener


_BACKLOG = 2048


def _bind_error(address: Address, error: OSError) -> Unavailable:
    return Unavailable(
        f"{address} cannot be listened on: {error.strerror or error}.",
        hint="Choose another one with --addr.",
    )
