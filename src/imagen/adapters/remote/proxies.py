"""The proxies of the environment, and the hosts that are reached without one."""

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_HOST = re.compile(r"(\*?\.)?[\w-]+(\.[\w-]+)*\.?")
_SEPARATORS = re.compile(r"[,\s]+")

Network: TypeAlias = IPv4Network | IPv6Network


# httpx reads NO_PROXY itself, but fails on `::1/128`, `[::1]` and `host:abc` (0.28),
# and takes `10.0.0.0/8` for a host. Container runtimes inject such values.
class Exemption(NamedTuple):
    """An entry of `NO_PROXY`.

    Attributes:
        scheme: The only scheme that it applies to; "" for any.
        host: A host name, and with a dot before it only its subdomains; "" if there is
            a network.
        network: Addresses; None if there is a host.
        port: The only port that it applies to; None for any.
    """

    scheme: str = ""
    host: str = ""
    network: Network | None = None
    port: int | None = None

    def matches(self, scheme: str, host: str, port: int | None) -> bool:
        """Return whether a URL with these parts is reached without a proxy."""
        if self.scheme not in {"", scheme} or self.port not in {None, port}:
            return False
        if self.network is None:
            name = self.host.lstrip(".")
            return host.endswith(f".{name}") or host == self.host
        try:
            return ip_address(host.partition("%")[0]) in self.network
        except ValueError:
            return False


def find_proxy(url: str) -> str | None:
    """Return the URL of the proxy through which to reach a URL; None for none.

    From `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in small letters, too.
    Entries of `NO_PROXY` are hosts, addresses, networks, each with an optional port, or
    `*`; one that is none of these is skipped with a warning.
    """
    proxies = getproxies()
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or _is_exempt(url, proxies):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_exempt(url: str, proxies: Mapping[str, str]) -> bool:
    entries = tuple(filter(None, _SEPARATORS.split(proxies.get("no", ""))))
    if "*" in entries:
        return True
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return any(each.matches(parts.scheme, host, port) for each in _parse(entries))


@cache
def _parse(entries: Sequence[str]) -> tuple[Exemption, ...]:
    """Parse the entries, and warn once of those that cannot be read."""
    parsed = {entry: parse_entry(entry) for entry in entries}
    unreadable = [entry for entry, found in parsed.items() if found is None]
    if unreadable:
        names = ", ".join(map(ascii, unreadable))
        logging.getLogger("imagen").warning(
            "imagen: warning: NO_PROXY has entries that are not a host, address or "
            "network, and are skipped: %s.",
            names,
        )
    return tuple(found for found in parsed.values() if found is not None)


def parse_entry(entry: str) -> Exemption | None:
    """Parse an entry of `NO_PROXY`; return None if it cannot be read."""
    scheme, separator, rest = entry.lower().rpartition("://")
    if separator and scheme in {"", "all"}:
        scheme = ""
    for text, port in ((rest, None), *_split_port(rest)):
        if (network := _parse_network(text)) is not None:
            return Exemption(scheme=scheme, network=network, port=port)
        if _HOST.fullmatch(text):
            host = text.removeprefix("*").rstrip(".")
            return Exemption(scheme=scheme, host=host, port=port)
    return None


def _split_port(text: str) -> list[tuple[str, int]]:
    host, separator, port = text.rpartition(":")
    if separator and port.isascii() and port.isdigit() and 0 < int(port) < 2**16:
        return [(host, int(port))]
    return []


def _parse_network(text: str) -> Network | None:
    # Also `[::1]/128` and `fe80::1%eth0`.
    address, slash, length = text.partition("/")
    plain = address.removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        return ip_network(f"{plain}{slash}{length}", strict=False)
    except ValueError:
        return None
