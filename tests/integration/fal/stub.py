"""fal when nothing is wrong: the queue, the models, and the list of requests."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote
from uuid import uuid4

from imagen.testing import RecordedRequest, Stub, StubResponse

SKETCH, SCHNELL = "acme/sketch/v2", "fal-ai/flux/schnell"
UNIT_PRICE = 0.02
"""Dollars for each megapixel of `SKETCH`; each image is charged as two."""

UNITS = 2

_SIDE = {
    "type": "integer",
    "default": 512,
    "minimum": 64,
    "maximum": 2048,
    "description": "A multiple of 8.",
}
_SIZE = {"type": "object", "properties": {"width": _SIDE, "height": _SIDE}}
_INPUTS = {
    "prompt": {"type": "string"},
    "negative_prompt": {"type": "string", "default": ""},
    "image_size": {
        "anyOf": [
            {"$ref": "#/components/schemas/ImageSize"},
            {"type": "string", "enum": ["square_hd", "square"]},
        ],
        "default": "square_hd",
    },
    "num_inference_steps": {"type": "integer", "minimum": 1, "maximum": 50},
    "seed": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "num_images": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
    "image_urls": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    "mask_url": {"type": "string"},
    "strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.9},
    "enable_safety_checker": {"type": "boolean", "default": True},
    "output_format": {"type": "string", "enum": ["jpeg", "png"], "default": "png"},
    "sync_mode": {"type": "boolean", "default": False},
}
OPENAPI = {
    "openapi": "3.0.4",
    "paths": {
        "/acme/sketch/v2/requests/{request_id}/status": {"get": {}},
        "/acme/sketch/v2": {
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/SketchInput"}
                        }
                    }
                }
            }
        },
    },
    "components": {
        "schemas": {
            "ImageSize": _SIZE,
            "SketchInput": {"properties": _INPUTS, "required": ["prompt"]},
        }
    },
}
_JOB = re.compile(
    r"/((?:workflows/)?[\w.-]+/[\w.-]+)/requests/([\w-]+)(/status|/cancel)?"
)


class FalStub(Stub):
    """The queue and the platform API on one host.

    Attributes:
        shown_after: Seconds until the list shows the inputs of a job whose result was
            not sent.
    """

    shown_after = 600.0

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, dict] = {}

    def __call__(self, request: RecordedRequest) -> StubResponse:
        path = unquote(request.path)
        if path.startswith("/v1/"):
            return self.answer_platform(path.removeprefix("/v1/"), request.query)
        if path.startswith("/files/"):
            return self.send_file(path)
        if request.method == "POST":
            return self.accept(path.strip("/"), request.json())
        if (found := _JOB.fullmatch(path)) is None:
            raise LookupError
        job = self.jobs[found[2]]
        if not job["model"].startswith(found[1]):
            raise LookupError
        match found[3]:
            case "/status":
                return self.report(found[2], job)
            case "/cancel":
                job["cancelled"] = True
                return StubResponse(
                    status=202, json={"status": "CANCELLATION_REQUESTED"}
                )
            case _:
                return self.send_result(found[2], job)

    def accept(self, model: str, body: Mapping[str, object]) -> StubResponse:
        """Queue a job."""
        id_ = str(uuid4())
        moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        with self.lock:
            self.jobs[id_] = {"model": model, "input": body, "polls": 0, "sent": moment}
        app = re.match(r"(workflows/)?[^/]+/[^/]+", model)[0]
        home = self.url(f"{app}/requests/{id_}")
        return StubResponse(
            json={
                "status": "IN_QUEUE",
                "request_id": id_,
                "response_url": home,
                "status_url": f"{home}/status",
                "cancel_url": f"{home}/cancel",
                "queue_position": 2,
            }
        )

    def report(self, id_: str, job: dict) -> StubResponse:
        """Report a job: queued, drawing, done."""
        job["polls"] += 1
        body: dict[str, object] = {"request_id": id_, "status": "COMPLETED"}
        if job.get("cancelled"):
            return StubResponse(
                json={**body, "error": "Cancelled", "error_type": "client_cancelled"}
            )
        if job["polls"] == 1:
            more = {"status": "IN_QUEUE", "queue_position": 1}
            return StubResponse(status=202, json={**body, **more})
        if job["polls"] == 2:
            bar = {"message": " 50%|#####     | 2/4 [00:01<00:01]", "level": "INFO"}
            more = {"status": "IN_PROGRESS", "logs": [bar]}
            return StubResponse(status=202, json={**body, **more})
        return StubResponse(json={**body, "logs": None, "metrics": {}})

    def send_result(self, id_: str, job: dict) -> StubResponse:
        """Return what the model made."""
        files = [
            {"url": self.url(f"files/{id_}-{number}.png"), "content_type": "image/png"}
            for number in range(job["input"].get("num_images", 1))
        ]
        job["ended"] = True
        return StubResponse(
            json={
                "images": files,
                "seed": job["input"].get("seed", 4711),
                "has_nsfw_concepts": [False] * len(files),
                "prompt": job["input"]["prompt"],
                "timings": {"inference": 0.4},
            },
            headers={
                "x-fal-billable-units": str(float(UNITS)),
                "x-fal-request-id": id_,
            },
        )

    def has_ended(self, job: dict) -> bool:
        """Return whether a job has ended: its result was sent, or some time is over."""
        age = datetime.now(UTC) - datetime.fromisoformat(job["sent"])
        return job.get("ended") or age.total_seconds() > self.shown_after

    def send_file(self, path: str) -> StubResponse:
        """Return an image."""
        id_ = path.removeprefix("/files/").rpartition("-")[0]
        inputs = self.jobs[id_]["input"]
        size, word = inputs["image_size"], inputs.get("output_format", "png")
        content = self.picture(
            size["width"], size["height"], media_type=f"image/{word}"
        )
        return StubResponse(content=content)

    def answer_platform(self, path: str, query: Mapping[str, str]) -> StubResponse:
        """Describe a model, or list the requests."""
        name = query["endpoint_id"]
        page = {"next_cursor": None, "has_more": False}
        known = not name.startswith(("no-owner/", "acme/unknown"))
        match path:
            case "models":
                meta = {"category": "text-to-image", "status": "active"}
                entry = {"endpoint_id": name, "metadata": meta, "openapi": OPENAPI}
                return StubResponse(json={"models": [entry] if known else [], **page})
            case "models/pricing":
                price = {"endpoint_id": name, "unit_price": UNIT_PRICE}
                unit = {"unit": "megapixels", "currency": "USD"}
                return StubResponse(json={"prices": [{**price, **unit}], **page})
            case "models/requests/by-endpoint":
                # The newest first, as the client asks for no order.
                items = [
                    {
                        "request_id": id_,
                        "endpoint_id": name,
                        "sent_at": job["sent"],
                        "ended_at": job["sent"] if self.has_ended(job) else None,
                        "json_input": job["input"] if self.has_ended(job) else None,
                    }
                    for id_, job in reversed(self.jobs.items())
                    if job["model"] == name and job["sent"] >= query["start"]
                ]
                return StubResponse(json={"items": items, **page})
        raise LookupError
