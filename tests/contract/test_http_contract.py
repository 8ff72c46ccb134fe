"""Vendors of other kinds keep the promises of HTTP backends, too."""

from pathlib import Path
from runpy import run_path

import pytest
from imagen_chalk import Chalk

import imagen.backend as kit
from imagen.testing import RecordedRequest, Stub, StubResponse

EXAMPLE = Path(__file__).parents[2] / "examples/imagen-chalk/tests/test_chalk.py"
example = run_path(str(EXAMPLE))


class PushingChalk(Chalk):
    """Chalk with a stream of events."""

    def events(self, key: str) -> kit.HttpRequest:
        return kit.HttpRequest(path="v1/events")

    def event(self, reference: str, message: str) -> kit.PollNow:
        return kit.PollNow()


class PushingStub(example["ChalkStub"]):
    def __call__(self, request: RecordedRequest) -> StubResponse:
        if request.path != "/v1/events":
            return super().__call__(request)
        events, kind = b"data: changed\n\n" * 50, "text/event-stream"
        return StubResponse(content=events, headers={"Content-Type": kind})


@pytest.mark.nightly
class TestPushingVendor(example["TestChalk"]):
    adapter = kit.http_adapter(
        PushingChalk,
        summary="Chalk drawings.",
        base_url="https://api.chalk.example",
        key_env="CHALK_API_KEY",
    )

    def make_stub(self) -> Stub:
        return PushingStub()
