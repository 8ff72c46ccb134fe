"""Clients in JavaScript: OpenAI's, and the AI SDK with both of its providers."""

import base64
import io
from collections.abc import Iterator
from hashlib import sha256

import pytest
from PIL import Image
from tests.integration.replicate.models import SCHNELL
from tests.integration.replicate.server import ReplicateServer
from tests.integration.serve.conftest import KEY, running_probe
from tests.integration.serve.cutting import CuttingRelay
from tests.integration.serve.javascript import (
    CLIENTS,
    MISSING,
    ClientError,
    JavaScriptClients,
    is_installed,
)
from tests.integration.serve.running import Running, until
from tests.integration.serve.test_joining import jobs
from tests.integration.serve.test_joining_elsewhere import finish
from tests.integration.serve.test_programs import BLUE, RED, asked_of

pytestmark = pytest.mark.skipif(not is_installed(), reason=MISSING)


@pytest.fixture(scope="module")
def clients() -> Iterator[JavaScriptClients]:
    with JavaScriptClients() as clients:
        yield clients


def read_image(content: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(content)))


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


def test_clients_whose_connections_are_cut_repeat_and_pay_once(
    clients: JavaScriptClients, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("javascript")
    with ReplicateServer() as vendor:
        backend = {"adapter": "replicate", "model": SCHNELL, "base_url": vendor.url}
        config = {"backends": {"vendor": backend}, "serve": {"workers": 1}}
        vendor.trouble(never_ends=True)
        with (
            running_probe(folder, config, REPLICATE_API_TOKEN=vendor.token) as running,
            CuttingRelay(running.port) as relay,
        ):
            made = [
                clients.send(
                    client,
                    relay.url,
                    retries=2,
                    fields={"model": "vendor", "prompt": client, "n": 1},
                )
                for client in CLIENTS
            ]
            until(lambda: vendor.created == len(CLIENTS))
            relay.cut_all()
            until(lambda: not any(job["connections"] for job in jobs(running)))
            finish(vendor)
            relay.resume()
            images = [read_image(content) for each in made for content in each.result()]

            assert relay.cut == len(CLIENTS)
            assert vendor.created == vendor.paid == len(CLIENTS)
            assert len(running.stored) == len(images) == len(CLIENTS)
            assert {image.size for image in images} == {(1024, 1024)}
