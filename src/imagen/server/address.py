"""Where the server listens, as `--addr` says it."""

from ipaddress import ip_address

import msgspec

from imagen.domain.errors import UsageError

DEFAULT_ADDRESS = ":8080"
LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65535


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """An interface and a port.

    Attributes:
        host: A name or an address, without brackets.
        port: 0 takes any that is free.
    """

    host: str = LOOPBACK
    port: int = 8080

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine reaches it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str) -> Address:
    """Read `HOST:PORT`, or `:PORT`, which is this machine's alone.

    Raises:
        UsageError: it is written differently.
    """
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and port.isascii() and port.isdecimal()):
        raise UsageError(
            f"{text!r} is no address to listen on.",
            hint="Write :PORT for this machine alone, or HOST:PORT, such as "
            "0.0.0.0:8080.",
        )
    if int(port) > _HIGHEST_PORT:
        raise UsageError(f"There is no port {port}.", hint="Give one up to 65535.")
    return Address(host=host or LOOPBACK, port=int(port))
