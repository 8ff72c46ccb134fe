"""API keys of the server, each with its caller and role."""

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Literal, TypeAlias, get_args

import msgspec

from imagen.domain.errors import Misconfigured

# Characters; shorter keys can be guessed.
_MIN_LENGTH = 16

Role: TypeAlias = Literal["read", "make", "admin"]
"""`read` lists and fetches images; `make` also generates and edits, and cancels its own
jobs; `admin` also deletes images, cancels every job and reads the metrics."""
_ROLES: tuple[Role, ...] = get_args(Role)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of a key."""

    name: str
    role: Role = "admin"


def includes(role: Role, needed: Role) -> bool:
    """Return True if a role may do what another one may do."""
    return _ROLES.index(role) >= _ROLES.index(needed)


class ApiKeys:
    """The API keys of the server, stored as hashes.

    The `repr` shows only their number.

    Attributes:
        callers: The owners by the hash of their key.
    """

    def __init__(self, callers: Mapping[bytes, Caller]) -> None:
        self.callers = callers

    def __repr__(self) -> str:
        return f"<{len(self.callers)} keys>"

    def __bool__(self) -> bool:
        return bool(self.callers)

    def replace(self, keys: "ApiKeys") -> None:
        """Accept the other keys from now on, and no longer these."""
        self.callers = keys.callers

    def merge(self, keys: "ApiKeys") -> "ApiKeys":
        """Return the keys of both.

        Raises:
            Misconfigured: one key is in both.
        """
        if self.callers.keys() & keys.callers.keys():
            raise Misconfigured(
                "A key in `serve.keys_file` is also in $IMAGEN_SERVE_KEYS.",
                hint="Remove one of them.",
            )
        return ApiKeys({**self.callers, **keys.callers})

    def caller_of(self, key: str) -> Caller | None:
        """Return the owner of a key; None for an unknown key."""
        return self._find(digest_key(key), lambda digest: digest)

    def create_session(self, key: str, *, expires: int, secret: bytes) -> str | None:
        """Return a session token for a key; None for an unknown key.

        The token does not reveal the key, and becomes invalid when the key is removed,
        or at `expires`, in seconds since 1970.
        """
        digest = digest_key(key)
        if self.caller_of(key) is None:
            return None
        return f"{expires}.{_signature(digest, str(expires), secret)}"

    def caller_of_session(
        self, session: str, *, now: int, secret: bytes
    ) -> Caller | None:
        """Return the owner of a session token; None if it is not valid."""
        expires, _, presented = session.partition(".")
        caller = self._find(
            presented.encode(errors="replace"),
            lambda digest: _signature(digest, expires, secret).encode(),
        )
        # With a caller it is certain that `expires` is a number: this server signed it.
        return caller if caller is not None and now < int(expires) else None

    def _find(
        self, presented: bytes, expect: Callable[[bytes], bytes]
    ) -> Caller | None:
        caller = None
        # No early exit, and a comparison in constant time: the duration must not show
        # how much of a guessed key is right.
        for digest, owner in self.callers.items():
            if hmac.compare_digest(expect(digest), presented):
                caller = owner
        return caller


def parse_keys(text: str) -> ApiKeys:
    """Parse keys separated by commas or whitespace, each `NAME:KEY` or `KEY`.

    Each has the role admin. A key without a name gets `key-` and the first 8
    hexadecimal digits of its hash.

    Raises:
        Misconfigured: a key is too short, or occurs twice.
    """
    callers: dict[bytes, Caller] = {}
    for number, entry in enumerate(text.replace(",", " ").split(), start=1):
        name, _, key = entry.rpartition(":")
        if len(key) < _MIN_LENGTH:
            raise Misconfigured(
                f"Key {number} in $IMAGEN_SERVE_KEYS is too short to be safe.",
                hint=f"Use at least {_MIN_LENGTH} characters; `openssl rand -hex 24` "
                "generates a key.",
            )
        digest = digest_key(key)
        if digest in callers:
            raise Misconfigured(
                f"Key {number} in $IMAGEN_SERVE_KEYS occurs twice.",
                hint="Use a different key for each caller.",
            )
        callers[digest] = Caller(name=name or f"key-{digest.hex()[:8]}")
    return ApiKeys(callers)


def digest_key(key: str) -> bytes:
    """Return the hash under which a key is stored."""
    return sha256(key.encode(errors="replace")).digest()


def _signature(digest: bytes, expires: str, secret: bytes) -> str:
    message = b"session " + digest + expires.encode(errors="replace")
    return hmac.new(secret, message, "sha256").hexdigest()
