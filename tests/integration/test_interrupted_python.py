"""A Python call that is interrupted, and repeated, is paid once."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from tests.integration.replicate.server import ReplicateServer

import imagen
from imagen.domain.events import Event, Trashed

CONFIG = """\
usage: {{remote: off}}
backends:
  paid: {{adapter: replicate, model: black-forest-labs/flux-schnell, base_url: "{url}"}}
"""
GENERATE = "imagen.generate('a fox', backend='paid').path.name"
SWEEP = (
    "[image.path.name for image in imagen.sweep('a fox', backend='paid', seed='1..3',"
    " jobs=1, output='x.webp', sheet=False).images]"
)


@pytest.fixture
def server() -> Iterator[ReplicateServer]:
    with ReplicateServer() as server:
        yield server


@pytest.fixture(autouse=True)
def here(
    tmp_path: Path, server: ReplicateServer, monkeypatch: pytest.MonkeyPatch
) -> Path:
    (tmp_path / "c.yaml").write_text(CONFIG.format(url=server.url))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("IMAGEN_CONFIG", str(tmp_path / "c.yaml"))
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("REPLICATE_API_TOKEN", server.token)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def is_polled(server: ReplicateServer, *, number: int) -> bool:
    return server.created == number and server.predictions[-1].looks > 0


class Kernel:
    """A kernel that runs one cell after the other."""

    def __init__(self, client: NotebookClient) -> None:
        self._client = client
        self._process = int(self.run("import os, imagen; os.getpid()"))

    def run(self, source: str) -> str:
        """Run a cell, and return its value or the name of its error."""
        cell = nbformat.v4.new_code_cell(source)
        self._client.nb.cells.append(cell)
        self._client.execute_cell(cell, len(self._client.nb.cells) - 1)
        for output in cell.outputs:
            if output.output_type == "error":
                return str(output.ename)
            if output.output_type == "execute_result":
                return str(output.data["text/plain"])
        raise AssertionError(cell.outputs)

    def interrupt(self, source: str, server: ReplicateServer, *, created: int) -> str:
        """Run a cell, and interrupt it when its last prediction is polled."""

        def interrupt() -> None:
            server.wait_until(lambda: is_polled(server, number=created))
            os.kill(self._process, signal.SIGINT)

        thread = Thread(target=interrupt)
        thread.start()
        try:
            return self.run(source)
        finally:
            thread.join()


@contextmanager
def start_kernel(folder: Path) -> Iterator[Kernel]:
    client = NotebookClient(
        nbformat.v4.new_notebook(),
        timeout=60,
        allow_errors=True,
        resources={"metadata": {"path": str(folder)}},
    )
    with client.setup_kernel():
        yield Kernel(client)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the kernel's client
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_cell_that_is_run_again_is_paid_once(
    here: Path, server: ReplicateServer
) -> None:
    # An image is made although its job is cancelled, and has to be paid for.
    late: Any = {"never_ends": True, "ignores_cancel": True}
    with start_kernel(here) as kernel:
        server.trouble(**late, times=1)
        assert kernel.interrupt(GENERATE, server, created=1) == "KeyboardInterrupt"
        assert kernel.run(GENERATE).endswith(".webp'")
        assert (server.created, server.paid) == (1, 1)

        server.trouble(**late, times=2)
        server.trouble(never_ends=False, times=1)
        assert kernel.interrupt(SWEEP, server, created=3) == "KeyboardInterrupt"
        assert kernel.run(SWEEP) == "['x-1.webp', 'x-2.webp', 'x-3.webp']"
        assert (server.created, server.paid) == (4, 4)


def test_a_cancelled_task_that_is_started_again_is_paid_once(
    server: ReplicateServer,
) -> None:
    server.trouble(never_ends=True, ignores_cancel=True, times=1)

    async def impatient() -> None:
        task = asyncio.create_task(imagen.agenerate("a fox", backend="paid"))
        await asyncio.to_thread(server.wait_until, lambda: is_polled(server, number=1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(impatient())
    image = asyncio.run(imagen.agenerate("a fox", backend="paid"))

    assert image.path.exists()
    assert (server.created, server.paid) == (1, 1)


def test_an_interrupt_while_the_sheet_is_stored_costs_nothing(
    here: Path, server: ReplicateServer
) -> None:
    (here / "x-sheet.png").write_bytes(b"old")
    request: Any = {"backend": "paid", "seed": "1,2", "output": "x.webp"}

    def interrupt(event: Event) -> None:
        if isinstance(event, Trashed):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imagen.sweep("a fox", **request, listen=interrupt)
    made = imagen.sweep("a fox", **request)

    assert [image.path.name for image in made.images] == ["x-1.webp", "x-2.webp"]
    assert (server.created, server.paid) == (2, 2)
