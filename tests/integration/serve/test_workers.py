"""The worker processes: their number, their errors, their end."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.replicate.models import SCHNELL
from tests.integration.replicate.server import ReplicateServer
from tests.integration.serve.conftest import Serve
from tests.integration.serve.running import Running, until
from tests.integration.serve.test_ending import answers

GENERATIONS = "/v1/images/generations"
ASKED = {"prompt": "a cat", "size": "64x64"}
LONG = 120

PLUGIN = """
    import os
    import time

    import msgspec
    from imagen.adapters.backends.mock.adapter import MockOptions, create as build
    from imagen.ports.adapter import Adapter
    from imagen.domain.errors import Misconfigured
    from imagen.domain.result import Generated


    class Odd(Exception):
        def __init__(self, one, *, other):
            super().__init__(f"{one} and {other}")


    class Told:
        def __init__(self, mock):
            self._mock = mock

        def capabilities(self):
            if os.path.exists("stop"):
                raise StopIteration
            if os.path.exists("exit"):
                raise SystemExit(3)
            if os.path.exists("crash"):
                os._exit(9)
            if os.path.exists("lost"):
                raise Misconfigured("/models is not there")
            return self._mock.capabilities()

        def generate(self, job, context):
            if job.prompt == "odd":
                raise Odd("this", other="that")
            if job.prompt == "exit":
                raise SystemExit(3)
            if job.prompt == "dead":
                os._exit(7)
            if job.prompt == "survived":
                if os.fork() == 0:
                    time.sleep(30)
                os._exit(8)
            made = self._mock.generate(job, context)
            return msgspec.structs.replace(made, parameters={"pid": os.getpid()})


    def create(options, context):
        with open("created", "a") as log:
            print(os.getpid(), file=log)
        return Told(build(options, context))


    one = Adapter(summary="In one.", options=MockOptions, create=create)
    many = Adapter(
        summary="In many.", options=MockOptions, create=create, multiprocess=True
    )
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """An adapter that records its process id: single-process `one`, and `many`."""
    info = tmp_path / "plugin" / "told-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: told\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[imagen.backends]\none = told:one\nmany = told:many\n"
    )
    (tmp_path / "plugin" / "told.py").write_text(textwrap.dedent(PLUGIN))
    return tmp_path / "plugin"


@pytest.fixture
def vendor() -> Iterator[ReplicateServer]:
    with ReplicateServer(seconds=1) as vendor:
        yield vendor


@pytest.fixture
def told(serve: Serve, plugin: Path) -> Callable[..., Running]:
    def start(adapter: str, *, delay: float = 0, **limits: int) -> Running:
        return serve(
            {
                "backends": {"told": {"adapter": adapter, "delay": delay}},
                "serve": limits,
            },
            env={"PYTHONPATH": str(plugin)},
        )

    return start


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


def ask(running: Running, prompt: str = "a cat", **headers: str) -> httpx.Response:
    with running.client() as client:
        asked = {"prompt": prompt, "size": "64x64"}
        return client.post(GENERATIONS, json=asked, headers=headers)


def crowd(running: Running, size: int) -> list[httpx.Response]:
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda n: ask(running, f"cat {n}"), range(size)))


def makers(running: Running) -> set[int]:
    with running.client() as client:
        made = client.get("/gallery/api/images").json()["images"]
        pages = [f"/gallery/api/images/{each['id']}" for each in made]
        notes = [client.get(page).json()["sidecar"] for page in pages]
    return {note["parameters"]["pid"] for note in notes}


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_workers_are_added_when_the_server_is_busy(told: Any) -> None:
    running = told("many", delay=0.3, workers=2)
    ask(running)
    assert len(workers_of(running)) == 1

    for _ in range(4):
        assert {each.status_code for each in crowd(running, 8)} == {200}

    assert len(workers_of(running)) == 2
    assert makers(running) == set(workers_of(running))


def test_the_config_limits_the_number_of_workers(told: Any) -> None:
    running = told("many", delay=0.2, workers=1)

    crowd(running, 8)
    crowd(running, 8)

    assert len(workers_of(running)) == 1


def test_a_single_process_backend_runs_in_one_worker(told: Any) -> None:
    running = told("one", delay=0.2, workers=4)

    for _ in range(3):
        crowd(running, 8)

    assert len(makers(running)) == 1


def test_the_death_of_a_worker_fails_only_its_requests(told: Any) -> None:
    running = told("many")

    assert code_of(ask(running, "dead")) == (502, "interrupted")

    assert ask(running).status_code == 200
    assert "a worker exited with code 7" in running.log.read_text()


def test_a_worker_that_cannot_start_is_503(told: Any, plugin: Path) -> None:
    running = told("many")
    ask(running)
    first = plugin / "sitecustomize.py"  # what Python runs before anything else
    first.write_text("import os\nos._exit(4)\n")
    [worker] = workers_of(running)
    os.kill(worker, signal.SIGKILL)
    until(lambda: not workers_of(running))

    with ThreadPoolExecutor(8) as pool:
        keyed = {"Idempotency-Key": "one"}
        said = list(pool.map(lambda _: ask(running), range(8)))
        said.append(ask(running, **keyed))

    assert {code_of(answer) for answer in said} == {(503, "unavailable")}
    assert {answer.headers["x-should-retry"] for answer in said} == {"true"}
    first.unlink()
    assert ask(running, **keyed).status_code == 200


def test_a_surviving_child_process_does_not_hide_a_dead_worker(told: Any) -> None:
    running = told("many")

    assert code_of(ask(running, "survived")) == (502, "interrupted")

    assert ask(running).status_code == 200
    assert "a worker exited with code 8" in running.log.read_text()


def test_an_error_that_cannot_be_pickled_reaches_the_server(told: Any) -> None:
    running = told("many")

    assert code_of(ask(running, "odd")) == (500, "internal_error")

    assert ask(running).status_code == 200
    assert "Odd: this and that" in running.log.read_text()


def test_the_log_has_the_details_that_a_response_omits(told: Any) -> None:
    running = told("many")
    running.config.with_name("lost").touch()

    answer = ask(running)

    assert code_of(answer) == (500, "misconfigured")
    assert "log says what is missing" in answer.text
    assert "told: /models is not there" in running.log.read_text()


def test_system_exit_in_a_worker_fails_only_its_request(told: Any) -> None:
    running = told("many")

    assert code_of(ask(running, "exit")) == (500, "internal_error")

    stop = running.config.with_name("stop")
    stop.touch()
    assert code_of(ask(running)) == (500, "internal_error")
    stop.unlink()
    assert ask(running).status_code == 200
    assert "in generate" in running.log.read_text()  # where it was raised


@pytest.mark.parametrize("error", ["stop", "exit"])
def test_system_exit_in_capabilities_does_not_end_the_server(
    told: Any, error: str
) -> None:
    running = told("many")
    running.config.with_name(error).touch()

    for path in ("/v1/models", "/gallery/api/choices"):
        with running.client() as client:
            answer = client.get(path)
        assert code_of(answer) == (500, "internal_error")

    running.config.with_name(error).unlink()
    assert ask(running).status_code == 200


def test_a_crash_in_capabilities_ends_a_worker_and_not_the_server(told: Any) -> None:
    running = told("many")
    running.config.with_name("crash").touch()

    assert code_of(ask(running)) == (502, "interrupted")

    running.config.with_name("crash").unlink()
    assert ask(running).status_code == 200


def test_a_backend_for_one_process_is_built_once(told: Any) -> None:
    running = told("one")

    assert [ask(running).status_code for _ in range(3)] == [200] * 3

    created = running.config.with_name("created").read_text().split()
    assert created == [str(pid) for pid in workers_of(running)]


def test_paid_images_of_a_dead_worker_are_fetched(
    serve: Serve, vendor: ReplicateServer
) -> None:
    backend = {"adapter": "replicate", "model": SCHNELL, "base_url": vendor.url}
    running = serve(
        {"backends": {"paid": backend}}, env={"REPLICATE_API_TOKEN": vendor.token}
    )
    paid = {"prompt": "a fox", "size": "1024x1024"}
    key = {"Idempotency-Key": "fox"}
    with ThreadPoolExecutor(1) as pool, running.client() as client:
        begun: Future[httpx.Response] = pool.submit(
            client.post, GENERATIONS, json=paid, headers=key
        )
        until(lambda: vendor.paid == 1)
        [worker] = workers_of(running)
        os.kill(worker, signal.SIGKILL)
        first = begun.result()

        until(lambda: len(running.stored) == 1)
        again = client.post(GENERATIONS, json=paid, headers=key)
        while again.status_code == 409:  # stored, but the call is not closed yet
            again = client.post(GENERATIONS, json=paid, headers=key)

    assert code_of(first) == (502, "interrupted")
    assert first.headers["x-should-retry"] == "false"
    assert again.status_code == 200
    assert vendor.paid == 1
    assert len(running.stored) == 1


def test_no_worker_outlives_the_server(told: Any) -> None:
    running = told("many", delay=LONG)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(ask, running)
        until(lambda: "running{" in metrics(running) and busy(running) == 1)
        [worker] = workers_of(running)

        running.kill()

        until(lambda: gone(worker))


def test_a_frozen_worker_is_killed_with_the_server(told: Any) -> None:
    running = told("many", delay=LONG)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(ask, running)
        until(lambda: busy(running) == 1)
        [worker] = workers_of(running)
        os.kill(worker, signal.SIGSTOP)
        assert running.process is not None
        running.process.send_signal(signal.SIGINT)
        until(lambda: not answers(running))

        assert running.stop(signal.SIGINT) == 130

    until(lambda: gone(worker))


def test_unfinished_requests_are_logged_and_left_to_the_next_server(told: Any) -> None:
    running = told("many", delay=LONG, grace=1)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(ask, running)
        until(lambda: busy(running) == 1)
        [worker] = workers_of(running)

        assert running.stop() == 0

    assert "1 requests did not finish in time" in running.log.read_text()
    until(lambda: gone(worker))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_ends_before_its_worker_is_ready_logs_nothing(
    told: Any, number: int
) -> None:
    running = told("many")

    running.stop(number)

    assert len(running.log.read_text().splitlines()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends it")
def test_a_frozen_worker_does_not_outlive_a_killed_server(told: Any) -> None:
    running = told("many")
    ask(running)
    [worker] = workers_of(running)
    os.kill(worker, signal.SIGSTOP)

    running.kill()

    until(lambda: gone(worker))


def test_signals_to_workers_end_no_running_request(told: Any) -> None:
    running = told("many", delay=1.5)
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(ask, running)
        until(lambda: busy(running) == 1)
        [worker] = workers_of(running)
        for number in (signal.SIGINT, signal.SIGTERM):  # as tmux and systemd do
            os.kill(worker, number)

        assert running.stop(signal.SIGTERM) == 0
        assert begun.result().status_code == 200
    until(lambda: gone(worker))


def test_files_in_the_working_folder_are_not_imported(serve: Serve) -> None:
    running = serve()
    running.kill()
    (running.config.parent / "msgspec.py").write_text("raise SystemExit('taken')")
    running.start()

    assert ask(running).status_code == 200


def metrics(running: Running) -> str:
    with running.client() as client:
        return client.get("/metrics").text


def busy(running: Running) -> int:
    [line] = [
        line
        for line in metrics(running).splitlines()
        if line.startswith('imagen_requests_running{backend="told"')
    ] or ["0"]
    return int(float(line.split()[-1]))
