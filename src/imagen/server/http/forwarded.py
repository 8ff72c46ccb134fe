"""The client, host and scheme of a request that came through a trusted proxy."""

from collections.abc import Iterable, MutableMapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

UNIX = "unix"
"""Stands for every client of a Unix socket."""

Network: TypeAlias = IPv4Network | IPv6Network


class TrustedProxies:
    """The proxies whose X-Forwarded headers are believed.

    Args:
        trusted: IP addresses, networks such as 10.0.0.0/8, or `unix`.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._networks: list[Network] = []
        self._unix = False
        for each in trusted:
            if each == UNIX:
                self._unix = True
            else:
                self._networks.append(ip_network(each, strict=False))

    def apply(self, scope: MutableMapping[str, Any]) -> None:
        """Replace client, scheme and Host header by those that a trusted proxy names.

        Only the last value of each header counts: a proxy appends to what its client
        sent, and the client may be an attacker.
        """
        client = scope.get("client")
        if not self._trusts(client[0] if client else ""):
            return
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])

        def values(name: bytes) -> list[str]:
            texts = [value.decode("latin-1") for each, value in headers if each == name]
            parts = (part.strip() for text in texts for part in text.split(","))
            return [part for part in parts if part]

        if hosts := values(b"x-forwarded-host"):
            headers = [each for each in headers if each[0] != b"host"]
            headers.append((b"host", hosts[-1].encode("latin-1")))
            scope["headers"] = headers
        schemes = values(b"x-forwarded-proto")
        if schemes and schemes[-1].lower() in {"http", "https"}:
            scope["scheme"] = schemes[-1].lower()
        # The nearest address that is not a proxy's.
        addresses = values(b"x-forwarded-for")
        strangers = (each for each in reversed(addresses) if not self._trusts(each))
        if (stranger := next(strangers, None)) is not None:
            scope["client"] = (stranger, 0)

    def _trusts(self, address: str) -> bool:
        if not address:
            return self._unix
        if not self._networks:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        # A listener on `::` reports IPv4 clients as ::ffff:10.0.0.1.
        mapped = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(mapped in network for network in self._networks)
