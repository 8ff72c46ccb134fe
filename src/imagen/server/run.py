"""Listens, serves, and ends in good order."""

import socket
from collections.abc import Callable
from contextlib import closing

import uvicorn

from imagen.domain.errors import Unavailable, UsageError
from imagen.server.address import Address
from imagen.server.app import build_app
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
) -> None:
    """Serve until a signal ends it.

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
    with closing(_listening(address)) as listening:
        workshop = Workshop(settings, environment=environment)
        config = uvicorn.Config(
            build_app(workshop, keys=keys),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            proxy_headers=False,
        )
        port = listening.getsockname()[1]
        say(f"listening on http://{Address(host=address.host, port=port)}")
        uvicorn.Server(config).run([listening])


def _listening(address: Address) -> socket.socket:
    try:
        [(family, kind, number, _, where), *_] = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listening = socket.socket(family, kind, number)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(2048)
    except OSError as error:
        raise Unavailable(
            f"{address} cannot be listened on: {error.strerror or error}.",
            hint="Choose another one with --addr.",
        ) from error
    return listening
