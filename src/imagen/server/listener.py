"""The address that the server listens on: a TCP port or a Unix socket."""

import errno
import os
import socket
from contextlib import closing, suppress
from ipaddress import ip_address
from pathlib import Path
from stat import S_ISSOCK

import msgspec

from imagen.domain.errors import Unavailable, UsageError

_HIGHEST_PORT = 65535
_UNIX = "unix:"
# uvicorn's own default for a socket that it binds itself.
_BACKLOG = 2048


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """An interface and a port to listen on, or the path of a Unix socket.

    Attributes:
        host: A host name or an IP address, without brackets.
        port: 0 picks a free port.
        path: The path of a Unix socket; "" for TCP.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"{_UNIX}{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as the log shows it."""
        return str(self) if self.path else f"http://{self}"

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach the address."""
        if self.path:
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str) -> Address:
    """Parse `HOST:PORT`, `unix:PATH`, or `:PORT` or `PORT` for the loopback interface.

    Raises:
        UsageError: the text has another format, or the port is above 65535.
    """
    text = text.strip()
    if text.startswith(_UNIX) and text != _UNIX:
        return Address(path=text.removeprefix(_UNIX))
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdecimal()):
        raise UsageError(
            f"Invalid listen address {text!r}.",
            hint="Use PORT (only this machine can connect), HOST:PORT such as "
            "0.0.0.0:8080, or unix:PATH.",
        )
    if int(port) > _HIGHEST_PORT:
        raise UsageError(
            f"Invalid port {port}.", hint=f"Use a port up to {_HIGHEST_PORT}."
        )
    return Address(host=host or "127.0.0.1", port=int(port))


def bind(address: Address) -> socket.socket:
    """Return a socket that listens on the address.

    A Unix socket can be used by the user and the group of the server.

    Raises:
        UsageError: the address is in use.
        Unavailable: the address cannot be bound for another reason.
    """
    try:
        return _bind_unix(address.path) if address.path else _bind_tcp(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"{address} is in use."
                if address.path
                else f"Port {address.port} of {address.host} is in use.",
                hint="Stop the other program, or choose another address with --addr.",
            ) from error
        # Python repeats the address behind the reason.
        reason = (error.strerror or str(error)).partition(" (while ")[0]
        raise Unavailable(
            f"Cannot listen on {address}: {reason}.",
            hint="Choose another address with --addr.",
        ) from error


def release(address: Address) -> None:
    """Delete the file of a Unix socket."""
    if address.path:
        with suppress(OSError):
            Path(address.path).unlink()


def _bind_tcp(address: Address) -> socket.socket:
    [(family, *_, found), *_] = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return socket.create_server(
        found,
        family=family,
        backlog=_BACKLOG,
        dualstack_ipv6=family == socket.AF_INET6 and socket.has_dualstack_ipv6(),
    )


def _bind_unix(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        # Between `bind` and `chmod` any user could connect.
        before = os.umask(0o117)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: str) -> None:
    """Delete the socket of a server that was killed; nothing else is deleted."""
    file = Path(path)
    with suppress(FileNotFoundError):
        if not S_ISSOCK(file.lstat().st_mode):
            return
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                file.unlink()
