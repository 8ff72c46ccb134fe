"""No encoding of a secret gets through the mask, and no control character."""

import base64
import json
from urllib.parse import quote

import pytest

from imagen.adapters.remote.masking import SecretMask
from imagen.adapters.remote.vendor import basic_auth, bearer

SECRET = "r8_Ab3+x/Y=z-9QwErTy"
MASK = SecretMask(bearer(SECRET))


def in_json(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def between(text: str, gap: str) -> str:
    return gap.join(text)


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        SECRET.lower(),
        f"Authorization: Bearer {SECRET}",
        json.dumps({"headers": {"authorization": f"Bearer {SECRET}"}}),
        json.dumps(json.dumps(json.dumps({"key": f'"{SECRET}"'}))),
        in_json(SECRET),
        json.dumps(in_json(SECRET)),
        SECRET[:6] + in_json(SECRET[6]) + SECRET[7:],
        SECRET.replace("/", r"\/"),
        "".join(f"\\x{ord(char):02x}" for char in SECRET),
        quote(SECRET, safe=""),
        "".join(f"%{ord(char):02x}" for char in SECRET),
        quote(quote(SECRET, safe=""), safe=""),
        "".join(f"&#x{ord(char):x};" for char in SECRET),
        "".join(f"&#{ord(char)};" for char in SECRET),
        f"https://elsewhere.example/{SECRET}/cat.png?key={SECRET}",
        between(SECRET, "\x00"),
        between(SECRET, "\x1b"),
        between(SECRET, "\u202e"),
        between(SECRET, "\u200b"),
        between(SECRET, "\x85"),
        between(SECRET, "\n"),
        between(SECRET, "\x1b[0;31m"),
        between(SECRET, "\x9b1m"),
        SECRET[:10] + "\r\n\t " + SECRET[10:],
        SECRET[:-3] + " ...",
        SECRET[:12],
    ],
)
def test_a_secret_is_hidden_however_it_is_written(text: str) -> None:
    shown = MASK.clean(f"Your key is {text}, which is wrong.")

    letters = "".join(filter(str.isalnum, shown)).lower()
    assert "(hidden)" in shown
    assert "ab3" not in letters.replace("hidden", "")
    assert shown.startswith("Your key is")


@pytest.mark.parametrize("before", ["", "a", "ab", "user:"])
@pytest.mark.parametrize("after", ["", "x", ":"])
def test_a_secret_is_hidden_in_base64(before: str, after: str) -> None:
    text = coded(f"{before}{SECRET}{after}")

    shown = MASK.clean(text)

    assert "(hidden)" in shown
    assert len(shown) < len("(hidden)") + 12


def test_the_parts_of_a_login_are_hidden() -> None:
    mask = SecretMask(basic_auth("ada:correct-horse-battery"))

    for text in ("ada:correct-horse-battery", "correct-horse-battery"):
        assert mask.clean(f"{text} is wrong") == "(hidden) is wrong"
        assert "(hidden)" in mask.clean(coded(text))


def test_other_words_are_shown() -> None:
    text = "Invalid Bearer token r8_: the model acme/r8 is unknown (code: PA)."

    assert MASK.clean(text) == text
    assert SecretMask({}).clean(text) == text
    assert SecretMask({"X-Key": "abc"}).clean("abc") == "abc"


@pytest.mark.parametrize(
    "char",
    ["\x1b", "\x07", "\x85", "\u202e", "\u2066", "\u2028", "\x1b[31;1m", "\x9b2J"],
)
def test_control_characters_become_spaces(char: str) -> None:
    assert MASK.clean(f"a{char}b") == "a b"


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000,
        f"{SECRET} " * 50_000,
        SECRET[:11] * 100_000,
        "r" * 1_000_000,
        "r8_" + "\x00" * 1_000_000,
        "x" * 490 + SECRET,
        "x" * 19_990 + SECRET,
    ],
)
def test_a_long_text_is_short_and_without_the_secret(text: str) -> None:
    shown = MASK.clean(text)

    assert len(shown) <= 504
    assert SECRET[:12] not in shown


def test_a_very_long_secret_is_hidden() -> None:
    token = "eyJhbGciOi" + "Zx9" * 600

    assert SecretMask(bearer(token)).clean(f"{token} is wrong") == "(hidden) is wrong"
