"""The `openai` backend keeps every promise of a backend, in each dialect."""

import json
from collections.abc import Mapping
from typing import ClassVar

import pytest
from tests.contract.lacks import (
    ANY_OPTION,
    NO_BATCHES,
    NO_CHARGES,
    NO_KEYS,
    NO_PARAMETERS,
    NO_REFERENCES,
    OPENAI,
)
from tests.integration.openai_dialects.stub import DialectStub

from imagen.adapters.backends.openai.adapter import adapter
from imagen.adapters.backends.openai.dialect import apply_row, load_table
from imagen.domain.job import ImageJob
from imagen.testing import HttpBackendContract, Stub, StubResponse

KEY = "canary-openai-7c1f"
REFUSED = {"error": {"message": "refused", "type": "x", "code": "moderation_blocked"}}


class OpenAIContract(HttpBackendContract):
    """What is the same in all dialects."""

    dialect: ClassVar[str]
    model: ClassVar[str] = "m"

    adapter = adapter
    secrets = {"api_key_env": KEY}
    has_job_ids = False
    can_cancel = False
    invalid_options: ClassVar[Mapping[str, object]] = {}
    moderation: ClassVar = {"submit": StubResponse(status=400, json=REFUSED)}
    failure: ClassVar = {"submit": StubResponse(json={"data": []})}

    @pytest.fixture
    def unknown_model(self) -> str:
        pytest.skip("the service is not asked about models")

    def make_stub(self) -> Stub:
        return DialectStub(self.dialect, self.model)

    def options(self, url: str) -> Mapping[str, object]:
        named = {"model": self.model} if self.model else {}
        return {"dialect": self.dialect, "base_url": f"{url}/v1", **named}

    def doubled(self, response: StubResponse) -> StubResponse:
        body = response.json
        if not isinstance(body, dict) or not isinstance(body.get("data"), list):
            return response
        return StubResponse(json={**body, "data": body["data"] * 2})

    def expected_values(self, job: ImageJob) -> Mapping[str, object]:
        values = dict(super().expected_values(job))
        for name, value in job.options.items():
            if isinstance(value, dict):
                values |= {f"{name}.{inner}": each for inner, each in value.items()}
                del values[name]
        row = apply_row(load_table()[self.dialect], self.model)
        if "width" not in row.fields:
            values.pop("width")
            values.pop("height")
            named = row.sizes.named.get(job.size)
            values["size"] = named[0] if named else str(job.size)
        return values


class TestOpenAI(OpenAIContract):
    dialect = "openai"
    model = "gpt-image-2.6-flare"
    may_cost = True
    lacks = OPENAI
    parameters = {
        "quality": "xhigh",
        "background": "opaque",
        "moderation": "low",
        "output_compression": 71,
        "safety_identifier": "h-7f31",
        "complexity": "low",
        "output_format": "webp",
        "frame_count": 9,
        "frame_duration_ms": 120,
        "svg": {"model": "gpt-6-luna"},
    }
    invalid_options = {"quality": "splendid"}


@pytest.mark.nightly
class TestAzure(OpenAIContract):
    dialect = "azure"
    may_cost = True
    lacks = OPENAI
    parameters = {
        "quality": "high",
        "background": "opaque",
        "moderation": "low",
        "output_compression": 71,
        "safety_identifier": "h-7f31",
    }
    invalid_options = {"output_compression": 101}


class TestXAI(OpenAIContract):
    dialect = "xai"
    may_cost = True
    price_micros = 60_000
    lacks = OPENAI
    parameters = {"quality": "medium"}
    invalid_options = {"quality": 7}


@pytest.mark.nightly
class TestTogether(OpenAIContract):
    dialect = "together"
    model = "black-forest-labs/FLUX.2-dev"
    may_cost = True
    lacks = OPENAI
    parameters = {"guidance_scale": 3.5, "disable_safety_checker": True}
    invalid_options = {"guidance_scale": "much"}


@pytest.mark.nightly
class TestDeepInfra(OpenAIContract):
    dialect = "deepinfra"
    may_cost = True
    lacks = {**OPENAI, **NO_PARAMETERS}


@pytest.mark.nightly
class TestArk(OpenAIContract):
    dialect = "ark"
    may_cost = True
    lacks = OPENAI
    parameters = {"watermark": True}
    invalid_options = {"watermark": "no"}


@pytest.mark.nightly
class TestRecraft(OpenAIContract):
    dialect = "recraft"
    may_cost = True
    price_micros = 40_000
    lacks = {**OPENAI, **NO_REFERENCES}
    parameters = {
        "style": "realistic_image",
        "style_id": "s-4711",
        "controls": {"n": 9},
    }
    invalid_options = {"style": 7}


@pytest.mark.nightly
class TestVenice(OpenAIContract):
    dialect = "venice"
    may_cost = True
    refuses_with = frozenset({503})
    lacks = {**OPENAI, **NO_REFERENCES}
    parameters = {"moderation": "low"}
    invalid_options = {"moderation": "high"}


@pytest.mark.nightly
class TestFireworks(OpenAIContract):
    dialect = "fireworks"
    may_cost = True
    doubled = None
    lacks = {**OPENAI, **NO_REFERENCES, **NO_BATCHES}
    parameters = {"guidance_scale": 3.5}
    invalid_options = {"guidance_scale": -1}


@pytest.mark.nightly
class TestLiteLLM(OpenAIContract):
    dialect = "litellm"
    may_cost = True
    price_micros = 40_000
    lacks = {**OPENAI, **ANY_OPTION, **NO_PARAMETERS}


class LocalContract(OpenAIContract):
    """A server on the user's own machine, which is free."""

    may_cost = False
    fails_with = frozenset({500})
    failure: ClassVar = {
        "submit": StubResponse(status=500, json={"error": "no memory"})
    }


@pytest.mark.nightly
class TestLocalAI(LocalContract):
    dialect = "localai"
    lacks = {**OPENAI, **NO_CHARGES, **NO_PARAMETERS}

    def expected_values(self, job: ImageJob) -> Mapping[str, object]:
        values = dict(super().expected_values(job))
        return values | {"prompt": f"{job.prompt}|{values.pop('negative', '')}"}


@pytest.mark.nightly
class TestVLLMOmni(LocalContract):
    dialect = "vllm-omni"
    model = ""
    lacks = {**OPENAI, **NO_CHARGES}
    parameters = {
        "guidance_scale": 4.5,
        "true_cfg_scale": 5.5,
        "flow_shift": 3.5,
        "lora": {"name": "l-4711"},
    }
    invalid_options = {"guidance_scale": 21}


@pytest.mark.nightly
class TestSGLang(LocalContract):
    dialect = "sglang"
    model = ""
    fails_with = frozenset({500, 502})
    lacks = {**OPENAI, **NO_CHARGES}
    parameters = {"guidance_scale": 4.5, "true_cfg_scale": 5.5, "flow_shift": 3.5}
    invalid_options = {"flow_shift": True}


@pytest.mark.nightly
class TestSdServer(LocalContract):
    dialect = "sd-server"
    model = ""
    secrets: ClassVar[Mapping[str, str]] = {}
    lacks = {**OPENAI, **NO_CHARGES, **NO_KEYS}
    parameters = {
        "sample_method": "euler_a",
        "scheduler": "karras",
        "txt_cfg": 4.5,
        "distilled_guidance": 3.5,
    }
    invalid_options = {"txt_cfg": "much"}

    def expected_values(self, job: ImageJob) -> Mapping[str, object]:
        inner = {
            "seed": job.seed,
            "sample_params": {
                "sample_steps": job.steps,
                "sample_method": "euler_a",
                "scheduler": "karras",
                "guidance": {"txt_cfg": 4.5, "distilled_guidance": 3.5},
            },
            "negative_prompt": job.negative,
        }
        text = json.dumps(inner, separators=(",", ":"))
        tagged = f"{job.prompt} <sd_cpp_extra_args>{text}</sd_cpp_extra_args>"
        return {"size": str(job.size), "prompt": tagged}


@pytest.mark.nightly
class TestLemonade(LocalContract):
    dialect = "lemonade"
    lacks = {**OPENAI, **NO_CHARGES}
    parameters = {"cfg_scale": 1.5}
    invalid_options = {"cfg_scale": -1}


@pytest.mark.nightly
class TestImagenServe(OpenAIContract):
    dialect = "imagen"
    model = ""
    may_cost = True
    price_micros = 40_000
    refuses_with = frozenset({503})
    lacks = {**OPENAI, **ANY_OPTION, **NO_PARAMETERS}
