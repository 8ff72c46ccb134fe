"""Fixtures of the server tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.serve.running import Running

Serve = Callable[..., Running]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the mock backend, shared by the tests of a module."""
    with Running(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts a server with its own config."""
    numbers = count()
    with ExitStack() as started:

        def start(config: Any = None, **options: Any) -> Running:
            running = Running(tmp_path / f"serve{next(numbers)}", config, **options)
            return started.enter_context(running)

        yield start
