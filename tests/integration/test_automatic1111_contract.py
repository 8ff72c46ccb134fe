"""A WebUI keeps every promise of a backend that it can keep."""

from collections.abc import Mapping

import msgspec
from tests.contract.lacks import (
    NO_CHARGES,
    NO_DOWNLOADS,
    NO_IDS,
    NO_LOOKUPS,
    NO_MODERATION,
)
from tests.integration.automatic1111.stub import WebuiStub

from imagen.adapters.backends.automatic1111.vendor import adapter
from imagen.domain.job import ImageJob
from imagen.testing import HttpBackendContract, RecordedRequest, Stub, StubResponse


class TestWebui(HttpBackendContract):
    lacks = {
        **NO_LOOKUPS,
        **NO_IDS,
        **NO_DOWNLOADS,
        **NO_CHARGES,
        **NO_MODERATION,
    }
    adapter = adapter
    secrets = {"api_key_env": "ada:canary-7f3a"}
    may_cost = False
    has_job_ids = False
    parameters = {
        "alwayson_scripts": {"adetailer": {"args": [True]}},
        "cfg_scale": 5.5,
        "clip_skip": 2,
        "denoising_strength": 0.35,
        "distilled_cfg_scale": 3.5,
        "hr_scale": 2.0,
        "hr_second_pass_steps": 11,
        "hr_upscaler": "Latent",
        "inpaint_full_res": True,
        "inpaint_full_res_padding": 33,
        "inpainting_fill": 2,
        "mask_blur": 5,
        "refiner_checkpoint": "sd_xl_refiner",
        "refiner_switch_at": 0.85,
        "resize_mode": 1,
        "restore_faces": True,
        "sampler_name": "DPM++ 2M",
        "scheduler": "Karras",
        "subseed": 4712,
        "subseed_strength": 0.15,
        "tiling": True,
        "vae": "vae-ft-mse",
    }
    invalid_options = {"cfg_scale": "much"}
    moderation = {}
    failure = {"submit": StubResponse(status=500, json={"error": "OutOfMemoryError"})}
    fails_with = frozenset({500})
    fractions = (0.45,)

    def make_stub(self) -> Stub:
        return WebuiStub("Forge")

    def is_submit(self, request: RecordedRequest) -> bool:
        return request.path.endswith(("/txt2img", "/img2img"))

    def expected_values(self, job: ImageJob) -> Mapping[str, object]:
        values = super().expected_values(job)
        scripts = {"alwayson_scripts": True}  # its only value
        return {**values, **(scripts if "alwayson_scripts" in values else {})}

    def doubled(self, response: StubResponse) -> StubResponse:
        both = {"images": 2 * response.json["images"]}
        return msgspec.structs.replace(response, json={**response.json, **both})
