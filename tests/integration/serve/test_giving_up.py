"""OpenAI's client, which gives up and repeats by itself: paid once, and delivered."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from tests.integration.replicate.models import SCHNELL
from tests.integration.replicate.server import ReplicateServer
from tests.integration.serve.conftest import running_probe
from tests.integration.serve.proxy import NGINX, nginx
from tests.integration.serve.running import Running, until
from tests.integration.serve.test_joining import jobs
from tests.integration.serve.test_joining_elsewhere import finish

RETRIES = 8


@pytest.fixture(scope="module")
def vendor() -> Iterator[ReplicateServer]:
    with ReplicateServer() as vendor:
        yield vendor


@pytest.fixture(scope="module")
def running(
    vendor: ReplicateServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    backend = {"adapter": "replicate", "model": SCHNELL, "base_url": vendor.url}
    config = {"backends": {"vendor": backend}}
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
