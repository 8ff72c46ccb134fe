from typing import Any

import pytest

from imagen.adapters.remote.models.schema import Field, json_equal, read_fields
from imagen.domain.errors import InvalidRequest


def described(properties: object, **schemas: object) -> dict[str, Any]:
    listed = {"Input": {"properties": properties, "required": ["prompt"]}, **schemas}
    return {"components": {"schemas": listed}}


def test_reads_inputs_in_the_models_order() -> None:
    fields = read_fields(
        described(
            {
                "seed": {"type": "integer", "x-order": 2, "maximum": 99},
                "prompt": {"type": "string", "x-order": 0, "description": "A\nword."},
                "extra": {"type": "object"},
                "fast": {"type": "boolean", "x-order": 1, "default": True},
            }
        )
    )

    assert fields == (
        Field(name="prompt", kind="text", required=True, note="A word"),
        Field(name="fast", kind="flag", default=True),
        Field(name="seed", kind="whole", highest=99),
        Field(name="extra", kind="any"),
    )


@pytest.mark.parametrize(
    "said",
    [
        {"allOf": [{"$ref": "#/components/schemas/ratio"}], "default": "1:1"},
        {"$ref": "#/components/schemas/ratio", "default": "1:1"},
        {"anyOf": [{"$ref": "#/components/schemas/ratio"}, {"type": "null"}]},
        {"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/ratio"}]},
        {"type": "string", "enum": ["1:1", "16:9"]},
    ],
    ids=str,
)
def test_finds_choices_wherever_they_are_listed(said: dict[str, object]) -> None:
    ratio = {"type": "string", "enum": ["1:1", "16:9"], "description": "An enumeration"}

    (field,) = read_fields(described({"ratio": said}, ratio=ratio))

    assert field.text_choices == ("1:1", "16:9")
    assert field.kind == "text"


SIDES = {"width": {"type": "integer", "maximum": 2048}, "height": {"type": "integer"}}
SIZE = {"$ref": "#/components/schemas/Size"}
NAMES = {"type": "string", "enum": ["square", "wide"]}


@pytest.mark.parametrize("said", [[SIZE, NAMES], [NAMES, SIZE]], ids=str)
def test_combines_an_object_with_names_for_it(said: list[object]) -> None:
    (field,) = read_fields(
        described(
            {"size": {"anyOf": said}}, Size={"type": "object", "properties": SIDES}
        )
    )

    assert field.text_choices == ("square", "wide")
    assert field.fields["width"].highest == 2048
    assert field.convert({"width": 512}) == {"width": 512}
    assert field.convert("wide") == "wide"


@pytest.mark.parametrize(
    "schema",
    [
        None,
        "text",
        {},
        {"components": []},
        described([]),
        {"components": {"schemas": {"Input": {"properties": None}}}},
    ],
    ids=str,
)
def test_reads_nothing_from_an_invalid_schema(schema: object) -> None:
    assert read_fields(schema) == ()


def test_reads_the_valid_part_of_a_field() -> None:
    odd = {"type": ["string", "null"], "enum": "x", "minimum": True, "maxItems": "9"}

    assert read_fields(described({"odd": odd, "none": None})) == (
        Field(name="odd"),
        Field(name="none"),
    )


RATIO = Field(name="ratio", kind="text", choices=("1:1", "16:9"))
MEGAPIXELS = Field(name="megapixels", kind="text", choices=("1", "0.25"))
STEPS = Field(name="steps", kind="whole", lowest=1, highest=4)


@pytest.mark.parametrize(
    ("field", "given", "sent"),
    [
        (RATIO, "16:9", "16:9"),
        (MEGAPIXELS, 0.25, "0.25"),
        (MEGAPIXELS, 1, "1"),
        (MEGAPIXELS, 1.0, "1"),
        (Field(name="n", choices=(1, 2)), "2", 2),
        (STEPS, 4.0, 4),
        (Field(name="x", kind="number"), 3, 3),
        (Field(name="x", kind="flag"), False, False),
        (Field(name="x", kind="list"), ["a"], ["a"]),
        (Field(name="x"), {"any": "thing"}, {"any": "thing"}),
    ],
)
def test_writes_a_value_as_the_model_wants_it(
    field: Field, given: object, sent: object
) -> None:
    assert json_equal(field.convert(given), sent)


@pytest.mark.parametrize(
    ("field", "given", "hint"),
    [
        (Field(name="x", choices=("anime", "real")), "anima", "Did you mean anime?"),
        (RATIO, "wide", "Use one of 1:1, 16:9."),
        (MEGAPIXELS, True, "Use one of 1, 0.25."),
        (STEPS, 5, "Use 1 to 4."),
        (STEPS, 0, "Use 1 to 4."),
        (Field(name="x", kind="number", lowest=0), -1, "Use 0 or more."),
        (Field(name="x", kind="number", highest=9), 10, "Use 9 or less."),
        (STEPS, 2.5, ""),
        (STEPS, "4", ""),
        (STEPS, True, ""),
        (Field(name="x", kind="flag"), "yes", ""),
        (Field(name="x", kind="text"), 3, ""),
        (Field(name="x", kind="list"), "a", ""),
    ],
)
def test_refuses_invalid_values(field: Field, given: object, hint: str) -> None:
    with pytest.raises(InvalidRequest, match=field.name) as refused:
        field.convert(given)

    assert refused.value.hint == hint


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        (None, None, True),
        ([1, {"a": 2}], (1.0, {"a": 2}), True),
        ([1, 2], [2, 1], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([True], [1], False),
    ],
)
def test_knows_what_is_the_same_json(one: object, other: object, alike: bool) -> None:
    assert json_equal(one, other) is alike
    assert json_equal(other, one) is alike


def test_says_in_a_word_what_an_input_is_for() -> None:
    long = Field(name="x", note="Makes it so. And then tells a long story about it")

    assert long.summary == "Makes it so"
    assert RATIO.summary == "1:1, 16:9"
    assert len(Field(name="x", note="very " * 40).summary) <= 80
    assert Field(name="x", kind="whole").summary == "a whole number"
