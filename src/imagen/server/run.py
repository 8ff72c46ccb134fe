"""Run the HTTP server: bind the address, serve until a signal, shut down in order."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from math import ceil
from types import FrameType
from typing import NoReturn

import msgspec
import uvicorn

from imagen.domain.errors import ImagenError, UsageError
from imagen.server.app import build_app
from imagen.server.connections import UvicornLog, limit_connections
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.service import ServerContext
from imagen.server.keys import parse_keys
from imagen.server.keys_file import LoadedKeys, read_keys
from imagen.server.listener import Address, bind, release
from imagen.server.process_limits import set_process_limits
from imagen.settings.environment import Environment
from imagen.settings.model import Settings

EXTRA_SHUTDOWN_SECONDS = 2
"""Time beyond `serve.grace` to send the responses of unfinished requests."""


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
        Misconfigured: a key is invalid, or the file of keys cannot be read.
    """
    loaded = _load_keys(settings, environment)
    keys, configured = loaded.keys, settings.budgets
    settings = msgspec.structs.replace(settings, budgets=configured + loaded.budgets)
    if not (keys or address.is_loopback):
        raise UsageError(
            f"Other machines can reach {address}, so $IMAGEN_SERVE_KEYS must be set.",
            hint="Set it to NAME:KEY (separate several with commas), use "
            "`serve.keys_file`, or listen on :PORT, which only this machine can reach.",
        )
    set_process_limits()
    with closing(bind(address)) as listener:
        context = ServerContext(settings, environment=environment, log=log)
        dispatcher = RequestDispatcher(context)

        def reload_keys() -> None:
            try:
                loaded = _load_keys(settings, environment)
            except ImagenError as error:
                log(f"the keys were not reloaded, the old ones stay: {error.message}")
                return
            keys.replace(loaded.keys)
            context.replace_budgets(configured + loaded.budgets)
            log(f"reloaded {len(keys.callers)} keys")

        logging.getLogger("uvicorn.error").addHandler(UvicornLog(log))
        server = _Server(
            uvicorn.Config(
                build_app(context, dispatcher, keys=keys),
                http=limit_connections(settings.serve.connections, log),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=ceil(settings.serve.grace)
                + EXTRA_SHUTDOWN_SECONDS,
            ),
            dispatcher,
            address,
            reload_keys=reload_keys if settings.serve.keys_file else None,
        )
        if not address.path:
            port = listener.getsockname()[1]
            address = Address(host=address.host, port=port)
        log(f"listening on {address.url}")
        server.run([listener])
    return server.exit_code


def _load_keys(settings: Settings, environment: Environment) -> LoadedKeys:
    """Return the keys of the environment and of the file, with their budgets."""
    keys = parse_keys(environment.serve_keys)
    if settings.serve.keys_file is None:
        return LoadedKeys(keys=keys)
    loaded = read_keys(settings.serve.keys_file)
    return msgspec.structs.replace(loaded, keys=loaded.keys.merge(keys))


class _Server(uvicorn.Server):
    """A uvicorn server that exits like any program that is ended by a signal."""

    def __init__(
        self,
        config: uvicorn.Config,
        dispatcher: RequestDispatcher,
        address: Address,
        *,
        reload_keys: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self._reload_keys = reload_keys
        self._address = address
        self.exit_code = 0
        self._dispatcher = dispatcher

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; from now on SIGHUP reads the keys again, if they are in a file."""
        if self._reload_keys is not None:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, self._reload_keys)
        await super().startup(sockets)

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
        release(self._address)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
