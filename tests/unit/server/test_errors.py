"""Errors in terms of HTTP: fields, not flags of the command line."""

import pytest

from imagen.domain.errors import InvalidRequest, Unsupported
from imagen.server.errors import to_error_response
from imagen.server.http.rephrase import describe_field_error


@pytest.mark.parametrize(
    ("message", "hint", "said"),
    [
        (
            "No mask.",
            "Add the image with --image.",
            "No mask. Add the image with `image`.",
        ),
        ("--steps is too high.", "", "`num_inference_steps` is too high."),
        ("Bad.", "Use `--negative` or --count.", "Bad. Use `negative_prompt` or `n`."),
        ("No seed.", "Without --strict this is a warning.", "No seed."),
        ("Gone.", "Run `imagen history` to list the images.", "Gone."),
        ("A--b is odd -- really.", "Change it.", "A--b is odd -- really. Change it."),
    ],
)
def test_a_hint_names_fields_or_is_left_out(message: str, hint: str, said: str) -> None:
    for kind in (InvalidRequest, Unsupported):
        response = to_error_response(kind(message, hint=hint))

        assert response.details.message == said


@pytest.mark.parametrize(
    ("key", "message", "param", "said"),
    [
        (
            "n",
            "Expected `int | null`, got `str`",
            "n",
            "`n` must be a whole number, not text.",
        ),
        (
            "n",
            "Expected `int`, got `float`",
            "n",
            "`n` must be a whole number, not a fraction.",
        ),
        ("n", "Expected `int` <= 1000", "n", "`n` must be at most 1000."),
        (
            "idempotency_key",
            "Expected `str` of length >= 1",
            "Idempotency-Key",
            "`Idempotency-Key` must have at least 1 character.",
        ),
        (
            "data",
            "Expected `object`, got `array`",
            None,
            "The body must be an object, not a list.",
        ),
        ("data", "'data'", None, "The request has no body."),
        (
            "background",
            "Invalid enum value 'x'",
            "background",
            "`background` does not accept 'x'. Use one of auto, transparent, opaque.",
        ),
        ("by", "Invalid enum value 'x'", "by", "`by` does not accept 'x'."),
        ("x", "A message of a later version", "x", "A message of a later version."),
    ],
)
def test_messages_of_the_framework_are_rephrased(
    key: str, message: str, param: str | None, said: str
) -> None:
    assert describe_field_error(key, message) == (param, said)
