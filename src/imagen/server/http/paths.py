"""Map the paths and methods that clients send to those of the routes."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

EDITS = "/v1/images/edits"
JSON_EDITS = "/v1/images/edits/json"
"""The route of edits whose body is JSON.

Litestar decodes a body in one way for each route, and OpenAI's edits have two.
"""

_AZURE_DEPLOYMENT = re.compile(r"/openai/deployments/(.+)(/images/[a-z]+)", re.DOTALL)
_AZURE = re.compile(r"/openai/(?!deployments/)(?:v1/)?(.+)", re.DOTALL)
_DEPLOYMENT = "imagen.deployment"


def map_to_route(scope: MutableMapping[str, Any], base_path: str = "") -> str | None:
    """Change the path and method of a request to those of the route that answers it.

    Azure's paths become OpenAI's, HEAD becomes GET, JSON edits get their own route. The
    base path is removed; a proxy may have removed it already. Returns the address to
    redirect to, if the request is for the base path without a slash: the addresses in
    the page are relative.
    """
    path: str = scope["path"]
    if base_path and path == base_path:
        return f"{base_path}/"
    if base_path and path.startswith(f"{base_path}/"):
        path = path.removeprefix(base_path)
    if match := _AZURE_DEPLOYMENT.fullmatch(path):
        scope[_DEPLOYMENT], path = match[1], f"/v1{match[2]}"
    elif match := _AZURE.fullmatch(path):
        path = f"/v1/{match[1]}"
    if path == EDITS and _is_json(scope):
        path = JSON_EDITS
    if scope.get("method") == "HEAD":
        scope["method"] = "GET"
    if path != scope["path"]:
        scope["path"], scope["raw_path"] = path, path.encode(errors="replace")
    return None


def find_deployment(scope: Mapping[str, Any]) -> str | None:
    """Return the model in the path of a request, as Azure's clients send it."""
    name: str | None = scope.get(_DEPLOYMENT)
    return name


def _is_json(scope: MutableMapping[str, Any]) -> bool:
    kinds = (value for name, value in scope["headers"] if name == b"content-type")
    return next(kinds, b"").strip().lower().startswith(b"application/json")
