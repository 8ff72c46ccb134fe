"""The OpenRouter backend keeps every promise, for known and for unknown models."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import msgspec
import pytest
from tests.contract.lacks import (
    ANY_OPTION,
    NO_CANCEL,
    NO_DOWNLOADS,
    NO_IDS,
    NO_LISTS,
    NO_REFERENCES,
    NO_SETUP,
    Lacks,
)
from tests.integration.openrouter.stub import BANANA, ENDPOINTS, OpenRouterStub

from imagen.adapters.backends.openrouter.adapter import adapter
from imagen.adapters.backends.openrouter.endpoints import (
    ModelDescription,
    read_description,
)
from imagen.adapters.remote.models.cache import DescriptionCache
from imagen.adapters.system.clock import SystemClock
from imagen.domain.job import ImageJob
from imagen.ports.backend import ImageBackend
from imagen.testing import HttpBackendContract, Stub, StubResponse

LACKS: Lacks = {**NO_LISTS, **NO_IDS, **NO_CANCEL, **NO_DOWNLOADS}


class OpenRouterContract(HttpBackendContract):
    adapter = adapter
    secrets = {"api_key_env": "sk-or-v1-canary-7f3a"}
    may_cost, price_micros = True, 13_230
    has_job_ids = False
    can_cancel = False
    refuses_with = frozenset({529})
    parameters = {
        "aspect_ratio": "2:3",
        "background": "opaque",
        "grain": "coarse",
        "polish": 7,
        "quality": "high",
        "resolution": "512",
    }
    invalid_options = {"quality": "superb"}
    moderation = {
        "submit": StubResponse(
            status=403,
            json={
                "error": {
                    "code": 403,
                    "message": "Input was flagged",
                    "metadata": {"reasons": ["violence"]},
                }
            },
        )
    }
    failure = {
        "submit": StubResponse(json={"error": {"code": 502, "message": "no image"}})
    }

    def make_stub(self) -> Stub:
        return OpenRouterStub()

    def options(self, url: str) -> Mapping[str, object]:
        return {"model": BANANA, "base_url": f"{url}/api/v1"}

    def doubled(self, response: StubResponse) -> StubResponse:
        return StubResponse(json={**response.json, "data": 2 * response.json["data"]})

    def expected_values(self, job: ImageJob) -> Mapping[str, object]:
        # The size is sent as a resolution and an aspect ratio.
        values = super().expected_values(job)
        return {name: values[name] for name in values.keys() - {"width", "height"}}


class TestModelThatWasLookedUpBefore(OpenRouterContract):
    """An earlier process has cached the description of the model."""

    lacks = {
        **LACKS,
        **NO_SETUP,
        "the vendor or its backend has no stage 'capabilities_of'": {
            "test_stops_at_every_stage[capabilities_of]"
        },
    }

    folder: ClassVar[Path]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def cache(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.folder = tmp_path_factory.mktemp("cache")

    def create_backend(
        self, url: str, secrets: Mapping[str, str] | None = None
    ) -> ImageBackend:
        # A folder for each vendor: the backends are used at once.
        folder = self.folder / url.rpartition(":")[2]
        DescriptionCache(
            ModelDescription,
            url=f"{url}/api/v1",
            folder=folder / "openrouter",
            clock=SystemClock(),
        ).write(
            BANANA, read_description({"endpoints": ENDPOINTS[BANANA]}, day="2026-12-01")
        )
        context = msgspec.structs.replace(
            self.build_context(self.secrets if secrets is None else secrets),
            cache=PurePosixPath(folder),
        )
        self.built.append(self.adapter.create(self.build_options(url), context))
        return self.built[-1]


@pytest.mark.nightly
class TestNewModel(OpenRouterContract):
    lacks = {**LACKS, **NO_REFERENCES, **ANY_OPTION}
