"""Turn the fields of an HTTP request into a `GenerationRequest`."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar, cast

import msgspec

from imagen.bootstrap.output import OutputOptions
from imagen.bootstrap.parameters import PARAMETERS, RequestParameters
from imagen.bootstrap.requests import build_request, parse_parameter
from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import InvalidRequest
from imagen.domain.reference import ReferenceImage
from imagen.domain.size import Size
from imagen.server.errors import ErrorResponse, invalid_value
from imagen.server.http.schemas import SIZE, ImageFields, KnownFields
from imagen.server.workers.work_item import OptionalParameter, WorkItem
from imagen.settings.model import ServeSettings, Settings

AUTO = "auto"

FieldsT = TypeVar("FieldsT", bound=ImageFields)
ValueT = TypeVar("ValueT", str, int, float)
# OpenAI returned a URL for these models by default, and programs rely on it.
_URL_MODELS = "dall-e-"

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
# OpenAI's clients send `auto` for a default; in other fields it is a value.
_AUTO_PARAMETERS = {"size", "aspect"}
# OpenAI's values for DALL-E 3: clients that send them must not get a 404.
_OPENAI_STYLES = {"vivid", "natural"}

MAX_UNKNOWN_FIELDS = 50
"""Unknown fields in one request; each becomes a warning."""
_MAX_NAME_LENGTH = 80


def parse_model(settings: Settings, model: str | None) -> tuple[str, str | None]:
    """Return the backend's name and its model; the model is None for the default.

    An alias of `serve.models` stands for its target; with `serve.default_model` every
    other unknown name stands for that.

    Raises:
        ErrorResponse: the config has no such backend (404), or no default one (400).
    """
    available = ", ".join([*settings.backends, *settings.serve.models])
    if not model:
        if settings.default_backend is None:
            raise ErrorResponse(
                400,
                "The request names no model, and this server has no default one. "
                f"Available: {available}.",
                param="model",
                code="invalid_value",
            )
        return settings.default_backend, None
    target = find_target(settings, model) or settings.serve.default_model
    if not target:
        raise ErrorResponse(
            404,
            f"Unknown model {model[:80]!r}. Available: {available}.",
            param="model",
            code="model_not_found",
        )
    name, _, backend_model = target.partition("/")
    return name, backend_model or None


def find_target(settings: Settings, model: str) -> str | None:
    """Return the BACKEND or BACKEND/MODEL that a name stands for, if it is known."""
    aliases = settings.serve.models
    if model in aliases:
        return aliases[model]
    if model.partition("/")[0] in settings.backends:
        return model
    found = (target for name, target in aliases.items() if fnmatchcase(model, name))
    return next(found, None)


def normalize_fields(fields: FieldsT, *, deployment: str | None = None) -> FieldsT:
    """Return the fields with each value under the name that imagen uses.

    Args:
        deployment: The model in the path of the request, as Azure's clients send it.

    Raises:
        ErrorResponse: two names of one field have different values (400).
    """
    model = deployment or fields.model
    size = fields.size
    if fields.width or fields.height:
        if not (fields.width and fields.height):
            missing = "height" if fields.width else "width"
            raise invalid_value(missing, "Send `width` and `height` together.")
        sides = f"{fields.width}x{fields.height}"
        size = _same_value(("size", None if size == AUTO else size), ("width", sides))
    form = fields.response_format
    if form is None and (model or "").lower().startswith(_URL_MODELS):
        form = "url"
    return msgspec.structs.replace(
        fields,
        model=model,
        size=size,
        width=None,
        height=None,
        num_inference_steps=_same_value(
            ("num_inference_steps", fields.num_inference_steps),
            ("steps", fields.steps),
        ),
        steps=None,
        guidance_scale=_same_value(
            ("guidance_scale", fields.guidance_scale), ("cfg_scale", fields.cfg_scale)
        ),
        cfg_scale=None,
        seed=0 if fields.seed == -1 else fields.seed,
        output_format="jpeg" if fields.output_format == "jpg" else fields.output_format,
        response_format=form,
    )


def _same_value(
    first: tuple[str, ValueT | None], second: tuple[str, ValueT | None]
) -> ValueT | None:
    """Return the value of a field that has two names.

    Raises:
        ErrorResponse: the values differ (400).
    """
    (name, value), (alias, other) = first, second
    if not other:
        return value
    if value and value != other:
        raise invalid_value(
            alias, f"`{alias}` and `{name}` have different values. Send one of them."
        )
    return other


def check_unknown_fields(names: Sequence[str]) -> None:
    """Raise an ErrorResponse (422) if there are more than `MAX_UNKNOWN_FIELDS`."""
    if len(names) > MAX_UNKNOWN_FIELDS:
        raise _limit_exceeded(
            None,
            f"The request has {len(names)} unknown fields, such as "
            f"{_shorten(names[0])!r}; the maximum is {MAX_UNKNOWN_FIELDS}.",
        )


def check_limits(fields: ImageFields, limits: ServeSettings) -> None:
    """Check a request against the limits of the server.

    Raises:
        ErrorResponse: a limit is exceeded (422), or a field is invalid (400).
    """
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
    for name, info in PARAMETERS.items():
        if info.http_name and info.http_name not in KnownFields.__struct_fields__:
            value = getattr(fields, info.http_name)
            if value not in {None, "", AUTO}:
                _parse_field(name, info.http_name, value)
    if fields.background == "transparent" and fields.output_format == "jpeg":
        raise invalid_value(
            "background",
            "A JPEG cannot be transparent. Use the output format png or webp.",
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
    """Return the work item of a request, without a look at the backend.

    Raises:
        ErrorResponse: the backend or style does not exist (404).
        ImagenError: the request is invalid.
    """
    settings = runtime.settings
    backend, model = parse_model(settings, fields.model)
    name = fields.model or backend
    media_type = fields.output_format and f"image/{fields.output_format}"
    unsupported: dict[str, str] = {}
    if find_target(settings, name) is None:
        unsupported["model"] = (
            f"this server has no model {_shorten(name)!r} and uses "
            f"{settings.serve.default_model}"
        )
    for name in ("user", "safety_identifier"):
        if getattr(fields, name):
            unsupported[name] = "imagen does not forward it"
    for name in unknown:
        unsupported[_shorten(name)] = "unknown field"
    style = fields.style or None
    if style is not None and style not in settings.styles:
        if style not in _OPENAI_STYLES:
            raise ErrorResponse(
                404,
                f"Unknown style {style[:80]!r}. Available: "
                f"{', '.join(settings.styles)}.",
                param="style",
                code="style_not_found",
            )
        unsupported["style"] = f"the config has no style {style!r}"
        style = None
    parameters: dict[str, object] = {}
    for name, info in PARAMETERS.items():
        if info.http_name:
            value = getattr(fields, info.http_name)
            is_auto = value == AUTO and name in _AUTO_PARAMETERS
            # Forms send an empty text for a field that is not filled in.
            parameters[name] = None if is_auto else value or None
    parameters |= {"style": style, "model": model, "images": images, "mask": mask}
    request = build_request(
        runtime,
        fields.prompt,
        cast("RequestParameters", parameters),
        count=fields.n or 1,
        unsupported_fields=unsupported,
    )
    return WorkItem(
        backend=backend,
        request=request,
        optional=tuple(
            OptionalParameter(
                field=name, names=(name, *_ALIASES.get(name, ())), value=value
            )
            for name in _BACKEND_PARAMETERS
            if (value := getattr(fields, name, None)) not in {None, "", AUTO}
        ),
        caller=caller,
        output=OutputOptions(format=media_type),
        live=bool(fields.stream and fields.partial_images),
    )


def _check_size(text: str, limits: ServeSettings) -> None:
    if re.fullmatch(SIZE, text) is None:
        raise invalid_value(
            "size", f"`size` must be {PARAMETERS['size'].http_format}, or `auto`."
        )
    size = _parse_field("size", "size", text)
    if isinstance(size, Size) and size.megapixels > limits.megapixels:
        raise _limit_exceeded(
            "size", f"`size` must be at most {limits.megapixels:g} megapixels."
        )


def _parse_field(name: str, field: str, value: object) -> object:
    try:
        return parse_parameter(name, value)[1]
    except InvalidRequest as error:
        message = f"{error.message} {error.hint}"
        raise invalid_value(field, message) from error


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[:_MAX_NAME_LENGTH]}…"


def _limit_exceeded(param: str | None, message: str) -> ErrorResponse:
    return ErrorResponse(422, message, param=param, code="limit_exceeded")


def find_field(parameter: str) -> str | None:
    """Return the field that sets a parameter of a backend; None if there is none."""
    if parameter in _BACKEND_PARAMETERS:
        return parameter
    found = (field for field, names in _ALIASES.items() if parameter in names)
    return next(found, None)
