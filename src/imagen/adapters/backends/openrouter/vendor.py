"""OpenRouter's Unified Image API as a vendor file."""

from collections.abc import Mapping
from typing import cast

from imagen.adapters.backends.openrouter.answers import read_answer, read_cost
from imagen.adapters.backends.openrouter.catalog import ModelCatalog
from imagen.adapters.backends.openrouter.errors import to_error
from imagen.adapters.backends.openrouter.request import build_body, describe_model
from imagen.adapters.remote.json_values import as_mapping, as_number
from imagen.adapters.remote.vendor import (
    Exchange,
    HttpRequest,
    HttpResponse,
    JobFailed,
    JobSucceeded,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import ImagenError
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import Cost


class OpenRouterJob(ImageJob, frozen=True, kw_only=True):
    """A job as the body of its submit request."""

    body: Mapping[str, object]


class OpenRouter:
    """One account at OpenRouter."""

    name = "OpenRouter"
    # 529 is documented as an overloaded provider. 524 is a timeout on the way, and a
    # proxy may answer with 500, 502 and 503, too: the image may have been made.
    refuses_with = frozenset({529})
    fails_with: frozenset[int] = frozenset()
    hosts = ("openrouter.ai",)

    def __init__(self, catalog: ModelCatalog, *, allow_fallbacks: bool) -> None:
        """Create the vendor file.

        Args:
            catalog: The models.
            allow_fallbacks: Whether OpenRouter tries another provider if one fails.
        """
        self._catalog = catalog
        self._allow_fallbacks = allow_fallbacks

    def capabilities(self) -> Capabilities:
        """Return the capabilities of the default model, without network."""
        return self._catalog.capabilities()

    def look_up_model(self, model: str) -> Exchange[Capabilities]:
        """Return the capabilities of a model; read its endpoints if necessary."""
        return describe_model(model, (yield from self._catalog.find_endpoints(model)))

    def prepare(self, job: ImageJob) -> Exchange[OpenRouterJob]:
        """Return the job as the body of its request."""
        catalog = self._catalog
        model = job.model or catalog.default
        endpoints = yield from catalog.find_endpoints(model)
        body = build_body(job, model, endpoints, pinned=catalog.pinned)
        if not self._allow_fallbacks:
            routing = as_mapping(body.get("provider"))
            body["provider"] = {**routing, "allow_fallbacks": False}
        fields = {name: getattr(job, name) for name in ImageJob.__struct_fields__}
        return OpenRouterJob(**fields, body=body)

    def submit(self, job: ImageJob, key: str) -> HttpRequest:
        """Return the submit request, which lasts as long as the job."""
        return HttpRequest(
            method="POST",
            path="images",
            json={**cast("OpenRouterJob", job).body, "session_id": key},
            timeout=job.timeout * job.count,
        )

    def submitted(
        self, job: ImageJob, response: HttpResponse
    ) -> JobSucceeded | JobFailed:
        """Return the images of the answer, and their cost."""
        transparent = job.options.get("background") == "transparent"
        return read_answer(
            response, seed=job.seed, transparent=transparent, server=self.name
        )

    def trace(self, key: str) -> str:
        """Return where the user sees whether a lost job was made, and what it cost."""
        return f"openrouter.ai/activity shows it as the session {key}."

    def look_up_cost(self, reference: str) -> Exchange[Cost]:
        """Return the cost of a generation by its id, if OpenRouter has it already."""
        response = yield HttpRequest(
            path="generation",
            query={"id": reference},
            timeout=2.0,
            reads=frozenset({404}),
        )
        data = as_mapping(as_mapping(response.json(object)).get("data"))
        return read_cost(data, total="total_cost")

    def error(self, response: HttpResponse) -> ImagenError | str:
        """Return the error for a response without success, or OpenRouter's message."""
        return to_error(response, self.name)

    def check(self) -> Mapping[str, Exchange[str]]:
        """Check the key, and then the model."""
        model = self._catalog.default
        return {"key": self._check_key(), f"model {model}": self._check_model()}

    def _check_key(self) -> Exchange[str]:
        response = yield HttpRequest(path="key")
        data = as_mapping(as_mapping(response.json(object)).get("data"))
        left = as_number(data.get("limit_remaining"))
        return "" if left is None else f"${left:.2f} left for this key"

    def _check_model(self) -> Exchange[str]:
        endpoints = yield from self._catalog.find_endpoints(self._catalog.default)
        return ", ".join(endpoint.tag for endpoint in endpoints)
