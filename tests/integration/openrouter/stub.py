"""A stub of OpenRouter's Unified Image API, with three models."""

from base64 import b64encode
from typing import Any

from imagen.domain.size import Size
from imagen.testing import RecordedRequest, Stub, StubResponse

GENERATION = "gen-1796001800-4711"
BANANA, FLUX, TOKENS = "aurora/banana-2", "meadow/flux-9", "quill/tokens-1"


def enum(*values: str) -> dict[str, object]:
    return {"type": "enum", "values": list(values)}


def limits(low: int, high: int) -> dict[str, object]:
    return {"type": "range", "min": low, "max": high}


def endpoint(tag: str, *, price: object, **fields: Any) -> dict[str, Any]:
    return {
        "provider_name": tag.title(),
        "provider_slug": tag,
        "provider_tag": tag,
        "supports_streaming": False,
        "allowed_passthrough_parameters": [],
        "supported_parameters": {},
        "pricing": price,
        **fields,
    }


def per_image(usd: float) -> list[dict[str, object]]:
    return [{"billable": "output_image", "unit": "image", "cost_usd": usd}]


ENDPOINTS = {
    # One provider with everything.
    BANANA: [
        endpoint(
            "aurora",
            price=per_image(0.04),
            allowed_passthrough_parameters=["negative_prompt", "steps", "polish"],
            supported_parameters={
                "resolution": enum("512", "1K"),
                "aspect_ratio": enum("1:1", "3:2", "2:3", "auto"),
                "quality": enum("low", "high"),
                "background": enum("transparent", "opaque"),
                "output_format": enum("png", "webp"),
                "seed": {"type": "boolean"},
                "n": limits(1, 4),
                "input_references": limits(0, 3),
                "grain": {"type": "pattern", "regex": ".*"},
            },
        )
    ],
    # Two providers that differ.
    FLUX: [
        endpoint(
            "meadow",
            price=[
                {
                    "billable": "output_image",
                    "unit": "megapixel",
                    "cost_usd": 0.03,
                    "variant": "first",
                },
                {"billable": "output_image", "unit": "megapixel", "cost_usd": 0.015},
                {"billable": "input_reference", "unit": "image", "cost_usd": 0.01},
            ],
            allowed_passthrough_parameters=["safety_tolerance"],
            supported_parameters={
                "seed": {"type": "boolean"},
                "n": limits(1, 1),
                "input_references": limits(0, 8),
            },
        ),
        endpoint(
            "harbour/fp8",
            price=per_image(0.02),
            provider_slug="harbour",
            supported_parameters={
                "aspect_ratio": enum("1:1", "16:9"),
                "n": limits(1, 4),
            },
        ),
    ],
    # One of its providers charges for tokens.
    TOKENS: [
        endpoint("quill", price=per_image(0.03)),
        endpoint(
            "nib",
            price=[
                {"billable": "output_image", "unit": "token", "cost_usd": 0.00003},
                {"billable": "input_text", "unit": "token", "cost_usd": 0.000005},
            ],
        ),
    ],
}

SIZES = {
    ("512", "1:1"): Size(512, 512),
    ("512", "3:2"): Size(608, 416),
    ("512", "2:3"): Size(416, 608),
    ("1K", "1:1"): Size(1024, 1024),
    ("1K", "3:2"): Size(1216, 832),
    ("1K", "2:3"): Size(832, 1216),
}


class OpenRouterStub(Stub):
    """Makes each image in the answer to its request, and states its cost later."""

    def __call__(self, request: RecordedRequest) -> StubResponse:
        _, _, _, *path = request.path.split("/")
        match request.method, *path:
            case "GET", "key":
                return StubResponse(json={"data": {"limit_remaining": 9.5}})
            case "GET", "images", "models":
                models = [{"id": name} for name in ENDPOINTS]
                return StubResponse(json={"data": models})
            case "GET", "images", "models", author, slug, "endpoints":
                name = f"{author}/{slug}"
                found = {"id": name, "endpoints": ENDPOINTS[name]}
                return StubResponse(json=found)
            case "POST", "images":
                self.draw()
                return StubResponse(
                    json=self.answer(request.json()),
                    headers={"X-Generation-Id": GENERATION},
                )
            case "GET", "generation" if request.query == {"id": GENERATION}:
                data = {"id": GENERATION, "total_cost": 0.01323, "is_byok": False}
                return StubResponse(json={"data": data})
        raise LookupError

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        shape = body.get("resolution", "1K"), body.get("aspect_ratio", "1:1")
        media_type = f"image/{body.get('output_format', 'png')}"
        pictures = [
            self.picture(*SIZES.get(shape, Size()).sides, media_type=media_type)
            for _ in range(body.get("n", 1))
        ]
        return {
            "created": 1796001800,
            "data": [
                {"b64_json": b64encode(each).decode(), "media_type": media_type}
                for each in pictures
            ],
            "usage": {
                "prompt_tokens": 12,
                "completion_tokens": 439,
                "total_tokens": 451,
            },
        }
