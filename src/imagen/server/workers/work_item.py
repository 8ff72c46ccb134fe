"""The data that a worker process needs to run a request."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from imagen.bootstrap.output import OutputOptions
from imagen.domain.idempotency import RequestKey
from imagen.domain.request import GenerationRequest
from imagen.server.errors import ErrorResponse

if TYPE_CHECKING:
    from imagen.usecases.generate import GenerateImages

ORIGIN = "serve"
"""The `origin` of the server's calls in the journal."""


class OptionalParameter(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the request that is sent only if the backend has such a parameter.

    Attributes:
        field: The name of the field, for the warning if the backend has none.
        names: The names of the backend's parameter, best first.
    """

    field: str
    names: tuple[str, ...]
    value: object


class WorkItem(msgspec.Struct, frozen=True, kw_only=True):
    """A validated request; it can be pickled.

    Attributes:
        optional: Parameters to add if the backend has them; None if the request is
            complete, as that of a rerun is.
        live: True if previews are wanted; ignored if the backend has none.
        report_progress: True if progress and previews are sent to the server.
        key: The idempotency key, or that of a request that a repetition may join; the
            calls are recorded with it before they are sent.
        retries: The retry number that the client stated.
        check_only: True if the request is only planned, and its budget checked.
    """

    backend: str
    request: GenerationRequest
    optional: tuple[OptionalParameter, ...] | None = None
    caller: str = ""
    output: OutputOptions = OutputOptions()
    live: bool = False
    report_progress: bool = False
    key: RequestKey | None = None
    retries: int | None = None
    check_only: bool = False

    def resolve(self, use_case: "GenerateImages") -> GenerationRequest:
        """Return the request with the model and parameters that the backend has.

        Called in the worker: only there is a backend asked what it supports, so that a
        crash of its library ends one worker and not the server.

        Raises:
            ErrorResponse: the backend has no such model (404).
            ImagenError: the backend cannot say what the model supports.
        """
        if self.optional is None:
            return self.request
        model = _select_model(self.request.model, use_case)
        known = use_case.capabilities(model or "").parameters
        options, unsupported = _split_options(self.optional, known)
        return msgspec.structs.replace(
            self.request,
            model=model,
            options=options,
            unsupported_fields={**unsupported, **self.request.unsupported_fields},
        )


def _select_model(model: str | None, use_case: "GenerateImages") -> str | None:
    """Return the model; None if it is the backend's default."""
    capabilities = use_case.backend.capabilities()
    if model is None or model == capabilities.model:
        return None
    if capabilities.models is not None and model not in capabilities.models:
        raise ErrorResponse(
            404,
            f"{use_case.instance.name} has no model {model[:80]!r}. "
            "`GET /v1/models` lists the available models.",
            param="model",
            code="model_not_found",
        )
    return model


def _split_options(
    optional: tuple[OptionalParameter, ...], known: Mapping[str, str] | None
) -> tuple[dict[str, object], dict[str, str]]:
    """Return options for the backend, and unsupported fields with the reason."""
    options: dict[str, object] = {}
    unsupported: dict[str, str] = {}
    for each in optional:
        # None: the backend accepts any parameter.
        name = next((n for n in each.names if known is None or n in known), None)
        if name is None:
            unsupported[each.field] = "the backend has no such parameter"
        else:
            options[name] = each.value
    return options, unsupported
