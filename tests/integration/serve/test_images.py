"""The images API, asked over a socket."""

import base64
import json

import httpx
from tests.integration.serve.running import Running

GENERATIONS = "/v1/images/generations"


def test_makes_an_image_and_keeps_it_with_its_sidecar(
    client: httpx.Client, server: Running
) -> None:
    answer = client.post(
        GENERATIONS, json={"prompt": "a kept cat", "size": "64x48", "seed": 42}
    )

    assert answer.status_code == 200, answer.text
    [image] = answer.json()["data"]
    [stored] = [path for path in server.stored if "a-kept-cat" in path.name]
    assert base64.b64decode(image["b64_json"]) == stored.read_bytes()
    sidecar = json.loads(stored.with_name(f"{stored.name}.json").read_bytes())
    assert (sidecar["id"], sidecar["seed"]) == (image["id"], 42)
    assert (sidecar["width"], sidecar["height"]) == (64, 48)


def test_says_what_cannot_be_heeded_here_and_in_the_sidecar(
    client: httpx.Client, server: Running
) -> None:
    asked = {
        "prompt": "an honest cat",
        "size": "64x64",
        "user": "somebody",
        "quality": "high",
        "guidance_scale": 4.5,
        "style": "vivid",
        "sampler": "euler",
    }

    answer = client.post(GENERATIONS, json=asked)

    assert answer.status_code == 200, answer.text
    [stored] = [path for path in server.stored if "an-honest-cat" in path.name]
    sidecar = json.loads(stored.with_name(f"{stored.name}.json").read_bytes())
    for name in ("user", "quality", "guidance_scale", "style", "sampler"):
        assert any(f"{name} is ignored" in said for said in answer.json()["warnings"])
        assert name in sidecar["ignored"]


def test_errors_have_the_form_that_openais_clients_read(client: httpx.Client) -> None:
    answer = client.post(GENERATIONS, json={"prompt": "a cat", "n": "many"})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "n"
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


def test_a_model_that_is_not_there_is_404(client: httpx.Client) -> None:
    answer = client.post(GENERATIONS, json={"prompt": "a cat", "model": "dall-e-3"})

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert "mock" in answer.json()["error"]["message"]
