import os

from imagen.testing.contracts.brief import brief

IMAGE = os.urandom(4_000_000)


def test_the_same_bytes_have_the_same_words() -> None:
    assert brief(IMAGE) == brief(bytes(bytearray(IMAGE)))


def test_a_bit_at_the_end_makes_a_difference() -> None:
    assert brief(IMAGE) != brief(IMAGE[:-1] + bytes([IMAGE[-1] ^ 1]))


def test_large_bytes_have_few_words() -> None:
    assert len(brief(IMAGE)) < 120


def test_few_bytes_are_shown() -> None:
    assert brief(b"older") == "b'older'"


def test_nothing_is_not_an_empty_image() -> None:
    assert brief(None) != brief(b"")
