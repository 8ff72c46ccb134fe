"""Clients in JavaScript: OpenAI's, and the AI SDK with both of its providers."""

import base64
from collections.abc import Iterator
from hashlib import sha256

import pytest
from tests.integration.serve.conftest import KEY
from tests.integration.serve.javascript import (
    CLIENTS,
    MISSING,
    ClientError,
    JavaScriptClients,
    is_installed,
    read_image,
)
from tests.integration.serve.running import Running
from tests.integration.serve.test_programs import BLUE, RED, asked_of

pytestmark = pytest.mark.skipif(not is_installed(), reason=MISSING)


@pytest.fixture(scope="module")
def clients() -> Iterator[JavaScriptClients]:
    with JavaScriptClients() as clients:
        yield clients


@pytest.mark.parametrize("model", ["gpt-image-1", "dall-e-3"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_generates(
    clients: JavaScriptClients, sketching: Running, client: str, model: str
) -> None:
    fields = {"model": model, "prompt": "a cat 猫", "n": 1, "size": "64x48"}
    if client == "openai":
        fields["response_format"] = "b64_json"

    made = clients.send(client, sketching.url, key=KEY, fields=fields)

    [image] = map(read_image, made.result())
    assert (image.format, image.size) == ("PNG", (64, 48))
    asked = asked_of(sketching)
    assert (asked["prompt"], asked["size"]) == ("a cat 猫", "64x48")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_edits(
    clients: JavaScriptClients, sketching: Running, client: str
) -> None:
    red, blue = (base64.b64encode(each).decode() for each in (RED, BLUE))
    fields = {"model": "gpt-image-1", "prompt": "a dog", "size": "64x48"}

    made = clients.send(
        client, sketching.url, key=KEY, fields=fields, images=[red, blue], mask=blue
    )

    [image] = map(read_image, made.result())
    assert (image.format, image.size) == ("PNG", (64, 48))
    asked = asked_of(sketching)
    assert asked["images"] == [sha256(each).hexdigest() for each in (RED, BLUE)]
    assert asked["mask"] == sha256(BLUE).hexdigest()


def test_openais_client_streams_and_lists_models(
    clients: JavaScriptClients, sketching: Running
) -> None:
    fields = {"model": "sketch", "prompt": "a cat", "size": "64x64"}

    events = clients.send("openai stream", sketching.url, key=KEY, fields=fields)
    models = clients.send("openai models", sketching.url, key=KEY)

    assert events.result()[-1] == "image_generation.completed"
    assert "sketch" in models.result()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_recognizes_errors(
    clients: JavaScriptClients, sketching: Running, client: str
) -> None:
    fields = {"model": "unknown", "prompt": "a cat", "n": 1, "size": "64x64"}

    missing = clients.send(client, sketching.url, key=KEY, fields=fields).exception()
    stranger = clients.send(client, sketching.url, key="x", fields=fields).exception()

    assert isinstance(missing, ClientError)
    assert isinstance(stranger, ClientError)
    assert (missing.status, stranger.status) == (404, 401)
    assert "Unknown model 'unknown'" in str(missing)
