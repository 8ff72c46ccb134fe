"""`imagen.history`, `jobs`, `resume`, `usage` and `models`, over earlier records."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.contract_internal.samples import sample_call
from tests.e2e.accounts import Accounts, call_into, received_image, short_waits
from tests.integration.replicate.server import ReplicateServer

import imagen
from imagen.domain.call import CallAccepted, CallReceived, CallSending
from imagen.domain.events import Event, Stored
from imagen.testing.samples import sample_id

__all__ = ["short_waits"]  # a fixture

CONFIG = """\
output: {{dir: images}}
usage: {{remote: off}}
backends:
  paid: {{adapter: replicate, model: black-forest-labs/flux-schnell, base_url: "{url}"}}
  mock: {{adapter: mock}}
"""


@pytest.fixture
def server() -> Iterator[ReplicateServer]:
    with ReplicateServer() as server:
        yield server


@pytest.fixture(autouse=True)
def here(
    tmp_path: Path, server: ReplicateServer, monkeypatch: pytest.MonkeyPatch
) -> Path:
    for name in [name for name in os.environ if name.startswith("IMAGEN_")]:
        monkeypatch.delenv(name)
    config = tmp_path / "imagen.yaml"
    config.write_text(CONFIG.format(url=server.url))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IMAGEN_CONFIG", str(config))
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("REPLICATE_API_TOKEN", server.token)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def accounts(here: Path) -> Accounts:
    return Accounts(here / "data")


def make(prompt: str, seed: int = 1) -> imagen.Image:
    return imagen.generate(prompt, backend="mock", size="16x16", seed=seed)


def leave_open(server: ReplicateServer) -> None:
    """Submit a job that cannot be polled, so that it stays open."""
    server.spoil("/predictions", method="GET", status=401)
    with pytest.raises(imagen.Unfinished):
        imagen.generate("a red fox", backend="paid")
    server.calm()


def test_the_history_has_the_images_of_this_machine_newest_first() -> None:
    fox, cat = make("a red fox"), make("a cat", 2)

    found = imagen.history()

    assert [(image.seed, image.sidecar.prompt) for image in found] == [
        (2, "a cat"),
        (1, "a red fox"),
    ]
    assert (found[1].bytes, found[1].path.name) == (fox.bytes, fox.path.name)
    assert (found[0].width, found[0].mime_type, found[0].cost_usd) == (
        16,
        "image/png",
        0,
    )
    assert [image.seed for image in imagen.history("fox")] == [1]
    assert len(imagen.history(limit=1)) == 1
    assert len(imagen.history(backend="mock", limit=0)) == 2
    assert imagen.rerun(imagen.history()[0]).pil().tobytes() == cat.pil().tobytes()


def test_the_history_is_limited_by_a_date_in_any_form() -> None:
    make("a cat")
    now = datetime.now(UTC)
    tomorrow = now.date() + timedelta(days=1)

    assert len(imagen.history(since="2026-05-01")) == 1
    assert len(imagen.history(since=now - timedelta(days=1))) == 1
    assert imagen.history(since=tomorrow) == imagen.history(since=str(tomorrow)) == []
    with pytest.raises(imagen.InvalidRequest, match="should be a date such as"):
        imagen.history(since="yesterday")
    with pytest.raises(imagen.InvalidRequest, match="limit is -1"):
        imagen.history(limit=-1)


def test_an_image_whose_file_is_gone_still_has_its_metadata() -> None:
    make("a cat").path.unlink()

    (image,) = imagen.history()

    assert (image.sidecar.prompt, image.width, image.extras) == ("a cat", 16, [])
    with pytest.raises(imagen.InvalidRequest, match=r"png was deleted or changed"):
        _ = image.bytes
    page = imagen.history()._repr_mimebundle_()["text/html"]
    assert "a cat" in page
    assert "the file was deleted or changed" in page
    assert "<img" not in page


def test_a_history_shows_itself_as_a_grid() -> None:
    image, _ = make("a cat"), make("a <b>fox</b>")

    page = imagen.history()._repr_mimebundle_()["text/html"]

    assert page.count("<img") == page.count("<figure") == 2
    assert "a &lt;b&gt;fox" in page
    assert str(image.path) in page


def test_an_estimate_shows_itself_as_a_table() -> None:
    estimate = imagen.estimate("<b>", backend="mock", style="blog-header", seed=4)

    page = estimate._repr_mimebundle_()["text/html"]  # type: ignore[attr-defined]

    assert ">&lt;b&gt;, wide editorial" in page
    assert ">$0.00<" in page
    assert isinstance(estimate, imagen.Estimate)


def test_jobs_are_listed_with_what_they_may_cost(
    accounts: Accounts, here: Path
) -> None:
    accounts.leave(
        sample_call(1, reserved=3000, backend="paid"), CallAccepted(reference="x-7")
    )

    (job,) = imagen.jobs()

    assert isinstance(job, imagen.UnfinishedJob)
    assert (job.id, job.state, job.reference) == (sample_id(1), "accepted", "x-7")
    assert (job.may_cost, job.reserved_usd, job.backend) == (True, 0.003, "paid")
    assert imagen.jobs().commands == []


def test_a_resume_fetches_and_stores_what_was_paid_for(
    server: ReplicateServer, here: Path
) -> None:
    leave_open(server)
    heard: list[Event] = []

    (image,) = imagen.resume(listen=heard.append)

    assert image.path.parent == here / "images"
    assert image.path.read_bytes() == image.bytes
    assert image.cost_usd == 0.003
    assert any(isinstance(event, Stored) for event in heard)
    assert (imagen.jobs(), imagen.resume()) == ([], [])
    assert (server.created, server.paid) == (1, 1)


def test_the_error_of_the_only_job_is_raised(server: ReplicateServer) -> None:
    server.trouble(ends="failed", error="CUDA out of memory")
    leave_open(server)
    (job,) = imagen.jobs()

    with pytest.raises(imagen.BackendError, match="CUDA out of memory"):
        imagen.resume(job.id)

    assert imagen.jobs() == []
    with pytest.raises(imagen.InvalidRequest, match="No open job"):
        imagen.resume(job.id)


def test_when_one_of_several_jobs_stays_open_the_others_are_not_lost(
    accounts: Accounts, here: Path
) -> None:
    accounts.leave(sample_call(1, backend="gone"), CallSending())
    accounts.leave(call_into(here, 2), CallReceived(received=received_image()))

    with pytest.raises(imagen.SomeImagesFailed, match="1 of 2 jobs failed") as caught:
        imagen.resume()

    (image,), (error,) = caught.value.images, caught.value.errors
    assert isinstance(image, imagen.Image)
    assert image.path.exists()
    assert isinstance(error, imagen.InvalidRequest)
    assert [job.id for job in imagen.jobs()] == [sample_id(1)]


def test_a_job_of_another_process_is_an_error_only_if_it_is_named(
    accounts: Accounts,
) -> None:
    accounts.work_on(sample_call(2), CallSending())

    assert imagen.resume() == []
    with pytest.raises(imagen.Unfinished, match="Another process is working on it"):
        imagen.resume(sample_id(2))
    accounts.journal.close()


def test_the_rest_of_a_command_is_sent_only_if_asked_for(
    server: ReplicateServer,
) -> None:
    server.trouble(ends="failed", times=1)
    with pytest.raises(imagen.SomeImagesFailed):
        imagen.generate("a cat", backend="paid", count=3, seed=4)
    (command,) = imagen.jobs().commands
    assert isinstance(command, imagen.UnfinishedCommand)
    assert (command.command, command.images, command.images_left) == ("generate", 3, 1)
    assert imagen.resume() == []
    with pytest.raises(imagen.InvalidRequest, match="needs the id of one command"):
        imagen.resume(continue_=True)
    assert server.created == 3

    images = imagen.resume(command.id, continue_=True)

    assert [image.seed for image in images] == [4, 5, 6]
    assert server.created == 4
    assert imagen.jobs().commands == []


def test_usage_is_added_up_by_what_is_asked(server: ReplicateServer) -> None:
    imagen.generate("a cat", backend="paid", count=2)

    report = imagen.usage(by=["model"])

    (group,) = report.groups
    assert group.model == "black-forest-labs/flux-schnell"
    assert (group.images, group.cost_usd, report.total.cost_micros) == (2, 0.006, 6000)
    assert imagen.usage().groups[0].backend == "paid"
    assert [row.cost_usd for row in imagen.usage(raw=True)] == [0.003, 0.003]
    later = datetime.now(UTC).date() + timedelta(days=2)
    assert imagen.usage(since=later, local=True).total.cost_usd == 0
    with pytest.raises(imagen.InvalidRequest, match="`by` has 'colour'"):
        imagen.usage(by=["colour"])  # type: ignore[list-item]


def test_models_are_those_of_the_named_backends(server: ReplicateServer) -> None:
    mock, paid = imagen.models("mock", "paid")

    assert isinstance(mock, imagen.BackendModels)
    assert (mock.backend, mock.models[0].may_cost) == ("mock", False)
    assert (paid.adapter, paid.models[0].may_cost) == ("replicate", True)
    assert paid.models[0].model == "black-forest-labs/flux-schnell"
    assert paid.models[0].price
    assert {each.backend for each in imagen.models()} == {"mock", "paid"}
    assert server.created == 0
    with pytest.raises(imagen.InvalidRequest, match="Unknown backend"):
        imagen.models("frob")
