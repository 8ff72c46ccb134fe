"""A WebUI when nothing is wrong; which program it is, is a parameter."""

import json
from base64 import b64encode
from collections.abc import Mapping

from imagen.testing import RecordedRequest, Stub, StubResponse

TITLE = "v1-5-pruned-emaonly.safetensors [6ce0161689]"
MODELS = [
    {"title": TITLE, "model_name": "v1-5-pruned-emaonly", "hash": "6ce0161689"},
    {"title": "flux1-dev.safetensors", "model_name": "flux1-dev", "hash": None},
]
SAMPLERS = [{"name": "Euler a", "aliases": ["k_euler_a"]}, {"name": "DPM++ 2M"}]
SCHEDULERS = [
    {"name": "automatic", "label": "Automatic"},
    {"name": "karras", "label": "Karras"},
]
OWN = {
    "AUTOMATIC1111": {"/internal/pending-tasks"},
    "Forge": {"/internal/pending-tasks", "/sdapi/v1/sd-modules"},
    "SD.Next": {"/sdapi/v1/version"},
    "sd-server": {"/sdcpp/v1/capabilities"},
    "without a page": set(),
}
"""The requests that only some programs answer."""


class WebuiStub(Stub):
    """A server that draws one job at a time; the others wait."""

    task = ""

    def __init__(self, program: str = "AUTOMATIC1111") -> None:
        super().__init__()
        self.program = program

    def __call__(self, request: RecordedRequest) -> StubResponse:
        match request.path:
            case "/sdapi/v1/txt2img" | "/sdapi/v1/img2img":
                return self.paint(request.json())
            case "/internal/progress" if "/internal/pending-tasks" in OWN[self.program]:
                return self.report(request.json()["id_task"])
            case "/sdapi/v1/interrupt":
                return StubResponse(json={})
            case "/sdapi/v1/sd-models":
                return StubResponse(json=MODELS)
            case "/sdapi/v1/samplers":
                return StubResponse(json=SAMPLERS)
            case "/sdapi/v1/schedulers":
                return StubResponse(json=SCHEDULERS)
            case "/sdapi/v1/options":
                return StubResponse(json={"sd_model_checkpoint": TITLE})
            case path if path in OWN[self.program]:
                return StubResponse(json={})
        return StubResponse(status=404, json={"detail": "Not Found"})

    def report(self, task: str) -> StubResponse:
        """Report the progress of a task, which may wait in the queue."""
        active = task == self.task
        return StubResponse(
            json={
                "active": active,
                "queued": not active,
                "completed": False,
                "progress": 0.45 if active else None,
                "eta": 3.2,
                "textinfo": None if active else "In queue: 2/3",
            }
        )

    def paint(self, body: Mapping[str, object]) -> StubResponse:
        """Draw a job, after those that came before."""
        with self.lock:
            self.task = str(body.get("force_task_id", ""))
            self.draw()
            self.task = ""
        return StubResponse(json=self.describe(body))

    def describe(self, body: Mapping[str, object]) -> dict[str, object]:
        """Return the response to a job."""
        sides = (
            body.get("hr_resize_x") or body["width"],
            body.get("hr_resize_y") or body["height"],
        )
        picture = b64encode(self.picture(*map(int, sides))).decode()
        settings = body.get("override_settings", {})
        model = "flux1-dev" if "flux" in str(settings) else "v1-5-pruned-emaonly"
        info = {
            "all_seeds": [body["seed"]],
            "sampler_name": body.get("sampler_name", "Euler"),
            "cfg_scale": body.get("cfg_scale", 7.0),
            "steps": body["steps"],
            "sd_model_name": model,
            "sd_model_hash": "6ce0161689",
            "index_of_first_image": 0,
            "version": "v1.10.1",
        }
        return {"images": [picture], "parameters": {}, "info": json.dumps(info)}
