"""Correct backends that talk HTTP, and their mistakes: `breaks` lists what each fails.

Not collected by itself: `test_broken.py` runs it and compares.
"""

import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest
from tests.contract.mistakes import Mistake, read_mistakes, slate

from imagen.testing import HttpBackendContract, RecordedRequest, Stub, StubResponse

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
for folder in ("imagen-chalk", "imagen-easel"):
    sys.path += [str(EXAMPLES / folder / part) for part in ("src", "tests")]
CHALK, EASEL = import_module("test_chalk"), import_module("test_easel")


class SlateStub(Stub):
    """Slate, when nothing is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, dict[str, object]] = {}
        self.requests: dict[str, dict[str, object]] = {}
        self.polls: dict[str, int] = {}

    def __call__(self, request: RecordedRequest) -> StubResponse:
        match request.method, *request.path.strip("/").split("/")[0:]:
            case "POST", "v1", "jobs":
                return self.submit(request.json())
            case "GET", "v1", "jobs":
                return StubResponse(json=list(self.requests.values()))
            case "GET", "v1", "jobs", name:
                return StubResponse(json=self.poll(name))
            case "DELETE", "v1", "jobs", name:
                self.jobs[name]["state"] = "cancelled"
                return StubResponse(json={})
            case "GET", "v1", "models", name if name in slate.MODELS:
                return StubResponse(json={"name": name})
            case "GET", "v1", "account":
                return StubResponse(json={})
            case "GET", "files", name:
                body = self.requests[name]["request"]
                kind = body["format"]
                content = self.picture(body["width"], body["height"], media_type=kind)
                return StubResponse(content=content)
        raise LookupError

    def submit(self, body: dict[str, object]) -> StubResponse:
        request = {name: value for name, value in body.items() if name != "files"}
        with self.lock:
            name = f"s-{len(self.jobs) + 1}"
            created = datetime.now(UTC).isoformat()
            self.requests[name] = {"id": name, "created": created, "request": request}
            self.jobs[name] = {
                "id": name,
                "state": "drawing",
                "seed": body.get("seed"),
                "steps": body.get("steps") or 20,
                "model": body.get("model", ""),
                "price_micros": 2500,
            }
        return StubResponse(status=202, json={"id": name})

    def poll(self, name: str) -> Mapping[str, object]:
        with self.lock:
            job = self.jobs[name]
            polls = self.polls[name] = self.polls.get(name, 0) + 1
            if job["state"] == "drawing" and polls > 2:
                job["state"] = "done"
                job["files"] = [f"files/{name}"]
            return {**job, "fraction": min(1.0, polls / 4)}


class TestSlate(HttpBackendContract):
    adapter = slate.adapter
    secrets = {"api_key_env": "slate-canary-5e55e"}
    may_cost, price_micros = True, 2500
    refuses_with = frozenset({503})
    parameters = {"grain": 0.25, "chalk": "ochre"}
    invalid_options = {"grain": "purple"}
    moderation = {"submit": StubResponse(status=422, json={})}
    failure = {"poll": StubResponse(json={"id": "s-1", "state": "failed"})}
    fractions = (0.25, 0.5)

    @pytest.fixture(autouse=True)
    def process(
        self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        """Undo what some mistakes do to the whole process."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.getbasetemp()))
        terminate = signal.getsignal(signal.SIGTERM)
        yield
        signal.signal(signal.SIGTERM, terminate)
        socket.setdefaulttimeout(None)

    def make_stub(self) -> Stub:
        return SlateStub()

    def doubled(self, response: StubResponse) -> StubResponse:
        files = response.json.get("files", [])
        return StubResponse(json={**response.json, "files": 2 * files})


WITHOUT_LISTS = {
    "test_finds_no_jobs_from_before",
    "test_finds_no_other_jobs",
    "test_finds_the_jobs_that_it_took",
    "test_keeps_what_it_says_of_a_model",
    "test_looks_a_model_up_at_no_cost",
    "test_looks_a_model_up_once",
    "test_refuses_to_look_up_what_there_is_not",
    "test_reports_why_a_lookup_failed",
    "test_says_the_same_of_a_model_every_time",
    "test_searches_at_no_cost",
    "test_stops_looking_up_when_cancelled",
    "test_stops_searching_when_cancelled",
}
WITHOUT_REFERENCES = {"test_sends_the_reference_images"}
WITHOUT_BATCHES = {"test_returns_all_outputs"}
WITHOUT_IDS = {
    "test_cancels_an_old_job",
    "test_leaves_a_job_open_that_cannot_be_polled",
    "test_leaves_an_unknown_job_open",
    "test_repeats_a_status_request",
    "test_reports_the_id_first",
    "test_resumes_a_failed_job_as_failed",
    "test_resumes_any_number_of_times_at_no_cost",
    "test_resumes_nothing_while_the_vendor_is_away",
    "test_returns_an_old_job_as_it_was",
    "test_says_that_an_old_job_is_gone",
    "test_stops_resuming_when_cancelled",
}
WITHOUT_DOWNLOADS = {
    "test_leaves_a_job_open_without_its_image",
    "test_repeats_a_download",
}
WITHOUT_CHARGES = {"test_says_out_of_credit"}
WITHOUT_MODERATION = {"test_says_refused"}


class TestChalk(CHALK.TestChalk):
    lacks = WITHOUT_LISTS | WITHOUT_REFERENCES | WITHOUT_BATCHES


class TestEasel(EASEL.TestEasel):
    lacks = (
        WITHOUT_LISTS
        | WITHOUT_REFERENCES
        | WITHOUT_IDS
        | WITHOUT_DOWNLOADS
        | WITHOUT_CHARGES
        | WITHOUT_MODERATION
    )


def _add_broken(base: type[HttpBackendContract], mistake: Mistake, file: Path) -> None:
    name = base.__name__ + mistake.identifier
    members = {
        "adapter": mistake.load(file).adapter,
        "breaks": mistake.fails,
        "detected_by": mistake.detected_by,
        "__module__": __name__,
    }
    globals()[name] = type(base)(name, (base,), members)


for base, text, file in (
    (TestSlate, "slate", HERE / "mistakes" / "slate.py"),
    (TestChalk, "chalk", Path(CHALK.imagen_chalk.__file__)),
    (TestEasel, "easel", Path(EASEL.imagen_easel.__file__)),
):
    for mistake in read_mistakes(HERE / "mistakes" / f"{text}.diff"):
        _add_broken(base, mistake, file)
del base
