"""Who may use the server: API keys, each with the name of its caller."""

import hmac
from hashlib import sha256

from imagen.domain.errors import Misconfigured

_MIN_LENGTH = 16
"""Characters; less can be guessed."""


class ApiKeys:
    """The API keys of `$IMAGEN_SERVE_KEYS`.

    Never shown: its `repr` counts them.
    """

    def __init__(self, names: dict[bytes, str] | None = None) -> None:
        self._names = names or {}

    def __repr__(self) -> str:
        return f"<{len(self._names)} keys>"

    def __bool__(self) -> bool:
        return bool(self._names)

    def caller_of(self, key: str) -> str | None:
        """Return whose key it is; None if nobody's.

        Takes as long for one that is nearly right as for any other.
        """
        presented, caller = _digest(key), None
        for digest, name in self._names.items():
            if hmac.compare_digest(digest, presented):
                caller = name
        return caller

    def create_session(self, key: str, *, expires: int, secret: bytes) -> str | None:
        """Return what stands for a key expires a moment; None if it is nobody's.

        It does not tell the key, and is worth nothing once the key is withdrawn.
        """
        digest = _digest(key)
        if self.caller_of(key) is None:
            return None
        return f"{expires}.{_signature(digest, str(expires), secret)}"

    def caller_of_session(self, session: str, *, now: int, secret: bytes) -> str | None:
        """Return whose key it stands for; None if nobody's any more."""
        expires, _, presented = session.partition(".")
        caller = None
        for digest, name in self._names.items():
            expected = _signature(digest, expires, secret)
            if hmac.compare_digest(
                expected.encode(), presented.encode(errors="replace")
            ):
                caller = name
        if caller is None:
            return None
        return caller if now < int(expires) else None  # the number is one we signed


def parse_keys(text: str) -> ApiKeys:
    """Read keys with commas or blanks between them, each `NAME:KEY` or a key alone.

    One without a name is called `key-` and the beginning of its hash.

    Raises:
        Misconfigured: one of them is too short, or given twice.
    """
    names: dict[bytes, str] = {}
    for number, entry in enumerate(text.replace(",", " ").split(), start=1):
        name, _, key = entry.rpartition(":")
        if len(key) < _MIN_LENGTH:
            raise Misconfigured(
                f"Key {number} in $IMAGEN_SERVE_KEYS is too short to be safe.",
                hint=f"Give it {_MIN_LENGTH} characters or more; "
                "`openssl rand -hex 24` makes one.",
            )
        digest = _digest(key)
        if digest in names:
            raise Misconfigured(
                f"Key {number} in $IMAGEN_SERVE_KEYS stands there twice.",
                hint="Give each caller a key of their own.",
            )
        names[digest] = name or f"key-{digest.hex()[:8]}"
    return ApiKeys(names)


def _signature(digest: bytes, expires: str, secret: bytes) -> str:
    message = b"session " + digest + expires.encode(errors="replace")
    return hmac.new(secret, message, "sha256").hexdigest()


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="replace")).digest()
