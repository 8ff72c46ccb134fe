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
from tests.contract import lacks
from tests.contract.mistakes import Mistake, read_mistakes, slate
from tests.nightly import NIGHTLY

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
            case "GET", "v1", "bills", name if name in self.jobs:
                return StubResponse(json={"micros": self.jobs[name]["price_micros"]})
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


class TestChalk(CHALK.TestChalk):
    lacks = lacks.CHALK
    by_night = True  # by day two vendors are enough


class TestEasel(EASEL.TestEasel):
    lacks = lacks.EASEL


LATE = "test_cancels_a_job_whose_response_is_late"
QUICK = (
    "test_returns_as_many_images_as_the_job_counts",
    "test_says_of_what_type_an_image_is",
)


def _add_broken(base: type[HttpBackendContract], mistake: Mistake, file: Path) -> None:
    name = base.__name__ + mistake.identifier
    members = {
        "adapter": mistake.load(file).adapter,
        "breaks": mistake.fails,
        "detected_by": mistake.detected_by,
        "quick": QUICK,
        # Only the correct ones need the time of a busy machine.
        **({"late_timeout": 3.0 if NIGHTLY else 0.3} if LATE in mistake.fails else {}),
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
