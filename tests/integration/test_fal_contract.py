"""fal keeps every promise of a backend, for known and for unknown models."""

from collections.abc import Callable, Mapping
from decimal import Decimal
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
from tests.integration.fal.stub import OPENAPI, SKETCH, UNIT_PRICE, UNITS, FalStub

from imagen.adapters.backends.fal.adapter import adapter
from imagen.adapters.backends.fal.catalog import Description
from imagen.adapters.remote.models.cache import DescriptionCache
from imagen.adapters.system.clock import SystemClock
from imagen.domain.job import ImageJob
from imagen.ports.backend import ImageBackend
from imagen.testing import HttpBackendContract, RecordedRequest, Stub, StubResponse

POLICY = {
    "loc": ["body", "prompt"],
    "msg": "flagged",
    "type": "content_policy_violation",
}


def ended(status: int, detail: object) -> Callable[[RecordedRequest], StubResponse]:
    """Answer as a job does that has failed: its status is COMPLETED."""

    def respond(request: RecordedRequest) -> StubResponse:
        if request.path.endswith("/status"):
            return StubResponse(json={"status": "COMPLETED", "error": "It failed"})
        return StubResponse(status=status, json={"detail": detail})

    return respond


class FalContract(HttpBackendContract):
    """What is the same for all models."""

    adapter = adapter
    secrets = {"api_key_env": "fal-canary-7f3a"}
    may_cost, price_micros = True, int(UNIT_PRICE * UNITS * 1_000_000)
    moderation = {"poll": ended(422, [{**POLICY, "categories": ["violence"]}])}
    failure = {"poll": ended(500, "Internal error")}
    fractions = (0.5,)

    def make_stub(self) -> Stub:
        return FalStub()

    def options(self, url: str) -> Mapping[str, object]:
        return {"model": SKETCH, "base_url": url, "platform_url": f"{url}/v1"}

    def expected_values(self, job: ImageJob) -> Mapping[str, object]:
        # The image size contains width and height.
        values = super().expected_values(job)
        return {name: values[name] for name in values.keys() - {"image_size"}}

    def doubled(self, response: StubResponse) -> StubResponse:
        if not isinstance(response.json, dict) or "images" not in response.json:
            return response
        more = [{"url": f"{each['url']}?2"} for each in response.json["images"]]
        images = response.json["images"] + more
        return StubResponse(json={**response.json, "images": images})


class TestFal(FalContract):
    """An earlier process has cached the description of the model."""

    lacks = {
        **NO_COSTS,
        **NO_SETUP,
        "the vendor or its backend has no stage 'capabilities_of'": {
            "test_stops_at_every_stage[capabilities_of]"
        },
    }
    parameters = {
        "enable_safety_checker": False,
        "image_size": {"width": 192, "height": 128},
        "strength": 0.4,
    }
    invalid_options = {"strength": "much"}

    folder: ClassVar[Path]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def cache(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.folder = tmp_path_factory.mktemp("cache")

    def create_backend(
        self, url: str, secrets: Mapping[str, str] | None = None
    ) -> ImageBackend:
        # A folder for each vendor: the contract opens several at once.
        folder = self.folder / url.rpartition(":")[2]
        files = DescriptionCache(
            Description, url=f"{url}/v1", folder=folder / "fal", clock=SystemClock()
        )
        unit_usd = Decimal(str(UNIT_PRICE))
        files.write(
            f"model/{SKETCH}",
            Description(openapi=OPENAPI, unit="megapixels", unit_usd=unit_usd),
        )
        context = msgspec.structs.replace(
            self.build_context(self.secrets if secrets is None else secrets),
            cache=PurePosixPath(folder),
        )
        backend = self.adapter.create(self.build_options(url), context)
        self.built.append(backend)
        return backend


@pytest.mark.nightly
class TestUnknownModel(FalContract):
    lacks = {**NO_COSTS, **NO_REFERENCES, **ANY_OPTION}
    parameters = {"strength": 0.4}
    invalid_options = {"strength": "much"}
