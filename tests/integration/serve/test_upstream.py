"""`imagen serve` as the service behind the adapter `openai`, dialect `imagen`."""

from collections.abc import Callable, Iterator
from threading import Thread

import msgspec
import pytest
from tests.integration.openai_dialects.test_streams import LiveContext
from tests.integration.serve.conftest import KEY
from tests.integration.serve.cutting import CuttingRelay
from tests.integration.serve.running import Running, until

from imagen.adapters.backends.openai.adapter import OpenAIOptions, create
from imagen.adapters.system.clock import SystemClock
from imagen.backend import (
    BackendContext,
    Generated,
    ImageBackend,
    ImageJob,
    Secrets,
    Size,
)
from imagen.bootstrap.requests import build_reference
from imagen.testing.fakes import RecordingContext, tiny_png

Connect = Callable[..., ImageBackend]
JOB = ImageJob(number=1, prompt="a cat", size=Size(64, 64), seed=7, timeout=60)


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a backend whose service is the server at a URL."""
    backends: list[ImageBackend] = []

    def connect_one(url: str, model: str) -> ImageBackend:
        options = OpenAIOptions(dialect="imagen", base_url=f"{url}/v1", model=model)
        secrets = Secrets({"api_key_env": KEY})
        context = BackendContext(name="it", clock=SystemClock(), secrets=secrets)
        backends.append(create(options, context))
        return backends[-1]

    yield connect_one
    for backend in backends:
        backend.close()  # type: ignore[attr-defined]


def test_the_picture_its_seed_and_its_cost_pass_through(
    shop: Running, connect: Connect
) -> None:
    generated = connect(shop.url, "paid").generate(JOB, RecordingContext())

    (image,) = generated.images
    assert image.content == shop.stored[0].read_bytes()
    assert image.seed == 7
    assert generated.cost.micros == 40_000
    assert generated.model == "paid/mock"


def test_what_the_server_ignores_is_a_warning(shop: Running, connect: Connect) -> None:
    backend = connect(shop.url, "paid")

    generated = backend.generate(
        msgspec.structs.replace(JOB, options={"quality": "high"}), RecordingContext()
    )

    assert any("quality" in each for each in generated.images[0].warnings)


def test_a_stream_has_the_picture_and_the_progress(
    shop: Running, connect: Connect
) -> None:
    context = LiveContext()

    generated = connect(shop.url, "paid").generate(JOB, context)

    assert generated.images[0].content == shop.stored[0].read_bytes()
    assert generated.cost.micros == 40_000
    assert "painting" in context.notes


def test_an_edit_passes_images_and_mask(sketching: Running, connect: Connect) -> None:
    image, mask = (
        build_reference(tiny_png(64, 64, (1, 2, each)), name=f"{each}.png")
        for each in (3, 4)
    )
    backend = connect(sketching.url, "sketch")
    job = msgspec.structs.replace(JOB, images=(image,), mask=mask)

    backend.generate(job, RecordingContext())

    sidecars = [path.read_text("utf-8") for path in sketching.images.rglob("*.json")]
    (received,) = [each for each in sidecars if image.sha256 in each]
    assert mask.sha256 in received


def test_a_request_whose_connection_is_cut_gets_the_one_image_that_is_made(
    shop: Running, connect: Connect
) -> None:
    gate = shop.folder / "upstream"
    job = msgspec.structs.replace(JOB, prompt=f"wait for {gate}")
    made: list[Generated] = []
    with CuttingRelay(shop.port) as relay:
        backend = connect(relay.url, "paid_probe")
        thread = Thread(
            target=lambda: made.append(backend.generate(job, RecordingContext()))
        )
        thread.start()
        until(lambda: shop.metric("imagen_requests_open") == 1)
        relay.cut_all()
        relay.resume()
        gate.touch()
        thread.join(60)

    assert [image.content for image in made[0].images] == [
        path.read_bytes() for path in shop.stored
    ]
    assert made[0].cost.micros == 10_000
    assert relay.cut >= 1
