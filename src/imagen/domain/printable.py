"""Escaping of the characters that a terminal would act upon instead of showing them."""

import re

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


def escape_json(text: str) -> str:
    r"""Return JSON with the control characters in its strings as `\u` sequences."""
    return _NOT_ASCII.sub(_escape_units, text)


def _is_invisible(letter: str) -> bool:
    from unicodedata import category  # noqa: PLC0415 - rare, and not for `imagen generate`

    return category(letter) in _INVISIBLE and letter not in _JOINERS


def _escape_units(match: re.Match[str]) -> str:
    letter = match[0]
    if letter.isprintable() or not _is_invisible(letter):
        return letter
    units = letter.encode("utf-16-be", errors="replace")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


_NOT_ASCII = re.compile(r"[^ -~]")
