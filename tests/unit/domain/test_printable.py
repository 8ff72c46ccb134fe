import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.printable import encode_json

HOSTILE = "\x1b\x7f\x85\u202e\u2066\u2028\ufeff\U000e0001"


def test_json_has_no_character_that_a_terminal_acts_upon() -> None:
    encoded = encode_json({HOSTILE: f"é, 日本, 😀{HOSTILE}"}).decode()

    assert encoded.isprintable()
    assert "é, 日本, 😀" in encoded
    assert json.loads(encoded) == {HOSTILE: f"é, 日本, 😀{HOSTILE}"}


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0.000003, b"0.000003"),
        (-0.0000025, b"-0.0000025"),
        (Decimal("0.000003"), b"0.000003"),
        (0.05, b"0.05"),
        (1e300, b"1e300"),
        ('3e-6 "4e-6" \\', rb'"3e-6 \"4e-6\" \\"'),
        ({'"': [3e-6, "\\", 4e-6]}, rb'{"\"":[0.000003,"\\",0.000004]}'),
    ],
)
def test_a_small_number_has_no_exponent(value: object, encoded: bytes) -> None:
    assert encode_json(value) == encoded


@given(
    st.recursive(
        st.text() | st.floats(allow_nan=False, allow_infinity=False),
        lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
    )
)
def test_json_keeps_its_value(value: object) -> None:
    assert json.loads(encode_json(value)) == value
