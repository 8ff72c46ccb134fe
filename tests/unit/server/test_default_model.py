"""The backend of a model name, of an alias, and of requests that name none."""

import pytest

from imagen.bootstrap.runtime import Runtime
from imagen.registry import find_adapter
from imagen.server.errors import ErrorResponse
from imagen.server.http.request_mapping import build_work_item, parse_model
from imagen.server.http.schemas import GenerationFields
from imagen.settings.document import parse
from imagen.settings.environment import Environment
from imagen.settings.model import Settings
from imagen.settings.validate import InvalidConfig, validate


def read(text: str) -> Settings:
    return validate(parse(text.encode(), source="c.yaml"), adapter_of=find_adapter)


def test_the_only_backend_besides_mock_makes_what_names_no_model() -> None:
    assert parse_model(read("backends: {a: {adapter: mock}}"), None) == ("a", None)


def test_with_several_backends_and_no_default_a_model_is_required() -> None:
    settings = read("backends: {a: {adapter: mock}, b: {adapter: mock}}")

    with pytest.raises(ErrorResponse) as caught:
        parse_model(settings, None)

    assert caught.value.status == 400
    assert caught.value.details.param == "model"
    assert "Available: a, b, mock." in caught.value.details.message
    assert parse_model(settings, "b") == ("b", None)


ALIASES = """
backends: {a: {adapter: mock}, b: {adapter: mock}}
default_backend: a
serve: {models: {gpt-image-1: b, "dall-e-*": a/large, a/x: b/y}%s}
"""


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("", ("a", None)),
        ("b", ("b", None)),
        ("b/small", ("b", "small")),
        ("gpt-image-1", ("b", None)),
        ("dall-e-3", ("a", "large")),
        ("a/x", ("b", "y")),
        ("dall-e-*", ("a", "large")),
    ],
)
def test_a_name_is_a_backend_or_an_alias(
    name: str, target: tuple[str, str | None]
) -> None:
    assert parse_model(read(ALIASES % ""), name) == target


def test_an_unknown_name_is_404_unless_there_is_a_default_model() -> None:
    with pytest.raises(ErrorResponse) as caught:
        parse_model(read(ALIASES % ""), "gpt-image-2")

    assert caught.value.status == 404
    assert "gpt-image-1, dall-e-*" in caught.value.details.message
    settings = read(ALIASES % ", default_model: b/small")
    assert parse_model(settings, "gpt-image-2") == ("b", "small")
    assert parse_model(settings, "gpt-image-1") == ("b", None)


def test_a_request_for_an_unknown_name_says_which_model_is_used() -> None:
    runtime = Runtime(
        Environment({}), settings=read(ALIASES % ", default_model: b/small")
    )
    fields = GenerationFields(prompt="a fox", model="gpt-image-2")

    item = build_work_item(fields, runtime, caller="")

    assert item.backend == "b"
    assert item.request.unsupported_fields == {
        "model": "this server has no model 'gpt-image-2' and uses b/small"
    }


@pytest.mark.parametrize(
    ("serve", "says"),
    [
        ("models: {x: c}", "unknown backend 'c'"),
        ("models: {a: b}", "this is the name of a backend"),
        ("default_model: c/small", "unknown backend 'c'"),
        ("models: {x: ''}", "unknown backend"),
    ],
)
def test_an_alias_for_a_backend_that_does_not_exist_is_an_error(
    serve: str, says: str
) -> None:
    backends = "backends: {a: {adapter: mock}, b: {adapter: mock}}"
    with pytest.raises(InvalidConfig, match=says):
        read(f"{backends}\nserve: {{{serve}}}")
