import zlib

import pytest

from imagen.formats.texts import MAX_TEXT, MAX_TEXTS, Texts


def test_a_text_of_the_longest_length_is_read() -> None:
    texts = Texts()

    assert len(texts.take("a", b"x" * MAX_TEXT)) == MAX_TEXT
    assert texts.take("b", b"x" * (MAX_TEXT + 1)) == ""
    assert texts.warnings == ["the text 'b' is too long"]


def test_all_texts_together_have_a_limit() -> None:
    texts = Texts()

    for key in "abc":
        texts.take(key, b"x" * MAX_TEXT)

    assert list(texts.found) == ["a", "b"]
    assert texts.warnings == ["the file has too many texts"]


def test_so_many_texts_are_read() -> None:
    texts = Texts()

    for number in range(MAX_TEXTS + 5):
        texts.take(str(number), b"x")

    assert len(texts.found) == MAX_TEXTS
    assert texts.warnings == ["the file has too many texts"]


def test_of_two_texts_the_first_counts() -> None:
    texts = Texts()

    texts.take("a", b"one")
    texts.take("a", b"two")

    assert texts.found == {"a": "one"}
    assert texts.warnings == ["the text 'a' is repeated; the first one is used"]


@pytest.mark.parametrize(
    ("packed", "words", "why"),
    [
        (zlib.compress(b"a fox"), "a fox", []),
        (zlib.compress(b"a fox")[:-2], "a fox", ["the text 'a' is truncated"]),
        (b"no zlib", "", ["the text 'a' cannot be decompressed"]),
        (b"", "", ["the text 'a' is truncated"]),
    ],
)
def test_unpacks_what_it_can(packed: bytes, words: str, why: list[str]) -> None:
    texts = Texts()

    assert texts.take("a", packed, deflated=True) == words
    assert texts.warnings == why


@pytest.mark.parametrize(
    ("raw", "words"),
    [(b"fox", "fox"), ("狐".encode(), "狐"), (b"caf\xe9", "café"), (b"fox\0\0", "fox")],
)
def test_reads_utf_8_where_it_can_be(raw: bytes, words: str) -> None:
    assert Texts().take("a", raw) == words
