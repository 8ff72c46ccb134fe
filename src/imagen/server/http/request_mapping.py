"""From the fields of a request to what a use case understands."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from imagen.bootstrap.output import OutputOptions
from imagen.bootstrap.requests import build_request
from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import InvalidRequest
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import GenerationRequest
from imagen.domain.size import Size
from imagen.server.errors import ErrorResponse
from imagen.server.http.schemas import SIZE, ImageFields
from imagen.settings.model import ServeSettings, Settings
from imagen.usecases.generate import GenerateImages

AUTO = "auto"

_BACKEND_PARAMETERS = (
    "quality",
    "background",
    "output_compression",
    "moderation",
    "guidance_scale",
    "input_fidelity",
)
"""Parameters that some backends have; each under one of the names below, or its own."""
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "guidance_scale": ("guidance", "cfg", "cfg_scale"),
    "output_compression": ("output_quality",),
}
_OPENAI_STYLES = {"vivid", "natural"}
_NOT_SENT = "it is not sent anywhere"

MAX_UNKNOWN_FIELDS = 50
"""Fields; each of them is a warning."""
_MAX_NAME_LENGTH = 80


def backend_and_model(settings: Settings, model: str | None) -> tuple[str, str | None]:
    """Return the instance, and its model if one was chosen.

    Raises:
        Failure: there is no such backend.
    """
    if model is None:
        return settings.default_backend, None
    name, _, chosen = model.partition("/")
    if name not in settings.backends:
        names = ", ".join(settings.backends)
        raise ErrorResponse(
            404,
            f"There is no model {model[:80]!r} here. There are: {names}.",
            param="model",
            code="model_not_found",
        )
    return name, chosen or None


def check_limits(
    fields: ImageFields, limits: ServeSettings, *, unknown: Sequence[str] = ()
) -> None:
    """Refuse what is too large for this server.

    Args:
        fields: What is asked for.
        limits: Those of the config.
        unknown: Fields that the API does not know.

    Raises:
        Failure: it is, or makes no sense.
    """
    if len(unknown) > MAX_UNKNOWN_FIELDS:
        raise _limit_exceeded(
            None,
            f"{len(unknown)} fields are unknown here, such as "
            f"{_shorten(unknown[0])!r}; {MAX_UNKNOWN_FIELDS} are the most.",
        )
    if fields.n is not None and fields.n > limits.count:
        raise _limit_exceeded(
            "n", f"{limits.count} images at most can be asked for at once."
        )
    for name in ("prompt", "negative_prompt"):
        text = getattr(fields, name) or ""
        if len(text) > limits.prompt:
            raise _limit_exceeded(
                name, f"It can have {limits.prompt} characters at most."
            )
    size = parse_size(fields)
    if size is not None and size.megapixels > limits.megapixels:
        raise _limit_exceeded("size", f"{limits.megapixels:g} megapixels are the most.")
    if fields.background == "transparent" and fields.output_format == "jpeg":
        raise ErrorResponse(
            400,
            "A JPEG cannot be transparent; ask for png or webp.",
            param="background",
            code="invalid_value",
        )


def parse_size(fields: ImageFields) -> Size | None:
    """Return the size that was asked for; None leaves it to the config.

    Raises:
        Failure: it is none.
    """
    if fields.size in {None, "", AUTO}:
        return None
    text = fields.size or ""
    if re.fullmatch(SIZE, text) is None:
        raise _invalid_size(
            "`size` must be WIDTHxHEIGHT, such as 1024x1024, or `auto`."
        )
    try:
        return Size.parse(text)
    except InvalidRequest as error:
        raise _invalid_size(f"{error.message} {error.hint}") from error


def _invalid_size(message: str) -> ErrorResponse:
    return ErrorResponse(400, message, param="size", code="invalid_value")


def build_output_options(fields: ImageFields) -> OutputOptions:
    """Return how the files are to be."""
    format_name = fields.output_format
    return OutputOptions(format=None if format_name is None else f"image/{format_name}")


class GenerateSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for, as an order has it.

    Attributes:
        fields: What the API knows, without files.
        model: That of the backend; None for its own.
        unknown: Fields that the API does not know.
        images: To change, or to make one after.
        mask: Where the first of them is painted anew.
    """

    fields: ImageFields
    model: str | None
    unknown: tuple[str, ...] = ()
    images: tuple[ReferenceImage, ...] = ()
    mask: ReferenceImage | None = None

    def request(self, use_case: GenerateImages, runtime: Runtime) -> GenerationRequest:
        """Return what is asked for, and with it what cannot be heeded.

        Raises:
            Failure, ImagenError: it makes no sense, or the backend cannot tell what it
                can do.
        """
        fields, settings = self.fields, runtime.settings
        model = _select_model(self.model, use_case)
        capabilities = use_case.capabilities(model or "")
        options, unheeded = _split_options(fields, capabilities.parameters)
        unheeded.update(
            (name, _NOT_SENT)
            for name in ("user", "safety_identifier")
            if getattr(fields, name)
        )
        unheeded.update(
            (_shorten(name), "imagen has no such field") for name in self.unknown
        )
        style = fields.style or None
        if style in _OPENAI_STYLES and style not in settings.styles:
            unheeded["style"] = f"there is no style {style!r} in the config"
            style = None
        if style is not None and style not in settings.styles:
            names = ", ".join(settings.styles) or "none"
            raise ErrorResponse(
                404,
                f"There is no style {style[:80]!r} here. There are: {names}.",
                param="style",
                code="style_not_found",
            )
        return build_request(
            settings,
            fields.prompt,
            negative=fields.negative_prompt or "",
            style=style,
            size=parse_size(fields),
            seed=fields.seed or 0,
            steps=fields.num_inference_steps or 0,
            model=model,
            count=fields.n or 1,
            options=options,
            images=self.images,
            mask=self.mask,
            unheeded=unheeded,
        )


def _select_model(model: str | None, use_case: GenerateImages) -> str | None:
    """Return the model; None for the backend's own, by whatever name."""
    capabilities = use_case.backend.capabilities()
    if model is None or model == capabilities.model:
        return None
    if capabilities.models is not None and model not in capabilities.models:
        raise ErrorResponse(
            404,
            f"{use_case.instance.name} has no model {model[:80]!r}; "
            "`GET /v1/models` lists those there are.",
            param="model",
            code="model_not_found",
        )
    return model


def _split_options(
    fields: ImageFields, known: Mapping[str, str] | None
) -> tuple[dict[str, object], dict[str, str]]:
    """Return what the backend is told besides, and what it cannot be told."""
    options: dict[str, object] = {}
    unheeded: dict[str, str] = {}
    for name in _BACKEND_PARAMETERS:
        value = getattr(fields, name, None)
        if value in {None, "", AUTO}:
            continue
        names = (name, *_ALIASES.get(name, ()))
        parameter = (
            name if known is None else next((n for n in names if n in known), None)
        )
        if parameter is None:
            unheeded[name] = "the backend has no such parameter"
        else:
            options[parameter] = value
    return options, unheeded


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[:_MAX_NAME_LENGTH]}…"


def _limit_exceeded(param: str | None, message: str) -> ErrorResponse:
    return ErrorResponse(422, message, param=param, code="limit_exceeded")
