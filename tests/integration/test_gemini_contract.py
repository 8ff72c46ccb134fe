"""The Gemini backend keeps every promise, with interactions and without."""

from collections.abc import Callable, Mapping

import pytest
from tests.contract.lacks import (
    NO_CANCEL,
    NO_COSTS,
    NO_DOWNLOADS,
    NO_IDS,
    NO_LISTS,
    NO_SETUP,
    Lacks,
)
from tests.integration.gemini.stub import GeminiStub

from imagen.adapters.backends.gemini.adapter import adapter
from imagen.domain.job import ImageJob
from imagen.testing import HttpBackendContract, RecordedRequest, Stub, StubResponse

KNOWN_MODELS: Lacks = {
    # The default model is known without a request.
    "the vendor or its backend has no stage 'capabilities_of'": {
        "test_stops_at_every_stage[capabilities_of]"
    },
}


def failed(code: str) -> Callable[[RecordedRequest], StubResponse]:
    def respond(request: RecordedRequest) -> StubResponse:
        id_ = request.path.rpartition("/")[2]
        errors = [{"code": code, "message": "no image"}]
        return StubResponse(json={"id": id_, "status": "failed", "errors": errors})

    return respond


class GeminiContract(HttpBackendContract):
    adapter = adapter
    secrets = {"api_key_env": "AIza-canary-7f3a"}
    may_cost = True
    refuses_with = frozenset({501})
    parameters = {
        "aspect_ratio": "21:9",
        "image_size": "2K",
        "seed": 4711,
        "thinking_level": "high",
    }
    invalid_options = {"thinking_level": "endless"}

    def make_stub(self) -> Stub:
        return GeminiStub()

    def options(self, url: str) -> Mapping[str, object]:
        return {"base_url": f"{url}/v1beta"}

    def is_submit(self, request: RecordedRequest) -> bool:
        return request.method == "POST" and not self.is_cancel(request)

    def expected_values(self, job: ImageJob) -> Mapping[str, object]:
        # The size is sent as an aspect ratio and an image size.
        values = super().expected_values(job)
        return {name: values[name] for name in values.keys() - {"width", "height"}}


class TestInteractions(GeminiContract):
    lacks = {**NO_COSTS, **NO_LISTS, **NO_DOWNLOADS, **NO_SETUP, **KNOWN_MODELS}
    moderation = {"poll": failed("IMAGE_SAFETY")}
    failure = {"poll": failed("internal")}

    def doubled(self, response: StubResponse) -> StubResponse:
        body = response.json
        if not (isinstance(body, dict) and "steps" in body):
            return response
        steps = [
            {**step, "content": 2 * step.get("content", [])} for step in body["steps"]
        ]
        return StubResponse(json={**body, "steps": steps})


@pytest.mark.nightly
class TestGenerateContent(GeminiContract):
    lacks = {**TestInteractions.lacks, **NO_IDS, **NO_CANCEL}
    has_job_ids = False
    can_cancel = False
    moderation = {
        "submit": StubResponse(json={"promptFeedback": {"blockReason": "OTHER"}})
    }
    failure = {
        "submit": StubResponse(json={"candidates": [{"finishReason": "NO_IMAGE"}]})
    }

    def options(self, url: str) -> Mapping[str, object]:
        return {**super().options(url), "interactions": False}

    def doubled(self, response: StubResponse) -> StubResponse:
        (candidate,) = response.json["candidates"]
        parts = 2 * candidate["content"]["parts"]
        content = {**candidate["content"], "parts": parts}
        return StubResponse(
            json={**response.json, "candidates": [{**candidate, "content": content}]}
        )
