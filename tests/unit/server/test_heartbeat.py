"""A worker that stops responding is killed; the test sends the pings itself."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from imagen.domain.request import GenerationRequest
from imagen.engine.cancellation import Cancellation
from imagen.registry import find_adapter
from imagen.server.workers import pool
from imagen.server.workers.pool import MAX_UNANSWERED, WorkerDied, Workers
from imagen.server.workers.work_item import WorkItem
from imagen.settings.load import default_settings

ITEM = WorkItem(backend="mock", request=GenerationRequest(prompt="a fox"))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the pool has no event for it
        await asyncio.sleep(0.01)


def test_a_frozen_worker_is_killed_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "HEARTBEAT_INTERVAL", 3600)
    lines: list[str] = []
    died: list[int] = []

    async def run() -> None:
        workers = Workers(
            default_settings(find_adapter),
            log=lines.append,
            on_worker_died=lambda: died.append(1),
        )
        worker = workers.spawn()
        await until(lambda: workers.available)
        for _ in range(2 * MAX_UNANSWERED):  # it answers, however often it is asked
            worker.ping()
            await until(lambda: worker.unanswered == 0)
        os.kill(worker.pid, signal.SIGSTOP)
        running = asyncio.create_task(workers.run(ITEM, Cancellation(), lambda _: None))
        while lines == []:
            worker.ping()
        assert not workers.available
        with pytest.raises(WorkerDied) as caught:
            await running
        assert (caught.value.status, caught.value.details.code) == (502, "interrupted")
        assert died == [1]
        await until(lambda: workers.available)
        await workers.run(ITEM, Cancellation(), lambda _: None)
        await workers.close()

    asyncio.run(asyncio.wait_for(run(), 120))

    assert "did not respond" in lines[0]
    assert list(tmp_path.glob("*.png"))
