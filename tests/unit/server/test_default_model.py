"""The backend of requests that name no model."""

import pytest

from imagen.registry import find_adapter
from imagen.server.errors import ErrorResponse
from imagen.server.http.request_mapping import parse_model
from imagen.settings.document import parse
from imagen.settings.model import Settings
from imagen.settings.validate import validate


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
