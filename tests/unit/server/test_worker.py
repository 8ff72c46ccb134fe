"""What a worker tells the server about a request, without a process of its own."""

import socket
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

import pytest

from imagen.domain.events import Planned
from imagen.domain.request import GenerationRequest
from imagen.domain.result import StoredImage
from imagen.registry import find_adapter
from imagen.server.workers.messages import (
    Done,
    LearnedCapabilities,
    Message,
    Ready,
    Run,
    UpdateMessage,
)
from imagen.server.workers.process import Worker
from imagen.server.workers.work_item import WorkItem
from imagen.settings.load import default_settings


def run(item: WorkItem) -> list[Message]:
    """Return the messages of a worker that runs one item."""
    ours, theirs = (Connection(each.detach()) for each in socket.socketpair())
    worker = Worker(default_settings(find_adapter), theirs)
    thread = Thread(target=worker.run)
    thread.start()
    with ours:
        ours.send(Run(1, item))
        received: list[Message] = []
        while not (received and isinstance(received[-1], Done)):
            received.append(ours.recv())
    thread.join()
    theirs.close()
    return [
        each for each in received if not isinstance(each, Ready | LearnedCapabilities)
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_the_last_outcome_comes_with_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    first, *others, last = run(
        WorkItem(backend="mock", request=GenerationRequest(prompt="a fox", count=count))
    )

    assert isinstance(first, UpdateMessage)
    assert isinstance(first.update, Planned)
    assert isinstance(last, Done)
    assert isinstance(last.last, StoredImage)
    outcomes = [each.update for each in others if isinstance(each, UpdateMessage)]
    numbers = [each.number for each in outcomes if isinstance(each, StoredImage)]
    assert sorted([*numbers, last.last.number]) == [*range(1, count + 1)]
    assert len(outcomes) == count - 1
