import os

from imagen.testing.contracts.observation import abbreviate

IMAGE = os.urandom(4_000_000)


def test_the_same_bytes_have_the_same_words() -> None:
    assert abbreviate(IMAGE) == abbreviate(bytes(bytearray(IMAGE)))


def test_a_bit_at_the_end_makes_a_difference() -> None:
    assert abbreviate(IMAGE) != abbreviate(IMAGE[:-1] + bytes([IMAGE[-1] ^ 1]))


def test_large_bytes_have_few_words() -> None:
    assert len(abbreviate(IMAGE)) < 120


def test_few_bytes_are_shown() -> None:
    assert abbreviate(b"older") == "b'older'"


def test_nothing_is_not_an_empty_image() -> None:
    assert abbreviate(None) != abbreviate(b"")
