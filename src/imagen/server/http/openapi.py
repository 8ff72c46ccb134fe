"""The OpenAPI description: JSON at `/schema`, without pages that load a CDN."""

from typing import Any

import msgspec
from litestar import Request
from litestar.datastructures import UploadFile
from litestar.openapi.plugins import JsonRenderPlugin

from imagen.server.http.images import EditFields, JsonEditFields, VariationFields
from imagen.server.http.paths import EDITS
from imagen.server.http.schemas import GenerationFields
from imagen.settings.model import ServeSettings

_STREAMING_PATHS = ("/v1/images/generations", EDITS, "/v1/images/variations")
"""Paths that respond with server-sent events when `stream` is true."""
_SCHEMA_REF = "#/components/schemas/{name}"


class StructSchemaPlugin(JsonRenderPlugin):
    """Describes request bodies with msgspec's own JSON schema."""

    def __init__(self, limits: ServeSettings) -> None:
        super().__init__(path=["/", "/openapi.json"])
        self._limits = limits

    def render(
        self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]
    ) -> bytes:
        """Return the description with msgspec's schemas of the request bodies."""
        # msgspec validates the bodies, so its own schemas have every limit.
        _, bodies = msgspec.json.schema_components(
            [GenerationFields, EditFields, JsonEditFields, VariationFields],
            schema_hook=_file_schema,
            ref_template=_SCHEMA_REF,
        )
        for body in bodies.values():
            fields = body["properties"]
            if "prompt" not in fields:
                continue
            fields["prompt"]["maxLength"] = self._limits.prompt
            fields["negative_prompt"]["anyOf"][0]["maxLength"] = self._limits.prompt
            fields["n"]["anyOf"][0]["maximum"] = self._limits.count
        for name in ("EditFields", "VariationFields"):
            form = bodies[name]
            form["required"] = [*form.get("required", ()), "image"]
            form["properties"] = {
                name: _without_null(field) for name, field in form["properties"].items()
            }
        for path in _STREAMING_PATHS:
            response = openapi_schema["paths"][path]["post"]["responses"]["200"]
            response["content"]["text/event-stream"] = {"schema": {"type": "string"}}
        edits = openapi_schema["paths"][EDITS]["post"]["requestBody"]["content"]
        reference = _SCHEMA_REF.format(name=JsonEditFields.__name__)
        edits["application/json"] = {"schema": {"$ref": reference}}
        schemas = {**openapi_schema["components"]["schemas"], **bodies}
        components = {**openapi_schema["components"], "schemas": schemas}
        return super().render(request, {**openapi_schema, "components": components})


def _file_schema(kind: type) -> dict[str, Any]:
    if kind is UploadFile:
        return {"type": "string", "format": "binary"}
    raise NotImplementedError


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without null: forms omit a field instead of sending null."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return field
    plain = {k: v for k, v in field.items() if k not in {"anyOf", "default"}}
    return {**plain, **kinds[0]}
