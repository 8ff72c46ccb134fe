"""Who may use the server: API keys, each with the name of its caller."""

import hmac
from hashlib import sha256

from imagen.domain.errors import Misconfigured

_SHORTEST = 16
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

    def session_of(self, key: str, *, until: int, secret: bytes) -> str | None:
        """Return what stands for a key until a moment; None if it is nobody's.

        It does not tell the key, and is worth nothing once the key is withdrawn.
        """
        digest = _digest(key)
        if self.caller_of(key) is None:
            return None
        return f"{until}.{_signature(digest, str(until), secret)}"

    def caller_in(self, session: str, *, now: int, secret: bytes) -> str | None:
        """Return whose key it stands for; None if nobody's any more."""
        until, _, presented = session.partition(".")
        caller = None
        for digest, name in self._names.items():
            right = _signature(digest, until, secret)
            if hmac.compare_digest(right.encode(), presented.encode(errors="replace")):
                caller = name
        if caller is None:
            return None
        return caller if now < int(until) else None  # the number is one we signed


def parse_keys(text: str) -> ApiKeys:
    """Read keys with commas or blanks between them, each `NAME:KEY` or a key alone.

    One without a name is called `key-` and the beginning of its hash.

    Raises:
        Misconfigured: one of them is too short, or given twice.
    """
    names: dict[bytes, str] = {}
    for number, word in enumerate(text.replace(",", " ").split(), start=1):
        name, _, key = word.rpartition(":")
        if len(key) < _SHORTEST:
            raise Misconfigured(
                f"Key {number} in $IMAGEN_SERVE_KEYS is too short to be safe.",
                hint=f"Give it {_SHORTEST} characters or more; `openssl rand -hex 24` "
                "makes one.",
            )
        digest = _digest(key)
        if digest in names:
            raise Misconfigured(
                f"Key {number} in $IMAGEN_SERVE_KEYS stands there twice.",
                hint="Give each caller a key of their own.",
            )
        names[digest] = name or f"key-{digest.hex()[:8]}"
    return ApiKeys(names)


def _signature(digest: bytes, until: str, secret: bytes) -> str:
    said = b"session " + digest + until.encode(errors="replace")
    return hmac.new(secret, said, "sha256").hexdigest()


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="replace")).digest()
