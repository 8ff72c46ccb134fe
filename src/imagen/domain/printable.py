"""Escaping of the characters that a terminal would act upon instead of showing them."""

import re

import msgspec

_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Zero-width (non-)joiners are invisible, but letters and emoji depend on them.
_JOINERS = "\u200c\u200d"


def escape_control(text: str, *, keep: str = "") -> str:
    r"""Return the text with control characters as escape sequences such as `\x1b`.

    These are C0, DEL, C1, bidirectional and other format characters, line and paragraph
    separators, and bytes of a file name that are not UTF-8.

    Args:
        keep: Characters that are not escaped, such as a newline.
    """
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter in keep or not _is_invisible(letter)
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def encode_json(value: object) -> bytes:
    r"""Return the value as JSON, for people as well as programs.

    Control characters in strings are `\u` sequences, decimals are numbers, and small
    numbers such as amounts have no exponent: 0.000003 and not 3e-6.
    """
    encoded = _ENCODER.encode(value)
    others = encoded.translate(None, delete=_ASCII)
    if not others.decode().isprintable():
        encoded = _NOT_ASCII.sub(_escape_units, encoded.decode()).encode()
    return _SMALL.sub(_expand, encoded) if _EXPONENT.search(encoded) else encoded


def _is_invisible(letter: str) -> bool:
    from unicodedata import category  # noqa: PLC0415 - rare, and not for `imagen generate`

    return category(letter) in _INVISIBLE and letter not in _JOINERS


def _escape_units(match: re.Match[str]) -> str:
    letter = match[0]
    if letter.isprintable() or not _is_invisible(letter):
        return letter
    units = letter.encode("utf-16-be", errors="replace")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _expand(match: re.Match[bytes]) -> bytes:
    from decimal import Decimal  # noqa: PLC0415 - rare

    number = match["number"]
    return f"{Decimal(number.decode()):f}".encode() if number else match[0]


# Amounts are exact decimals; the default would write them as strings.
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_ASCII = bytes(range(ord(" "), ord("~") + 1))
_NOT_ASCII = re.compile(r"[^ -~]")
_EXPONENT = re.compile(rb"e-[0-9]")
# Strings are matched to leave them as they are.
_SMALL = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(?P<number>[0-9.]+e-[0-9]+)')
