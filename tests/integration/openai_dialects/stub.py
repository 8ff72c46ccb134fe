"""Stand-ins for the services of the dialects, after the shapes of their responses."""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from email import message_from_bytes
from typing import Any

from imagen.adapters.backends.openai.dialect import apply_row, load_table
from imagen.testing import RecordedRequest, Stub, StubResponse

Fields = Mapping[str, Any]


class DialectStub(Stub):
    """A service that draws what is requested in its dialect.

    Attributes:
        answer: Builds the response from the Base64 of each image and the fields.
    """

    def __init__(self, dialect: str, model: str = "") -> None:
        super().__init__()
        self.dialect = apply_row(load_table()[dialect], model)
        self.answer = ANSWERS.get(dialect, answer_plainly)

    def __call__(self, request: RecordedRequest) -> StubResponse:
        if request.method == "GET":
            return StubResponse(json={"object": "list", "data": [{"id": "m"}]})
        fields = read_fields(request)
        self.draw()
        kind = fields.get("output_format") or fields.get("image_format") or "png"
        width, height = self.read_size(fields)
        images = [
            b64encode(self.picture(width, height, media_type=f"image/{kind}")).decode()
            for _ in range(int(fields.get("n", 1)))
        ]
        return self.answer(images, fields)

    def read_size(self, fields: Fields) -> tuple[int, int]:
        if "width" in fields:
            return fields["width"], fields["height"]
        named = {
            (ratio, tier): size.sides
            for size, (ratio, tier) in self.dialect.sizes.named.items()
        }
        ratio = fields.get("aspect_ratio") or fields.get("size")
        if sides := named.get((ratio, fields.get("resolution", ""))):
            return sides
        width, height = fields["size"].split("x")
        return int(width), int(height)


def read_fields(request: RecordedRequest) -> Fields:
    """Return the fields of a JSON body or of a form, and what the prompt contains."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/"):
        fields = {}
        form = message_from_bytes(
            f"Content-Type: {kind}\r\n\r\n".encode() + request.body
        )
        for part in form.get_payload():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            is_file = part.get_filename() is not None
            fields[name] = content if is_file else content.decode()
    else:
        fields = request.json()
    if found := re.search(
        r"<sd_cpp_extra_args>(.*?)</sd_cpp_extra_args>", fields["prompt"]
    ):
        fields = {**fields, **json.loads(found[1])}
    return fields


def answer_plainly(images: list[str], fields: Fields, **more: object) -> StubResponse:
    data = [{"b64_json": each} for each in images]
    return StubResponse(json={"created": 1_796_000_000, "data": data, **more})


def answer_with_tokens(images: list[str], fields: Fields) -> StubResponse:
    used = {
        "input_tokens": 14,
        "input_tokens_details": {"text_tokens": 14, "image_tokens": 0},
        "output_tokens": 439,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": 439},
    }
    told = {name: fields[name] for name in ("quality", "size") if name in fields}
    return answer_plainly(images, fields, usage=used, **told)


def answer_xai(images: list[str], fields: Fields) -> StubResponse:
    data = [{"b64_json": each, "respect_moderation": True} for each in images]
    cost = {"cost_in_usd_ticks": 600_000_000 * len(images)}
    return StubResponse(json={"data": data, "usage": cost})


def answer_recraft(images: list[str], fields: Fields) -> StubResponse:
    return answer_plainly(images, fields, credits=40 * len(images))


def answer_litellm(images: list[str], fields: Fields) -> StubResponse:
    plain = answer_plainly(images, fields)
    headers = {"x-litellm-response-cost": "0.04", "x-litellm-call-id": "7b1c"}
    return StubResponse(json=plain.json, headers=headers)


def answer_imagen(images: list[str], fields: Fields) -> StubResponse:
    seed = fields.get("seed")
    data = [
        {"id": "i", "b64_json": each, "seed": seed and int(seed)} for each in images
    ]
    return StubResponse(
        json={"created": 1, "data": data, "model": "mock", "cost_usd": 0.04}
    )


def answer_fireworks(images: list[str], fields: Fields) -> StubResponse:
    return StubResponse(content=b64decode(images[0]))


ANSWERS: Mapping[str, Callable[[list[str], Fields], StubResponse]] = {
    "openai": answer_with_tokens,
    "azure": answer_with_tokens,
    "xai": answer_xai,
    "recraft": answer_recraft,
    "litellm": answer_litellm,
    "imagen": answer_imagen,
    "fireworks": answer_fireworks,
}
