"""Clients that give up and repeat by themselves: paid once, and delivered."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import openai
import pytest
from PIL import Image
from tests.integration.replicate.models import SCHNELL
from tests.integration.replicate.server import ReplicateServer
from tests.integration.serve.conftest import running_probe
from tests.integration.serve.cutting import CuttingRelay
from tests.integration.serve.javascript import (
    CLIENTS,
    MISSING,
    JavaScriptClients,
    is_installed,
    read_image,
)
from tests.integration.serve.libraries import LANGCHAIN, LITELLM, Library
from tests.integration.serve.proxy import CADDY, NGINX, caddy, nginx
from tests.integration.serve.running import Running, until
from tests.integration.serve.test_joining import jobs
from tests.integration.serve.test_joining_elsewhere import finish

RETRIES = 8
ResultT = TypeVar("ResultT")


@pytest.fixture(scope="module")
def vendor() -> Iterator[ReplicateServer]:
    with ReplicateServer() as vendor:
        yield vendor


@pytest.fixture(scope="module")
def running(
    vendor: ReplicateServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    backend = {"adapter": "replicate", "model": SCHNELL, "base_url": vendor.url}
    config = {
        "backends": {"vendor": backend},
        "serve": {"models": {"dall-e-*": "vendor"}},
    }
    folder = tmp_path_factory.mktemp("giving_up")
    with running_probe(folder, config, REPLICATE_API_TOKEN=vendor.token) as running:
        yield running


def generate(
    running: Running, vendor: ReplicateServer, url: str, *, timeout: float | None
) -> str:
    """Generate an image that is made only after the first attempt was given up.

    Return its id.
    """
    vendor.predictions.clear()
    vendor.trouble(never_ends=True)
    with (
        openai.OpenAI(
            base_url=f"{url}/v1", api_key="any", max_retries=RETRIES, timeout=timeout
        ) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        made: Future[openai.types.ImagesResponse] = pool.submit(
            client.images.generate, model="vendor", prompt=f"a fox behind {url}"
        )
        until(lambda: vendor.created == 1)
        until(lambda: not any(job["connections"] for job in jobs(running)))
        finish(vendor)
        data = made.result().data
    assert data is not None
    assert data[0].b64_json
    return str(data[0].model_extra["id"])  # type: ignore[index]  # imagen's own field


def test_openais_client_with_a_short_timeout_pays_once(
    running: Running, vendor: ReplicateServer
) -> None:
    before = len(running.stored)

    made = generate(running, vendor, running.url, timeout=1.0)

    assert vendor.created == vendor.paid == len(running.stored) - before == 1
    assert any(made in path.read_text() for path in running.images.rglob("*.json"))


@pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed (apt-get install nginx-light)"
)
def test_openais_client_behind_a_proxy_that_cuts_pays_once(
    running: Running, vendor: ReplicateServer, tmp_path: Path
) -> None:
    before = len(running.stored)
    with nginx(tmp_path, to=running.port, timeout="1s") as url:
        generate(running, vendor, url, timeout=None)

    assert vendor.created == vendor.paid == len(running.stored) - before == 1


@pytest.mark.skipif(
    CADDY is None, reason="Caddy is not installed (apt-get install caddy)"
)
def test_openais_client_behind_the_caddy_of_the_docs_pays_once(
    running: Running, vendor: ReplicateServer, tmp_path: Path
) -> None:
    before = len(running.stored)
    with caddy(tmp_path, to=running.port) as url:
        generate(running, vendor, url, timeout=1.0)

    assert vendor.created == vendor.paid == len(running.stored) - before == 1


def cut_once(
    running: Running,
    vendor: ReplicateServer,
    send: Callable[[str], ResultT],
    *,
    requests: int,
) -> ResultT:
    """Cut the connections of clients while their images are made.

    Check that each image is paid once.

    Args:
        send: Sends the requests to a URL, and returns their answers.
        requests: The number of them.
    """
    before = len(running.stored)
    vendor.predictions.clear()
    vendor.trouble(never_ends=True)
    with CuttingRelay(running.port) as relay, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send, relay.url)
        until(lambda: vendor.created == requests or sent.done())
        relay.cut_all()
        until(lambda: not any(job["connections"] for job in jobs(running)))
        finish(vendor)
        relay.resume()
        result = sent.result()
    assert relay.cut == requests
    assert vendor.created == vendor.paid == len(running.stored) - before == requests
    return result


@pytest.mark.skipif(not is_installed(), reason=MISSING)
def test_clients_in_javascript_whose_connections_are_cut_pay_once(
    running: Running, vendor: ReplicateServer
) -> None:
    def send(url: str) -> list[Image.Image]:
        sent = [
            clients.send(
                client, url, retries=2, fields={"model": "vendor", "prompt": client}
            )
            for client in CLIENTS
        ]
        return [read_image(content) for each in sent for content in each.result()]

    with JavaScriptClients() as clients:
        images = cut_once(running, vendor, send, requests=len(CLIENTS))

    assert [image.size for image in images] == [(1024, 1024)] * len(CLIENTS)


@pytest.mark.nightly  # importing these libraries takes longer than all the others
@pytest.mark.parametrize("client", [LITELLM, LANGCHAIN], ids=lambda each: each.package)
def test_a_library_whose_connection_is_cut_pays_once(
    running: Running, vendor: ReplicateServer, client: Library
) -> None:
    client.skip_if_missing()

    def send(url: str) -> bytes:
        return client.generate(url, key="any", model="dall-e-3", prompt="an owl")

    content = cut_once(running, vendor, send, requests=1)

    assert Image.open(io.BytesIO(content)).size == (1024, 1024)
