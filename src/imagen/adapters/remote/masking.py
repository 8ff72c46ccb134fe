"""Removal of secrets and control characters from the texts of a server."""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping

HIDDEN = "(hidden)"

_MIN_SECRET = 5
_MIN_PREFIX = 12
"""How many characters are hidden if the rest of a secret was cut off."""

_MAX_COMPARED = 200
_MAX_READ, _MAX_SHOWN = 20_000, 500
_SCHEMES = {"bearer", "basic", "token", "key"}
# Control characters, spaces and characters without a width may be inside of a secret,
# and a server may have escaped the quotes or the text around it several times.
_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
_GAP = r"[^!-~]{0,8}"
_CODES = r"\\{{1,4}}u00{0}|\\{{1,4}}x{0}|%(?:25)*{0}|&\#x0*{0};|&\#0*{1};"


class SecretMask:
    """Hides the secrets of one instance in texts."""

    def __init__(self, credentials: Mapping[str, str]) -> None:
        """Prepare the mask for headers with credentials."""
        secrets = {
            secret
            for value in credentials.values()
            for word in value.split()
            if word.lower() not in _SCHEMES
            for secret in _list_forms(word)
            if len(secret) >= _MIN_SECRET
        }
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._pattern: re.Pattern[str] | None = None

    def hide(self, text: str) -> str:
        """Return the text without the secrets, in any of the usual encodings."""
        if not self._secrets:
            return text
        if self._pattern is None:
            # Compiled at the first error, since most jobs have none.
            patterns = map(_build_pattern, self._secrets)
            self._pattern = re.compile("|".join(patterns), re.IGNORECASE)
        return self._pattern.sub(HIDDEN, text)

    def clean(self, text: str) -> str:
        """Return the text for a message: also printable and short."""
        text = self.hide(_ANSI.sub(" ", text[:_MAX_READ]))
        text = "".join(char if char.isprintable() else " " for char in text)
        return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."


def _list_forms(word: str) -> Iterator[str]:
    """Yield a secret, the parts of a `Basic` login, and all of them as Base64."""
    plain = [word]
    try:
        login = b64decode(word, validate=True).decode()
    except ValueError:
        login = ""
    user, colon, password = login.partition(":")
    plain += [login, password] if colon and user else []
    for secret in plain:
        yield secret
        # In a longer text, a secret can begin at any of the three bytes of a group.
        for offset in range(3 if len(secret) >= _MIN_PREFIX else 0):
            coded = b64encode(bytes(offset) + secret.encode()).decode().rstrip("=")
            partial = (offset + len(secret.encode())) % 3 > 0
            yield coded[(0, 2, 3)[offset] : len(coded) - partial]


def _build_pattern(secret: str) -> str:
    parts = [_build_part(char) for char in secret[:_MAX_COMPARED]]
    rest: Iterable[str] = (f"(?:{_GAP}{part})?" for part in parts[_MIN_PREFIX:])
    more = r"[!-~]*" if len(secret) > _MAX_COMPARED else ""
    return _GAP.join(parts[:_MIN_PREFIX]) + "".join(rest) + more


def _build_part(char: str) -> str:
    """Return a pattern for a character as it is, or escaped for JSON, a URL or HTML."""
    plain = "[-+]" if char in "-+" else "[/_]" if char in "/_" else re.escape(char)
    return rf"(?:\\{{0,4}}{plain}|{_CODES.format(f'{ord(char):02x}', ord(char))})"
