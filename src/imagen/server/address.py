"""The listen address that `--addr` sets."""

from ipaddress import ip_address

import msgspec

from imagen.domain.errors import UsageError

LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65535


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """An interface and a port to listen on.

    Attributes:
        host: A host name or an IP address, without brackets.
        port: 0 picks a free port.
    """

    host: str = LOOPBACK
    port: int = 8080

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
    return Address(host=host or LOOPBACK, port=int(port))
