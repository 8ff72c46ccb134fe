"""A stub of the Gemini API: interactions in the background, and `generateContent`."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from imagen.adapters.backends.gemini.models import MODELS
from imagen.testing import RecordedRequest, Stub, StubResponse


class GeminiStub(Stub):
    """Draws each image when it is asked for the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.interactions: dict[str, dict[str, Any]] = {}

    def __call__(self, request: RecordedRequest) -> StubResponse:
        _, _, *path = request.path.split("/")
        match request.method, *path:
            case "POST", "interactions":
                return self.create(request.json())
            case "GET", "interactions", id_:
                return StubResponse(json=self.advance(id_))
            case "POST", "interactions", id_, "cancel":
                self.interactions[id_]["status"] = "cancelled"
                return StubResponse(json=self.interactions[id_])
            case "GET", "models", model if model in MODELS:
                return StubResponse(json={"name": f"models/{model}"})
            case "POST", "models", target if target.endswith(":generateContent"):
                self.draw()
                model = target.removesuffix(":generateContent")
                return StubResponse(json=self.content(model, request.json()))
        raise LookupError

    def create(self, body: Mapping[str, Any]) -> StubResponse:
        assert body["background"] is True
        assert body["store"] is True
        with self.lock:
            id_ = f"v1_interaction{len(self.interactions)}"
            shape = body["response_format"][0]
            self.interactions[id_] = {
                "id": id_,
                "status": "in_progress",
                "model": body["model"],
                "picture": self.encoded(
                    body["model"], shape.get("aspect_ratio"), shape.get("image_size")
                ),
            }
        return StubResponse(json={"id": id_, "status": "in_progress"})

    def advance(self, id_: str) -> dict[str, Any]:
        found = self.interactions[id_]
        if found["status"] == "in_progress":
            image = {"type": "image", "mime_type": "image/png"}
            output = [{**image, "data": found["picture"]}]
            found |= {
                "status": "completed",
                "steps": [
                    {"type": "thought", "signature": "c2ln"},
                    {"type": "model_output", "content": output},
                ],
                "usage": {
                    "total_input_tokens": 9,
                    "total_output_tokens": 1120,
                    "total_thought_tokens": 100,
                    "output_tokens_by_modality": [
                        {"modality": "image", "tokens": 1120}
                    ],
                },
            }
        return {name: value for name, value in found.items() if name != "picture"}

    def content(self, model: str, body: Mapping[str, Any]) -> dict[str, Any]:
        shape = body["generationConfig"].get("imageConfig", {})
        picture = self.encoded(model, shape.get("aspectRatio"), shape.get("imageSize"))
        part = {"inlineData": {"mimeType": "image/png", "data": picture}}
        return {
            "candidates": [
                {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
            ],
            "usageMetadata": {
                "promptTokenCount": 9,
                "candidatesTokenCount": 1120,
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
            },
            "modelVersion": model,
        }

    def encoded(self, model: str, ratio: str | None, image_size: str | None) -> str:
        known = MODELS[model]
        wanted = ratio or "1:1", image_size or known.image_sizes[0]
        size = next(size for size, shape in known.sizes.items() if shape == wanted)
        return b64encode(self.picture(*size.sides)).decode()
