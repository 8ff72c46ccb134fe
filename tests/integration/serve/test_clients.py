"""Real clients: OpenAI's, LiteLLM, LangChain and curl."""

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Iterator

import openai
import pytest
from PIL import Image
from tests.integration.serve.conftest import KEY
from tests.integration.serve.libraries import (
    LANGCHAIN,
    LITELLM,
    Library,
    LibraryError,
)
from tests.integration.serve.running import Running


@pytest.fixture
def client(guarded: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{guarded.url}/v1", api_key=KEY, max_retries=0
    ) as client:
        yield client


def test_openais_client_generates_an_image(client: openai.OpenAI) -> None:
    made = client.images.generate(
        model="mock", prompt="a cat", size="64x64", extra_body={"seed": 3}
    )

    assert made.data
    content = base64.b64decode(made.data[0].b64_json or "")
    assert Image.open(io.BytesIO(content)).size == (64, 64)
    assert made.data[0].model_extra == {
        "id": made.data[0].model_extra["id"],
        "seed": 3,
        "size": "64x64",
        "mime_type": "image/png",
        "cost_usd": 0.0,
    }


def test_openais_client_receives_progress(client: openai.OpenAI) -> None:
    stream = client.images.generate(
        model="mock", prompt="a cat", size="64x64", stream=True
    )

    types = [event.type for event in stream]

    assert types[-1] == "image_generation.completed"
    assert set(types[:-1]) == {"image_generation.progress"}


def test_openais_client_lists_models(client: openai.OpenAI) -> None:
    assert next(iter(client.models.list())).id == "mock"
    assert client.models.retrieve("refused").owned_by == "mock"


def test_openais_client_recognizes_errors(
    client: openai.OpenAI, guarded: Running
) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.images.generate(model="dall-e-3", prompt="a cat")
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(model="refused", prompt="a cat", size="64x64")
    with pytest.raises(openai.BadRequestError) as wrong:
        client.images.edit(image=b"not an image", prompt="a cat")
    stranger = openai.OpenAI(base_url=f"{guarded.url}/v1", api_key="x", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()

    assert missing.value.code == "model_not_found"
    assert refused.value.code == "moderation_blocked"
    assert wrong.value.code == "invalid_image_file"


def test_openais_client_edits(client: openai.OpenAI) -> None:
    made = client.images.generate(model="mock", prompt="a cat", size="64x64")
    assert made.data
    content = base64.b64decode(made.data[0].b64_json or "")

    with pytest.raises(openai.BadRequestError, match="no reference images"):
        client.images.edit(image=[content, content], prompt="a dog", model="mock")


def test_openais_client_for_azure_generates_and_edits(guarded: Running) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=guarded.url,
        api_key=KEY,
        api_version="2025-04-01-preview",
        max_retries=0,
    ) as client:
        made = client.images.generate(model="small", prompt="a cat")
        assert made.data
        content = base64.b64decode(made.data[0].b64_json or "")
        with pytest.raises(openai.BadRequestError, match="no reference images"):
            client.images.edit(image=content, prompt="a dog", model="small")

    assert Image.open(io.BytesIO(content)).size == (64, 64)


def test_openais_client_does_not_retry_what_may_have_cost_money(
    server: Running,
) -> None:
    before = server.metric("imagen_failed_images_total", backend="backend_error")
    with (
        openai.OpenAI(
            base_url=f"{server.url}/v1", api_key="x", max_retries=2
        ) as client,
        pytest.raises(openai.InternalServerError),
    ):
        client.images.generate(prompt="a cat", model="backend_error")

    after = server.metric("imagen_failed_images_total", backend="backend_error")
    assert after == before + 1


@pytest.mark.nightly  # importing these libraries takes longer than all the others
@pytest.mark.parametrize("client", [LITELLM, LANGCHAIN], ids=lambda each: each.package)
def test_a_library_generates_an_image_and_recognizes_errors(
    sketching: Running, guarded: Running, client: Library
) -> None:
    client.skip_if_missing()

    def generate(model: str, key: str = KEY, url: str = sketching.url) -> bytes:
        return client.generate(url, key=key, model=model, prompt="a cat", size="64x48")

    made = Image.open(io.BytesIO(generate("dall-e-3")))
    with pytest.raises(LibraryError) as missing:
        generate("nothing")
    with pytest.raises(LibraryError) as refused:
        generate("refused", url=guarded.url)
    with pytest.raises(LibraryError) as stranger:
        generate("dall-e-3", key="wrong")

    assert (made.format, made.size) == ("PNG", (64, 48))
    assert str(missing.value) == "NotFoundError 404"
    assert str(refused.value) == "BadRequestError 400"
    assert str(stranger.value) == "AuthenticationError 401"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_generates_an_image_and_shows_errors(guarded: Running) -> None:
    def curl(path: str, *words: str, key: str = KEY) -> tuple[int, str]:
        done = subprocess.run(
            [
                *("curl", "-s", "-w", "\n%{http_code}", f"{guarded.url}{path}"),
                *("-H", f"Authorization: Bearer {key}", *words),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        body, _, code = done.stdout.rpartition("\n")
        return int(code), body

    asked = json.dumps({"prompt": "a cat", "size": "64x64"})
    status, body = curl("/v1/images/generations", "--json", asked)
    assert status == 200
    assert json.loads(body)["data"][0]["b64_json"]
    assert curl("/v1/images/generations", "-d", asked)[0] == 200
    assert curl("/v1/images/generations", "-d", "{")[0] == 400
    assert curl("/v1/images/generations", "-d", asked, key="x")[0] == 401
    status, body = curl("/v1/images/edits", "-F", "prompt=a cat")
    assert (status, json.loads(body)["error"]["param"]) == (400, "image")
