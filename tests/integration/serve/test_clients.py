"""Real clients: OpenAI's, LiteLLM and curl."""

import base64
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import openai
import pytest
from PIL import Image
from tests.integration.serve.conftest import KEY
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


LITELLM = """
import base64, sys, litellm

def make(model):
    made = litellm.image_generation(
        model=f"openai/{model}", prompt="a cat", size="64x64",
        api_base=sys.argv[1], api_key=sys.argv[2],
    )
    print(base64.b64decode(made.data[0].b64_json)[1:4].decode())

for model in ("mock", "nothing", "refused"):
    try:
        make(model)
    except (litellm.exceptions.NotFoundError, litellm.exceptions.BadRequestError) as e:
        print(type(e).__name__, e.status_code)
"""


@pytest.mark.nightly  # importing LiteLLM takes longer than all the others
@pytest.mark.skipif(find_spec("litellm") is None, reason="litellm is not installed")
def test_litellm_generates_an_image_and_recognizes_errors(guarded: Running) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LITELLM, f"{guarded.url}/v1", KEY],
        env={"HOME": str(guarded.images), "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    said = [
        line for line in done.stdout.splitlines() if line[:3] in {"PNG", "Not", "Bad"}
    ]
    assert said == ["PNG", "NotFoundError 404", "BadRequestError 400"], done.stderr


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
