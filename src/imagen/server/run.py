"""Run the HTTP server: bind the address, serve until a signal, shut down in order."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from ipaddress import ip_address
from math import ceil
from types import FrameType
from typing import NoReturn

import msgspec
import uvicorn

from imagen.domain.errors import Unavailable, UsageError
from imagen.server.app import build_app
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.service import ServerContext
from imagen.server.keys import parse_keys
from imagen.server.process_limits import set_process_limits
from imagen.settings.environment import Environment
from imagen.settings.model import Settings

_HIGHEST_PORT = 65535
EXTRA_SHUTDOWN_SECONDS = 2
"""Time beyond `serve.grace` to send the responses of unfinished requests."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """An interface and a port to listen on.

    Attributes:
        host: A host name or an IP address, without brackets.
        port: 0 picks a free port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach the address."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str) -> Address:
    """Parse `HOST:PORT`, or `:PORT` for the loopback interface.

    Raises:
        UsageError: the text has another format, or the port is above 65535.
    """
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and port.isascii() and port.isdecimal()):
        raise UsageError(
            f"Invalid listen address {text!r}.",
            hint="Use :PORT (only this machine can connect), or HOST:PORT such as "
            "0.0.0.0:8080.",
        )
    if int(port) > _HIGHEST_PORT:
        raise UsageError(
            f"Invalid port {port}.", hint=f"Use a port up to {_HIGHEST_PORT}."
        )
    return Address(host=host or "127.0.0.1", port=int(port))


def serve(
    settings: Settings,
    address: Address,
    *,
    environment: Environment,
    log: Callable[[str], None],
) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit code of the process.

    On the first signal running requests get `serve.grace` seconds to finish. Requests
    that take longer stay in the journal, and the next server resumes them: work that
    is paid for is never cancelled. A second signal exits at once.

    Raises:
        UsageError: other machines can reach the address, and no key is configured.
        Unavailable: the address cannot be bound.
    """
    keys = parse_keys(environment.serve_keys)
    if not (keys or address.is_loopback):
        raise UsageError(
            f"Other machines can reach {address}, so $IMAGEN_SERVE_KEYS must be set.",
            hint="Set it to NAME:KEY (separate several with commas), or listen on "
            ":PORT, which only this machine can reach.",
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
    """A uvicorn server that exits like any program that is ended by a signal."""

    def __init__(self, config: uvicorn.Config, dispatcher: RequestDispatcher) -> None:
        super().__init__(config)
        self.exit_code = 0
        self._dispatcher = dispatcher

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start the shutdown; on the second signal exit at once."""
        del frame
        if self.should_exit:
            self._exit_now(128 + sig)
        self.exit_code = 128 + sig if sig == signal.SIGINT else 0
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Reject queued requests, let running ones finish, then exit."""
        self._dispatcher.close()
        await super().shutdown(sockets)
        if self._dispatcher.open:
            self._dispatcher.context.log(
                f"{self._dispatcher.open} requests did not finish in time; the next "
                "server resumes them"
            )
        self._exit_now(self.exit_code)

    def _exit_now(self, code: int) -> NoReturn:
        # A normal exit waits for every thread that still runs, and cancels unfinished
        # requests with the event loop: nothing was logged about them, and with
        # warnings as errors the process never exited.
        self._dispatcher.context.workers.kill()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _bind(address: Address) -> socket.socket:
    try:
        [(family, *_, found), *_] = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return socket.create_server(
            found,
            family=family,
            backlog=_BACKLOG,
            dualstack_ipv6=family == socket.AF_INET6 and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        # Python repeats the address behind the reason.
        reason = (error.strerror or str(error)).partition(" (while ")[0]
        raise Unavailable(
            f"Cannot listen on {address}: {reason}.",
            hint="Choose another address with --addr.",
        ) from error


# uvicorn's own default for a socket that it binds itself.
_BACKLOG = 2048
