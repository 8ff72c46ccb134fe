"""Turn the fields of an HTTP request into a `GenerationRequest`."""

import re
from collections.abc import Mapping, Sequence
from typing import cast

from imagen.bootstrap.generation import RequestContext, build_generate
from imagen.bootstrap.output import OutputOptions
from imagen.bootstrap.parameters import PARAMETERS, RequestParameters
from imagen.bootstrap.requests import build_request, parse_parameter
from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import InvalidRequest
from imagen.domain.events import ignore_event
from imagen.domain.reference import ReferenceImage
from imagen.domain.size import Size
from imagen.server.errors import ErrorResponse
from imagen.server.http.schemas import SIZE, ImageFields
from imagen.server.workers.work_item import WorkItem
from imagen.settings.model import ServeSettings, Settings
from imagen.usecases.generate import GenerateImages

AUTO = "auto"

# Fields that are passed to the backend under their own name, or under the alias that
# the backend knows: OpenAI's names first, then those of other vendors.
_BACKEND_PARAMETERS = (
    "quality",
    "background",
    "output_compression",
    "moderation",
    "guidance_scale",
    "input_fidelity",
)
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "guidance_scale": ("guidance", "cfg", "cfg_scale"),
    "output_compression": ("output_quality",),
}
# OpenAI's values for DALL-E 3: clients that send them must not get a 404.
_OPENAI_STYLES = {"vivid", "natural"}

MAX_UNKNOWN_FIELDS = 50
"""Unknown fields in one request; each becomes a warning."""
_MAX_NAME_LENGTH = 80


def parse_model(settings: Settings, model: str | None) -> tuple[str, str | None]:
    """Return the backend's name and its model; the model is None for the default.

    Raises:
        ErrorResponse: the config has no such backend (404).
    """
    if model is None:
        return settings.default_backend, None
    name, _, backend_model = model.partition("/")
    if name not in settings.backends:
        raise ErrorResponse(
            404,
            f"Unknown model {model[:80]!r}. Available: {', '.join(settings.backends)}.",
            param="model",
            code="model_not_found",
        )
    return name, backend_model or None


def check_limits(
    fields: ImageFields, limits: ServeSettings, *, unknown: Sequence[str] = ()
) -> None:
    """Check a request against the limits of the server.

    Args:
        fields: The fields of the request.
        limits: The limits of the config.
        unknown: The names of unknown fields.

    Raises:
        ErrorResponse: a limit is exceeded (422), or a field is invalid (400).
    """
    if len(unknown) > MAX_UNKNOWN_FIELDS:
        raise _limit_exceeded(
            None,
            f"The request has {len(unknown)} unknown fields, such as "
            f"{_shorten(unknown[0])!r}; the maximum is {MAX_UNKNOWN_FIELDS}.",
        )
    if fields.n is not None and fields.n > limits.count:
        raise _limit_exceeded("n", f"`n` must be at most {limits.count}.")
    for name in ("prompt", "negative_prompt"):
        text = getattr(fields, name) or ""
        if len(text) > limits.prompt:
            raise _limit_exceeded(
                name, f"`{name}` must have at most {limits.prompt} characters."
            )
    if fields.size and fields.size != AUTO:
        _check_size(fields.size, limits)
    if fields.background == "transparent" and fields.output_format == "jpeg":
        raise ErrorResponse(
            400,
            "A JPEG cannot be transparent. Use the output format png or webp.",
            param="background",
            code="invalid_value",
        )


def build_work_item(
    fields: ImageFields,
    runtime: Runtime,
    *,
    caller: str,
    unknown: Sequence[str] = (),
    images: Sequence[ReferenceImage] = (),
    mask: ReferenceImage | None = None,
) -> WorkItem:
    """Return the work item of a request; may ask the backend over the network.

    A backend with several models may have to look up what a model supports.

    Args:
        fields: The known fields, without files.
        runtime: The settings and backends.
        caller: The name of the caller.
        unknown: The names of unknown fields.
        images: Reference images.
        mask: The mask of the first reference image.

    Raises:
        ErrorResponse: the backend, model or style does not exist (404).
        ImagenError: the request is invalid, or the backend cannot be used.
    """
    settings = runtime.settings
    backend, backend_model = parse_model(settings, fields.model)
    media_type = fields.output_format and f"image/{fields.output_format}"
    output = OutputOptions(format=media_type)
    count = fields.n or 1
    use_case = build_generate(
        runtime,
        backend,
        output=output,
        count=count,
        # The worker looks up the capabilities again, and reports the warnings.
        listen=ignore_event,
        context=RequestContext(caller=caller),
    )
    model = _select_model(backend_model, use_case)
    known = use_case.capabilities(model or "").parameters
    options, unsupported = _split_options(fields, known)
    for name in ("user", "safety_identifier"):
        if getattr(fields, name):
            unsupported[name] = "imagen does not forward it"
    for name in unknown:
        unsupported[_shorten(name)] = "unknown field"
    style = fields.style or None
    if style is not None and style not in settings.styles:
        if style not in _OPENAI_STYLES:
            raise _unknown_style(style, settings)
        unsupported["style"] = f"the config has no style {style!r}"
        style = None
    parameters = cast(
        "RequestParameters",
        {
            # Forms send an empty text for a field that is not filled in.
            name: getattr(fields, info.http_name) or None
            for name, info in PARAMETERS.items()
            if info.http_name
        },
    )
    parameters["style"] = style
    parameters["size"] = None if fields.size in {"", AUTO} else fields.size
    parameters["model"] = model
    parameters["set"] = options
    parameters["images"] = images
    parameters["mask"] = mask
    request = build_request(
        runtime,
        fields.prompt,
        parameters,
        count=count,
        unsupported_fields=unsupported,
    )
    return WorkItem(
        backend=backend,
        request=request,
        caller=caller,
        output=output,
        live=bool(fields.stream and fields.partial_images),
    )


def _check_size(text: str, limits: ServeSettings) -> None:
    if re.fullmatch(SIZE, text) is None:
        raise _invalid_size(
            f"`size` must be {PARAMETERS['size'].http_format}, or `auto`."
        )
    try:
        _, size = parse_parameter("size", text)
    except InvalidRequest as error:
        raise _invalid_size(f"{error.message} {error.hint}") from error
    if isinstance(size, Size) and size.megapixels > limits.megapixels:
        raise _limit_exceeded(
            "size", f"`size` must be at most {limits.megapixels:g} megapixels."
        )


def _select_model(model: str | None, use_case: GenerateImages) -> str | None:
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
    fields: ImageFields, parameters: Mapping[str, str] | None
) -> tuple[dict[str, object], dict[str, str]]:
    """Return options for the backend, and unsupported fields with the reason."""
    options: dict[str, object] = {}
    unsupported: dict[str, str] = {}
    for field in _BACKEND_PARAMETERS:
        value = getattr(fields, field, None)
        if value in {None, "", AUTO}:
            continue
        names = (field, *_ALIASES.get(field, ()))
        # None: the backend accepts any parameter.
        name = next((n for n in names if parameters is None or n in parameters), None)
        if name is None:
            unsupported[field] = "the backend has no such parameter"
        else:
            options[name] = value
    return options, unsupported


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[:_MAX_NAME_LENGTH]}…"


def _invalid_size(message: str) -> ErrorResponse:
    return ErrorResponse(400, message, param="size", code="invalid_value")


def _unknown_style(style: str, settings: Settings) -> ErrorResponse:
    available = ", ".join(settings.styles) or "none"
    return ErrorResponse(
        404,
        f"Unknown style {style[:80]!r}. Available: {available}.",
        param="style",
        code="style_not_found",
    )


def _limit_exceeded(param: str | None, message: str) -> ErrorResponse:
    return ErrorResponse(422, message, param=param, code="limit_exceeded")
