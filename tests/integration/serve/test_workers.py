"""The worker processes: their number, their errors, their end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.serve.conftest import Serve
from tests.integration.serve.running import Running, until
from tests.nightly import some_by_day


@pytest.fixture
def idle(shop: Running) -> Running:
    """The shared server with one worker, which is new and ready."""
    kill_workers(shop)
    assert ask(shop).status_code == 200
    return shop


def kill_workers(running: Running) -> None:
    """Kill all workers, and wait until the server has noticed."""
    workers, told = workers_of(running), "a worker exited with code"
    expected = running.log.read_text().count(told) + len(workers)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    until(lambda: running.log.read_text().count(told) == expected)


def workers_of(running: Running) -> list[int]:
    assert running.process is not None
    ours = str(running.process.pid)
    return [pid for pid, how, parent in processes() if parent == ours and how != "Z"]


def processes() -> Iterator[tuple[int, str, str]]:
    """Yield each process, its state, and its parent."""
    if sys.platform == "linux":  # where `ps` is a package of its own
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, parent = file.read_text().rpartition(")")[2].split()[:2]
                yield int(file.parent.name), state, parent
        return
    said = subprocess.run(
        ["ps", "-A", "-o", "pid=,stat=,ppid="], capture_output=True, check=True
    ).stdout.decode()
    for pid, state, parent in map(str.split, said.splitlines()):
        yield int(pid), state[0], parent


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def ask(running: Running, prompt: str = "a cat", **fields: Any) -> httpx.Response:
    return running.ask(prompt, **{"model": "probe", **fields})


@contextmanager
def crowd(running: Running, gate: str, size: int, model: str) -> Iterator[None]:
    """Have several requests run at the same time, then let them finish."""
    with ThreadPoolExecutor(size) as pool:
        answers = [
            pool.submit(ask, running, f"wait for {gate}", model=model)
            for _ in range(size)
        ]
        until(lambda: running.metric("imagen_requests_running", backend=model) == size)
        yield
        running.open_gate(gate)
    assert {answer.result().status_code for answer in answers} == {200}


def makers(running: Running) -> set[int]:
    """Return the processes that made the images."""
    images = running.http.get("/gallery/api/images").json()["images"]
    pages = [f"/gallery/api/images/{each['id']}" for each in images]
    notes = [running.http.get(page).json()["sidecar"] for page in pages]
    return {note["parameters"]["pid"] for note in notes}


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_workers_are_added_when_the_server_is_busy(idle: Running) -> None:
    assert len(workers_of(idle)) == 1
    with crowd(idle, "more", 8, "probe"):
        until(lambda: len(workers_of(idle)) == 2)  # the limit of the config
    # Until the second is ready, the first gets all requests.
    for number in range(100):
        with crowd(idle, f"spread{number}", 8, "probe"):
            assert len(workers_of(idle)) == 2
        if makers(idle) == set(workers_of(idle)):
            break
    else:
        raise AssertionError("the second worker makes no image")

    idle.clear()
    with crowd(idle, "single", 8, "single"):
        assert len(workers_of(idle)) == 2
    assert len(makers(idle)) == 1
    created = (idle.folder / "created").read_text().splitlines()
    assert created.count(str(*makers(idle))) == 2  # once for `probe`, once for `single`


def test_the_config_limits_the_number_of_workers(serve: Serve) -> None:
    running = serve(
        {"backends": {"probe": {"adapter": "many"}}, "serve": {"workers": 1}}
    )
    for gate in ("first", "second"):
        with crowd(running, gate, 8, "probe"):
            assert len(workers_of(running)) == 1


@pytest.mark.parametrize(("prompt", "code"), [("dead", 7), ("survived", 8)])
def test_the_death_of_a_worker_fails_only_its_requests(
    server: Running, prompt: str, code: int
) -> None:
    """`survived` leaves a child process that keeps the worker's socket open."""
    assert code_of(ask(server, prompt)) == (502, "interrupted")

    assert ask(server).status_code == 200
    assert f"a worker exited with code {code}" in server.log.read_text()


def test_a_worker_that_cannot_start_is_503(server: Running) -> None:
    first = server.folder / "site" / "sitecustomize.py"  # what Python runs first
    first.parent.mkdir(exist_ok=True)
    first.write_text("import os\nos._exit(4)\n")
    keyed = {"Idempotency-Key": "unstarted"}
    asked = {"prompt": "a cat", "size": "64x64", "model": "probe"}
    try:
        kill_workers(server)

        with ThreadPoolExecutor(8) as pool:
            said = list(pool.map(lambda _: ask(server), range(8)))
        said.append(
            server.http.post("/v1/images/generations", json=asked, headers=keyed)
        )
        until(lambda: server.http.get("/ready").json()["workers"] != "ok")
    finally:
        first.unlink()

    assert {code_of(answer) for answer in said} == {(503, "unavailable")}
    assert {answer.headers["x-should-retry"] for answer in said} == {"true"}
    # Nothing was sent: the key may be used again.
    again = server.http.post("/v1/images/generations", json=asked, headers=keyed)
    assert again.status_code == 200
    assert server.http.get("/ready").status_code == 200


def test_an_error_that_cannot_be_pickled_reaches_the_server(server: Running) -> None:
    assert code_of(ask(server, "odd")) == (500, "internal_error")

    assert ask(server).status_code == 200
    assert "OddError: this and that" in server.log.read_text()


def test_system_exit_in_a_worker_fails_only_its_request(server: Running) -> None:
    assert code_of(ask(server, "exit")) == (500, "internal_error")

    assert ask(server).status_code == 200
    assert "in generate" in server.log.read_text()  # where it was raised


@pytest.mark.parametrize(
    ("error", "listed", "asked"),
    [
        ("stop", (500, "internal_error"), (500, "internal_error")),
        ("exit", (500, "internal_error"), (500, "internal_error")),
        ("lost", (200, ""), (500, "misconfigured")),
    ],
)
def test_an_error_in_capabilities_fails_only_its_request(
    server: Running, error: str, listed: tuple[int, str], asked: tuple[int, str]
) -> None:
    file = server.folder / error
    file.touch()
    try:
        lists = [server.http.get(p) for p in ("/v1/models", "/gallery/api/choices")]
        answer = ask(server)
    finally:
        file.unlink()

    assert code_of(answer) == asked
    for each in lists:
        if listed[0] == 200:  # the other backends are listed, and the reason
            assert "log says what is missing" in each.text
        else:
            assert code_of(each) == listed
    if error == "lost":
        assert "/models is not there" not in answer.text
        assert "probe: /models is not there" in server.log.read_text()
    assert ask(server).status_code == 200


def test_a_crash_in_capabilities_ends_a_worker_and_not_the_server(
    server: Running,
) -> None:
    file = server.folder / "crash"
    file.touch()
    try:
        assert code_of(ask(server)) == (502, "interrupted")
    finally:
        file.unlink()

    assert ask(server).status_code == 200


def test_files_in_the_working_folder_are_not_imported(idle: Running) -> None:
    assert (idle.folder / "msgspec.py").exists()  # and yet a new worker has started

    assert ask(idle).status_code == 200


# The end of the server


@pytest.mark.parametrize(
    "number", some_by_day([signal.SIGTERM, signal.SIGINT], count=1)
)
def test_a_server_that_ends_before_its_worker_is_ready_logs_nothing(
    serve: Serve, number: int
) -> None:
    running = serve()

    running.stop(number)

    assert len(running.log.read_text().splitlines()) == 1


def test_a_frozen_worker_does_not_outlive_a_killed_server(serve: Serve) -> None:
    running = serve({"backends": {"probe": {"adapter": "many"}}})
    assert ask(running).status_code == 200
    [worker] = workers_of(running)
    if sys.platform == "linux":  # elsewhere only a running worker notices
        os.kill(worker, signal.SIGSTOP)

    running.kill()

    until(lambda: gone(worker))


def test_a_second_signal_ends_the_server_and_a_frozen_worker_at_once(
    serve: Serve,
) -> None:
    running = serve({"backends": {"probe": {"adapter": "many"}}})
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(ask, running, "wait for never")
        until(lambda: running.metric("imagen_requests_running", backend="probe") == 1)
        [worker] = workers_of(running)
        os.kill(worker, signal.SIGSTOP)
        running.send_signal(signal.SIGINT)
        until(lambda: not running.listens)

        assert running.stop(signal.SIGINT) == 130
        assert isinstance(begun.exception(), httpx.HTTPError)

    until(lambda: gone(worker))


def test_signals_to_workers_end_no_running_request(serve: Serve) -> None:
    running = serve({"backends": {"probe": {"adapter": "many"}}})
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(ask, running, "wait for gate")
        until(lambda: running.metric("imagen_requests_running", backend="probe") == 1)
        [worker] = workers_of(running)
        for number in (signal.SIGINT, signal.SIGTERM):  # as tmux and systemd do
            os.kill(worker, number)
        running.send_signal(signal.SIGTERM)
        until(lambda: not running.listens)
        running.open_gate("gate")

        assert running.wait() == 0
        assert begun.result().status_code == 200
    until(lambda: gone(worker))
