"""Jobs without clients: how long they go on."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from imagen.domain.errors import Cancelled
from imagen.domain.events import Planned
from imagen.domain.request import GenerationRequest
from imagen.domain.result import FailedImage
from imagen.engine.cancellation import Cancellation
from imagen.registry import find_adapter
from imagen.server.jobs.connection import ClientConnection
from imagen.server.jobs.dispatcher import RequestDispatcher
from imagen.server.jobs.job import Job, JobRequest
from imagen.server.jobs.service import ServerContext
from imagen.server.workers.pool import OnUpdate, Workers
from imagen.server.workers.work_item import WorkItem
from imagen.settings.document import parse
from imagen.settings.environment import Environment
from imagen.settings.validate import validate


class EndlessWorkers(Workers):
    """Begins each item at once, and ends it only when it is cancelled."""

    may_cost = False

    async def run(
        self, item: WorkItem, cancellation: Cancellation, on_update: OnUpdate
    ) -> None:
        on_update(Planned(backend=item.backend, images=1, may_cost=self.may_cost))
        ended = asyncio.Event()
        cancellation.on_cancel(ended.set)
        await ended.wait()
        on_update(FailedImage(number=1, error=Cancelled("Cancelled.", settled=True)))


class Desk:
    """A dispatcher with such workers."""

    def __init__(self, folder: Path, *, may_cost: bool, free_linger: float) -> None:
        settings = validate(
            parse(b"backends: {a: {adapter: mock}}", source="c"),
            adapter_of=find_adapter,
        )
        environment = Environment({"IMAGEN_DATA_DIR": str(folder)})
        self.context = ServerContext(
            settings, environment=environment, log=lambda _: None
        )
        workers = EndlessWorkers(
            settings, log=lambda _: None, on_worker_died=lambda: None
        )
        workers.may_cost = may_cost
        self.context.workers = workers
        self.dispatcher = RequestDispatcher(self.context, free_linger=free_linger)

    async def ask(
        self, prompt: str = "a cat", *, detached: bool | None = None
    ) -> tuple[Job, ClientConnection]:
        connection = ClientConnection({})
        item = WorkItem(backend="a", request=GenerationRequest(prompt=prompt))
        request = JobRequest(
            backend="a",
            build_item=lambda: item,
            caller="",
            fingerprint=prompt,
            detached=detached,
        )
        return await self.dispatcher.submit(request, connection), connection

    async def close(self) -> None:
        for job in self.dispatcher.list_jobs(""):
            self.dispatcher.cancel(job)
        self.dispatcher.close()
        await self.dispatcher.drain()
        await self.context.close()


async def a_few_rounds() -> None:
    """Let everything happen that is due."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until_planned(job: Job) -> None:
    while not job.planned:
        await job.changed.wait()


Scenario = Callable[[Desk], Coroutine[Any, Any, None]]


def play(
    folder: Path, scenario: Scenario, *, may_cost: bool, free_linger: float = 0
) -> None:
    async def run() -> None:
        desk = Desk(folder, may_cost=may_cost, free_linger=free_linger)
        try:
            await scenario(desk)
        finally:
            await desk.close()

    asyncio.run(run())


@pytest.mark.parametrize("may_cost", [False, True])
def test_only_a_free_job_is_cancelled_some_time_after_its_client_has_left(
    tmp_path: Path, *, may_cost: bool
) -> None:
    async def scenario(desk: Desk) -> None:
        job, connection = await desk.ask()
        await until_planned(job)
        connection.end(answered=False)
        if may_cost:
            await a_few_rounds()
            assert not job.cancellation.event.is_set()
        else:
            await asyncio.wait([job.task])
        assert desk.dispatcher.open == may_cost

    play(tmp_path, scenario, may_cost=may_cost)


def test_a_free_job_goes_on_for_the_client_that_joins_it(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        job, connection = await desk.ask()
        await until_planned(job)
        connection.end(answered=False)
        again, joined = await desk.ask()

        assert again is job
        assert joined.headers == {"Imagen-Job": job.id, "Imagen-Joined": job.id}
        assert job.timer is not None
        assert job.timer.cancelled()

    play(tmp_path, scenario, may_cost=False, free_linger=60)


@pytest.mark.parametrize("detached", [False, True])
def test_a_client_decides_whether_its_paid_job_goes_on(
    tmp_path: Path, *, detached: bool
) -> None:
    async def scenario(desk: Desk) -> None:
        job, connection = await desk.ask(detached=detached)
        await until_planned(job)
        cancellation = job.cancellation
        connection.end(answered=False)
        await a_few_rounds()

        assert cancellation.event.is_set() != detached

    play(tmp_path, scenario, may_cost=True)


def test_a_cancelled_job_is_not_joined(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        job, connection = await desk.ask()
        await until_planned(job)
        desk.dispatcher.cancel(job)
        await asyncio.wait([job.task])
        connection.end(answered=False)
        again, _ = await desk.ask()

        assert again is not job

    play(tmp_path, scenario, may_cost=True)


def test_an_ended_job_keeps_no_image_in_memory(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        job, connection = await desk.ask()
        await until_planned(job)
        desk.dispatcher.cancel(job)
        await asyncio.wait([job.task])
        connection.end(answered=True)

        assert job.outcomes == []
        assert not job.result.done()
        with pytest.raises(RuntimeError):
            job.build_item()

    play(tmp_path, scenario, may_cost=False)
