"""The queue of a backend: order, limits, and requests whose clients are away."""

import asyncio

import pytest

from imagen.server.errors import ErrorResponse
from imagen.server.jobs.backend_queue import BackendQueue, Place


def test_a_request_whose_client_is_away_is_passed_over_and_keeps_its_place() -> None:
    async def run() -> list[object]:
        queue = BackendQueue("x", concurrency=1, waiting=9)
        here: set[str] = {"a", "c", "d"}
        places: dict[str, Place] = {}
        for name in "abcd":
            places[name] = queue.enter(lambda name=name: name in here)
        seen: list[object] = [[places[name].number for name in "abcd"]]
        queue.release(places["a"])
        seen.append([places[name].number for name in "bcd"])
        here.add("b")
        queue.advance()
        queue.release(places["c"])
        seen.append([places[name].number for name in "bd"])
        return seen

    assert asyncio.run(run()) == [[0, 1, 2, 3], [1, 0, 2], [0, 1]]


def test_a_full_queue_rejects_and_a_closed_one_rejects_those_that_wait() -> None:
    async def run() -> list[int]:
        queue = BackendQueue("x", concurrency=1, waiting=1)
        queue.enter(lambda: True)
        waiting = queue.enter(lambda: False)
        statuses = []
        with pytest.raises(ErrorResponse) as full:
            queue.enter(lambda: True)
        queue.close()
        with pytest.raises(ErrorResponse) as rejected:
            await waiting.ready
        with pytest.raises(ErrorResponse) as closed:
            queue.enter(lambda: True)
        statuses += [each.value.status for each in (full, rejected, closed)]
        return statuses

    assert asyncio.run(run()) == [429, 503, 503]
