"""API keys of the server, each with the name of its caller."""

import hmac
from collections.abc import Callable
from hashlib import sha256

from imagen.domain.errors import Misconfigured

# Characters; shorter keys can be guessed.
_MIN_LENGTH = 16


class ApiKeys:
    """The API keys of `$IMAGEN_SERVE_KEYS`, stored as hashes.

    The `repr` shows only their number.
    """

    def __init__(self, names: dict[bytes, str]) -> None:
        self._names = names

    def __repr__(self) -> str:
        return f"<{len(self._names)} keys>"

    def __bool__(self) -> bool:
        return bool(self._names)

    def caller_of(self, key: str) -> str | None:
        """Return the caller's name for a key; None for an unknown key."""
        return self._find(_digest(key), lambda digest: digest)

    def create_session(self, key: str, *, expires: int, secret: bytes) -> str | None:
        """Return a session token for a key; None for an unknown key.

        The token does not reveal the key, and becomes invalid when the key is removed,
        or at `expires`, in seconds since 1970.
        """
        digest = _digest(key)
        if self.caller_of(key) is None:
            return None
        return f"{expires}.{_signature(digest, str(expires), secret)}"

    def caller_of_session(self, session: str, *, now: int, secret: bytes) -> str | None:
        """Return the caller's name for a session token; None if it is not valid."""
        expires, _, presented = session.partition(".")
        caller = self._find(
            presented.encode(errors="replace"),
            lambda digest: _signature(digest, expires, secret).encode(),
        )
        # With a caller it is certain that `expires` is a number: this server signed it.
        return caller if caller is not None and now < int(expires) else None

    def _find(self, presented: bytes, expect: Callable[[bytes], bytes]) -> str | None:
        caller = None
        # No early exit, and a comparison in constant time: the duration must not show
        # how much of a guessed key is right.
        for digest, name in self._names.items():
            if hmac.compare_digest(expect(digest), presented):
                caller = name
        return caller


def parse_keys(text: str) -> ApiKeys:
    """Parse keys separated by commas or whitespace, each `NAME:KEY` or `KEY`.

    A key without a name gets `key-` and the first 8 hexadecimal digits of its hash.

    Raises:
        Misconfigured: a key is too short, or occurs twice.
    """
    names: dict[bytes, str] = {}
    for number, entry in enumerate(text.replace(",", " ").split(), start=1):
        name, _, key = entry.rpartition(":")
        if len(key) < _MIN_LENGTH:
            raise Misconfigured(
                f"Key {number} in $IMAGEN_SERVE_KEYS is too short to be safe.",
                hint=f"Use at least {_MIN_LENGTH} characters; `openssl rand -hex 24` "
                "generates a key.",
            )
        digest = _digest(key)
        if digest in names:
            raise Misconfigured(
                f"Key {number} in $IMAGEN_SERVE_KEYS occurs twice.",
                hint="Use a different key for each caller.",
            )
        names[digest] = name or f"key-{digest.hex()[:8]}"
    return ApiKeys(names)


def _signature(digest: bytes, expires: str, secret: bytes) -> str:
    message = b"session " + digest + expires.encode(errors="replace")
    return hmac.new(secret, message, "sha256").hexdigest()


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="replace")).digest()
