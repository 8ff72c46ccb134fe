"""The servers of the tests: shared ones, and `serve` for a server of a test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.serve.running import Running, until

Serve = Callable[..., Running]

PLUGIN = Path(__file__).with_name("plugin")
KEY, OTHER = "0123456789abcdef-writer", "fedcba9876543210"
FAILURES = (
    *("refused", "unauthorized", "out_of_credit", "backend_error", "unfinished"),
    *("no_image", "throttled"),
)
CONFIG = {
    "default_backend": "mock",
    "backends": {
        "mock": {"adapter": "mock", "size": "96x64"},
        "small": {"adapter": "mock", "size": "64x64"},
        "paid": {"adapter": "mock", "price": 0.04, "size": "96x64"},
        "cheap": {"adapter": "mock", "price": 0.000003, "size": "64x64"},
        "probe": {"adapter": "many"},
        "paid_probe": {"adapter": "many", "price": 0.01},
        "single": {"adapter": "single"},
        "locked": {"adapter": "replicate", "model": "black-forest-labs/flux-schnell"},
        **{name: {"adapter": "mock", "fail": name} for name in FAILURES},
    },
    "styles": {
        "grim": {"prompt": "{prompt}, grim"},
        "flat": {"prompt": "flat vector", "negative": "haze", "size": "64x64"},
    },
    "serve": {"workers": 2},
    "budget": {"day_usd": 1},
}


def running_probe(
    folder: Path, config: Any = CONFIG, *, addr: str = ":0", **env: str
) -> Running:
    """Return a server that has the adapters of `plugin/`, and `site/` in its path."""
    path = f"{folder / 'site'}:{PLUGIN}"
    return Running(folder, config, addr=addr, env={"PYTHONPATH": path, **env})


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("serve")
    # Would be imported in place of the library, without the option -P.
    (folder / "msgspec.py").write_text("raise SystemExit('the wrong msgspec')")
    with running_probe(folder) as running:
        yield running


@pytest.fixture
def server(shared: Running) -> Running:
    """The server that all tests share; its images are those of the tests before."""
    shared.restart_if_dead()
    # The last test may have looked only for its image or its response.
    until(lambda: shared.metric("imagen_requests_open") == 0)
    return shared


@pytest.fixture
def client(server: Running) -> httpx.Client:
    return server.http


@pytest.fixture
def shop(server: Running) -> Running:
    """The same server, without images, calls and spending."""
    server.clear()
    return server


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that requires keys, on a public address."""
    config = {
        **CONFIG,
        "serve": {
            "hosts": ["images.example.org"],
            "budgets": {"writer": {"day_usd": 0.001}},
        },
    }
    keys = f"writer:{KEY}, {OTHER}"
    folder = tmp_path_factory.mktemp("guarded")
    with running_probe(
        folder, config, addr="0.0.0.0:0", IMAGEN_SERVE_KEYS=keys
    ) as running:
        yield running


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts a server with its own config."""
    numbers = count()
    with ExitStack() as started:

        def start(config: Any = None, **env: str) -> Running:
            folder = tmp_path / f"serve{next(numbers)}"
            return started.enter_context(running_probe(folder, config, **env))

        yield start


@pytest.fixture(scope="session")
def sketching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that records what its backends are asked, with aliases of models."""
    config = {
        "backends": {
            "sketch": {"adapter": "sketch", "size": "96x64"},
            "plain": {"adapter": "mock", "size": "64x64"},
            "learner": {"adapter": "learner", "size": "64x64"},
        },
        "default_backend": "sketch",
        "serve": {
            "workers": 1,
            "models": {
                "gpt-image-1": "sketch",
                "dall-e-*": "sketch",
                "plain-1": "plain",
            },
        },
    }
    folder = tmp_path_factory.mktemp("programs")
    with running_probe(folder, config, IMAGEN_SERVE_KEYS=f"writer:{KEY}") as running:
        yield running
