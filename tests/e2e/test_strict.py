"""A strict request whose stored image is not as requested."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import imagen as library
from tests.e2e.accounts import short_waits
from tests.e2e.conftest import Ask, Start
from tests.e2e.test_paid import Customer, kill
from tests.integration.replicate.server import ReplicateServer

__all__ = ["short_waits"]  # a fixture


@pytest.fixture
def server() -> Iterator[ReplicateServer]:
    with ReplicateServer() as server:
        yield server


@pytest.fixture
def customer(ask: Ask, start: Start, server: ReplicateServer, here: Path) -> Customer:
    return Customer(ask, start, server, here)


def one_differs_and_one_fails(server: ReplicateServer) -> None:
    """Order trouble for the next two predictions."""
    server.trouble(seed_used=99, times=1)
    server.trouble(ends="failed", times=2)
    server.trouble(ends="succeeded", times=1)


@pytest.mark.parametrize("words", [(), ("--key", "strict")])
def test_an_image_that_is_not_as_requested_is_exit_4_each_time(
    customer: Customer, server: ReplicateServer, words: tuple[str, ...]
) -> None:
    words = (*customer.words, "--seed", "5", "--count", "2", "--strict", *words)
    one_differs_and_one_fails(server)
    first = customer.run(*words)
    assert (first.code, len(first.lines)) == (4, 1)

    repeated = [customer.run(*words)]
    if "--key" in words:
        repeated.append(customer.run(*words))

    for each in repeated:
        assert each.code == 4
        assert len(each.lines) == 2
        assert f"{first.lines[0]} is not as requested: seed 5 becomes 99" in each.err
        assert each.err.count("not as requested") == 1
    assert server.paid == 2


def test_what_resume_continues_has_to_be_as_requested(
    customer: Customer, server: ReplicateServer
) -> None:
    words = (*customer.words, "--seed", "5", "--count", "2", "--strict")
    one_differs_and_one_fails(server)
    customer.run(*words)
    [command] = [job for job in customer.jobs if "command" in job]

    made = customer.run("resume", command["id"], "--continue")

    assert (made.code, len(made.lines), server.paid) == (4, 2, 2)


def test_resume_reports_an_image_that_is_not_as_requested(
    customer: Customer, server: ReplicateServer
) -> None:
    server.trouble(never_ends=True, seed_used=99)
    words = (*customer.words, "--seed", "5", "--strict")
    kill(customer.start(*words), server, when=lambda: server.looked)
    server.end(0)

    resumed = customer.run("resume")

    assert (resumed.code, len(resumed.lines)) == (1, 1)
    assert f"{resumed.lines[0]} is not as requested: seed 5 becomes 99" in resumed.err
    assert (server.paid, customer.jobs) == (1, [])


def test_python_gets_an_image_that_is_not_as_requested_with_the_error(
    customer: Customer, server: ReplicateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in customer.env.items():
        monkeypatch.setenv(name, value)
    place = customer.images / "x.webp"
    request: Any = {"backend": "paid", "seed": 5, "output": place}
    server.trouble(seed_used=99, times=3)

    with pytest.raises(library.NotAsRequested, match="seed 5 becomes 99") as one:
        library.generate("a red fox", **request, strict=True)
    with pytest.raises(library.SomeImagesFailed) as two:
        library.generate("a red fox", **request, strict=True, count=2)
    lenient = library.generate("a red fox", **request)

    assert isinstance(one.value.image, library.Image)
    assert one.value.image.path == place
    names = [Path(str(each.path)).name for each in two.value.images]  # type: ignore[attr-defined]
    assert names == ["x-1.webp", "x-2.webp"]
    assert {type(error) for error in two.value.errors} == {library.NotAsRequested}
    assert lenient.seed == 5
