"""Replicate keeps every promise of a backend, for known and for unknown models."""

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import msgspec
import pytest
from tests.contract.lacks import (
    ANY_OPTION,
    NO_COSTS,
    NO_REFERENCES,
    NO_SETUP,
)
from tests.forwarding import ForwardingStub
from tests.integration.replicate.models import SCHNELL, SKETCH, models, openapi
from tests.integration.replicate.server import ReplicateServer

from imagen.adapters.backends.replicate.adapter import adapter
from imagen.adapters.backends.replicate.catalog import (
    ModelCatalog,
    ModelDescription,
    Target,
)
from imagen.adapters.system.clock import SystemClock
from imagen.domain.job import ImageJob
from imagen.ports.adapter import BackendContext
from imagen.ports.backend import ImageBackend
from imagen.testing import HttpBackendContract, RecordedRequest, Stub, StubResponse

TOKEN = "r8_canary7c1f"


def failed(error: str) -> Callable[[RecordedRequest], StubResponse]:
    def respond(request: RecordedRequest) -> StubResponse:
        id_ = request.path.rpartition("/")[2]
        return StubResponse(json={"id": id_, "status": "failed", "error": error})

    return respond


class ReplicateStub(ForwardingStub):
    """A simulator of its own, which takes any token."""

    def __init__(self) -> None:
        self.server = ReplicateServer(token=TOKEN).start()
        origin = self.server.url.removesuffix(self.server.base)
        super().__init__(origin, {"authorization": f"Bearer {TOKEN}"})
        self.pictures = self.server.served

    def close(self) -> None:
        super().close()
        self.server.stop()


class ReplicateContract(HttpBackendContract):
    """What is the same for all models."""

    model: ClassVar[str]

    adapter = adapter
    secrets = {"api_token_env": TOKEN}
    may_cost = True
    moderation = {"poll": failed("NSFW content detected.")}
    failure = {"poll": failed("CUDA error: device-side assert triggered")}
    fractions = (0.5,)

    def make_stub(self) -> Stub:
        return ReplicateStub()

    def options(self, url: str) -> Mapping[str, object]:
        return {"model": self.model, "base_url": f"{url}/v1"}

    def is_submit(self, request: RecordedRequest) -> bool:
        return request.method == "POST" and request.path.endswith("/predictions")

    def doubled(self, response: StubResponse) -> StubResponse:
        body = msgspec.json.decode(response.body)
        if not isinstance(body, dict) or not isinstance(body.get("output"), list):
            return response
        more = [f"{url}?2" for url in body["output"]]
        return StubResponse(json={**body, "output": body["output"] + more})

    def expected_values(self, job: ImageJob) -> Mapping[str, object]:
        # Some models take an aspect ratio in place of the size.
        values = super().expected_values(job)
        return {name: values[name] for name in values.keys() - {"width", "height"}}


class TestKnownModel(ReplicateContract):
    model = SCHNELL
    lacks = {
        **NO_COSTS,
        **NO_REFERENCES,
        **NO_SETUP,
        # It is known without a request.
        "the vendor or its backend has no stage 'capabilities_of'": {
            "test_stops_at_every_stage[capabilities_of]"
        },
    }
    parameters = {
        "aspect_ratio": "3:2",
        "disable_safety_checker": True,
        "go_fast": False,
        "megapixels": "0.25",
        "output_quality": 71,
    }
    invalid_options = {"go_fast": "perhaps"}


@pytest.mark.nightly
class TestCommunityModel(ReplicateContract):
    model = SKETCH
    lacks = {**NO_COSTS, **NO_REFERENCES, **ANY_OPTION}
    parameters = {"guidance_scale": 3.5}
    invalid_options = {"guidance_scale": "much"}


@pytest.mark.nightly
class TestModelThatWasLookedUpBefore(TestCommunityModel):
    """An earlier process has cached the description of the model."""

    lacks = {**NO_COSTS, **NO_REFERENCES}

    folder: ClassVar[Path]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def cache(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.folder = tmp_path_factory.mktemp("cache")

    def create_backend(
        self, url: str, secrets: Mapping[str, str] | None = None
    ) -> ImageBackend:
        sketch = models()[SKETCH]
        ModelCatalog(f"{url}/v1", folder=self.folder, clock=SystemClock()).update(
            Target.parse(SKETCH),
            ModelDescription(
                openapi_schema=openapi(sketch.properties), version=sketch.version
            ),
        )
        return super().create_backend(url, secrets)

    def build_context(self, secrets: Mapping[str, str]) -> BackendContext:
        return msgspec.structs.replace(
            super().build_context(secrets), cache=PurePosixPath(self.folder)
        )
