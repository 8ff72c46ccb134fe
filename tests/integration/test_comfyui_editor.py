"""A workflow in the editor's format, converted with the node types of the server."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
import pytest
from tests.integration.comfyui.drawing import CHECKPOINT, draw_stock
from tests.integration.comfyui.server import ComfyServer
from tests.unit.adapters.backends.comfyui.editors import Document

from imagen.adapters.backends.comfyui.adapter import ComfyOptions, create
from imagen.adapters.system.clock import SystemClock
from imagen.cli.app import main
from imagen.domain.errors import InvalidRequest, Misconfigured, Unavailable
from imagen.domain.job import ImageJob
from imagen.domain.size import Size
from imagen.ports.adapter import BackendContext, Secrets
from imagen.ports.backend import (
    CheckableBackend,
    ImageBackend,
    LookupBackend,
    PerModelBackend,
    ResumableBackend,
)
from imagen.testing.fakes import StoppableContext

JOB = ImageJob(number=1, prompt="a dog", size=Size(64, 64), seed=9, timeout=60)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[ComfyServer]:
    with ComfyServer() as server:
        yield server


@pytest.fixture
def document() -> Document:
    return draw_stock()


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[[Document, str], ImageBackend]]:
    built: list[ImageBackend] = []

    def build_one(document: Document, url: str) -> ImageBackend:
        file = tmp_path / "drawn.json"
        file.write_text(json.dumps(document))
        options = ComfyOptions(base_url=url, workflow=str(file))
        context = BackendContext(name="mine", clock=SystemClock(), secrets=Secrets())
        built.append(create(options, context))
        return built[-1]

    yield build_one
    for backend in built:
        backend.close()


def test_it_is_converted_before_the_plan_and_submitted(
    build: Callable[[Document, str], ImageBackend],
    server: ComfyServer,
    document: Document,
) -> None:
    backend = build(document, server.url)
    assert isinstance(backend, PerModelBackend)

    can = backend.capabilities_of("", StoppableContext())
    backend.generate(JOB, StoppableContext())

    assert can.sizes.default == Size(64, 96)
    assert can.model == CHECKPOINT
    sent = server.prompts[-1].graph
    assert sent["6"]["inputs"] == {"text": "a dog", "clip": ["4", 1]}
    assert sent["3"]["inputs"]["seed"] == 9
    assert sent["3"]["inputs"]["sampler_name"] == "euler"


def test_a_model_that_the_server_lacks_is_refused_with_its_files(
    build: Callable[[Document, str], ImageBackend],
    server: ComfyServer,
    document: Document,
) -> None:
    backend = build(document, server.url)
    assert isinstance(backend, PerModelBackend)

    assert backend.capabilities_of(CHECKPOINT, StoppableContext()).model == CHECKPOINT
    with pytest.raises(InvalidRequest, match=r"^model: 'v1-5' is not") as caught:
        backend.capabilities_of("v1-5", StoppableContext())
    assert CHECKPOINT in caught.value.hint


def test_a_job_of_another_process_needs_no_plan_before(
    build: Callable[[Document, str], ImageBackend],
    server: ComfyServer,
    document: Document,
) -> None:
    backend = build(document, server.url)

    backend.generate(JOB, StoppableContext())

    assert server.prompts[-1].graph["6"]["inputs"]["text"] == "a dog"


def test_it_is_checked_as_a_whole(
    build: Callable[[Document, str], ImageBackend],
    server: ComfyServer,
    document: Document,
) -> None:
    backend = build(document, server.url)
    assert isinstance(backend, CheckableBackend)

    names = {each.name for each in backend.check(StoppableContext()) if each.ready}

    assert {"server", "node KSampler", f"file {CHECKPOINT}"} <= names


def test_its_check_says_why_it_cannot_be_converted(
    build: Callable[[Document, str], ImageBackend],
    server: ComfyServer,
    document: Document,
) -> None:
    document["nodes"][-1]["type"] = "MySave"
    backend = build(document, server.url)
    assert isinstance(backend, CheckableBackend)

    checked = {each.name: each for each in backend.check(StoppableContext())}

    assert checked["server"].ready
    assert not checked["workflow"].ready
    assert "MySave" in checked["workflow"].note


def test_its_job_is_found_and_fetched_by_another_process(
    build: Callable[[Document, str], ImageBackend],
    server: ComfyServer,
    document: Document,
) -> None:
    job = msgspec.structs.replace(JOB, seed=11)
    made = build(document, server.url).generate(job, StoppableContext())
    finder, fetcher = build(document, server.url), build(document, server.url)
    assert isinstance(finder, LookupBackend)

    found = finder.find(job, since=LONG_AGO, context=StoppableContext())
    assert list(found) == server.ran[-1:]
    assert isinstance(fetcher, ResumableBackend)
    again = fetcher.resume(job, found[0], StoppableContext())

    assert [each.content for each in again.images] == [
        each.content for each in made.images
    ]
    assert again.model == CHECKPOINT


def test_a_server_that_does_not_know_its_nodes_ends_no_job(
    build: Callable[[Document, str], ImageBackend],
    server: ComfyServer,
    document: Document,
) -> None:
    document["nodes"][-1]["type"] = "MySave"
    backend = build(document, server.url)
    assert isinstance(backend, LookupBackend)

    for call in (
        partial(backend.find, JOB, since=LONG_AGO, context=StoppableContext()),
        partial(backend.resume, JOB, "1", StoppableContext()),
    ):
        with pytest.raises(Misconfigured, match=r"^mine: .*MySave"):
            call()


def test_a_program_that_is_not_comfyui_ends_no_job_and_lacks_no_model(
    build: Callable[[Document, str], ImageBackend], document: Document
) -> None:
    with ComfyServer() as other:
        other.spoil("/object_info/KSampler", status=404)
        backend = build(document, other.url)
        assert isinstance(backend, LookupBackend)
        assert isinstance(backend, PerModelBackend)

        for call in (
            partial(backend.capabilities_of, "", StoppableContext()),
            partial(backend.find, JOB, since=LONG_AGO, context=StoppableContext()),
            partial(backend.resume, JOB, "1", StoppableContext()),
            partial(backend.generate, JOB, StoppableContext()),
        ):
            with pytest.raises(Unavailable) as caught:
                call()
            assert caught.value.hint == "Check base_url."
        assert other.prompts == []


def test_one_that_makes_only_a_video_is_refused_before_it_runs(
    build: Callable[[Document, str], ImageBackend], document: Document
) -> None:
    with ComfyServer() as own:
        save = document["nodes"][-1]
        save.update(type="SaveWEBM", widgets_values=["x", 8.0])
        with pytest.raises(Misconfigured, match="makes a video, and imagen stores"):
            build(document, own.url).generate(JOB, StoppableContext())
        assert own.prompts == []


def test_without_the_server_it_is_told(
    build: Callable[[Document, str], ImageBackend], document: Document
) -> None:
    backend = build(document, "http://127.0.0.1:9")
    assert isinstance(backend, PerModelBackend)

    assert backend.capabilities().may_cost is False
    with pytest.raises(Unavailable, match="was not reached"):
        backend.capabilities_of("", StoppableContext())


def test_a_node_that_the_server_lacks_is_named(
    build: Callable[[Document, str], ImageBackend],
    server: ComfyServer,
    document: Document,
) -> None:
    document["nodes"][-1]["type"] = "MySave"

    with pytest.raises(Misconfigured, match=r"^mine: .*does not have: MySave"):
        build(document, server.url).generate(JOB, StoppableContext())


def test_the_command_takes_the_size_of_the_drawing(
    server: ComfyServer,
    document: Document,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "drawn.json").write_text(json.dumps(document))
    config = tmp_path / "imagen.yaml"
    config.write_text(
        f"backends:\n  mine: {{adapter: comfyui, base_url: '{server.url}',"
        f" workflow: '{tmp_path / 'drawn.json'}'}}\n"
    )
    words = ["generate", "a dog", "--backend", "mine", "--config", str(config)]

    assert main([*words, "--estimate"]) == 0

    assert "size: 64x96" in capsys.readouterr().out
