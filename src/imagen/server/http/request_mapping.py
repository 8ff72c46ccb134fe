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

_THEIRS = (
    "quality",
    "background",
    "output_compression",
    "moderation",
    "guidance_scale",
    "input_fidelity",
)
"""Parameters that some backends have; each under one of the names below, or its own."""
_ALSO_CALLED: Mapping[str, tuple[str, ...]] = {
    "guidance_scale": ("guidance", "cfg", "cfg_scale"),
    "output_compression": ("output_quality",),
}
_OPENAIS_STYLES = {"vivid", "natural"}
_NOT_SENT = "it is not sent anywhere"

MOST_UNKNOWN = 50
"""Fields; each of them is a warning."""
_LONGEST_SHOWN = 80


def backend_and_model(settings: Settings, model: str | None) -> tuple[str, str | None]:
    """Return the instance, and its model if one was chosen.

    Raises:
        Failure: there is no such backend.
    """
    if model is None:
        return settings.default_backend, None
    name, _, chosen = model.partition("/")
    if name not in settings.backends:
        there = ", ".join(settings.backends)
        raise ErrorResponse(
            404,
            f"There is no model {model[:80]!r} here. There are: {there}.",
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
    if len(unknown) > MOST_UNKNOWN:
        raise _too_much(
            None,
            f"{len(unknown)} fields are unknown here, such as {_shown(unknown[0])!r}; "
            f"{MOST_UNKNOWN} are the most.",
        )
    if fields.n is not None and fields.n > limits.count:
        raise _too_much("n", f"{limits.count} images at most can be asked for at once.")
    for name in ("prompt", "negative_prompt"):
        words = getattr(fields, name) or ""
        if len(words) > limits.prompt:
            raise _too_much(name, f"It can have {limits.prompt} characters at most.")
    size = parse_size(fields)
    if size is not None and size.megapixels > limits.megapixels:
        raise _too_much("size", f"{limits.megapixels:g} megapixels are the most.")
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
    written = fields.size or ""
    if re.fullmatch(SIZE, written) is None:
        raise _no_size("`size` is WIDTHxHEIGHT, such as 1024x1024, or auto.")
    try:
        return Size.parse(written)
    except InvalidRequest as error:
        raise _no_size(f"{error.message} {error.hint}") from error


def _no_size(message: str) -> ErrorResponse:
    return ErrorResponse(400, message, param="size", code="invalid_value")


def build_output_options(fields: ImageFields) -> OutputOptions:
    """Return how the files are to be."""
    form = fields.output_format
    return OutputOptions(format=None if form is None else f"image/{form}")


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

    def request(self, maker: GenerateImages, runtime: Runtime) -> GenerationRequest:
        """Return what is asked for, and with it what cannot be heeded.

        Raises:
            Failure, ImagenError: it makes no sense, or the backend cannot tell what it
                can do.
        """
        fields, settings = self.fields, runtime.settings
        model = _chosen(self.model, maker)
        can = maker.capabilities(model or "")
        options, unheeded = _settled(fields, can.parameters)
        unheeded.update(
            (name, _NOT_SENT)
            for name in ("user", "safety_identifier")
            if getattr(fields, name)
        )
        unheeded.update(
            (_shown(name), "imagen has no such field") for name in self.unknown
        )
        style = fields.style or None
        if style in _OPENAIS_STYLES and style not in settings.styles:
            unheeded["style"] = f"there is no style {style!r} in the config"
            style = None
        if style is not None and style not in settings.styles:
            there = ", ".join(settings.styles) or "none"
            raise ErrorResponse(
                404,
                f"There is no style {style[:80]!r} here. There are: {there}.",
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


def _chosen(model: str | None, use_case: GenerateImages) -> str | None:
    """Return the model; None for the backend's own, by whatever name."""
    can = use_case.backend.capabilities()
    if model is None or model == can.model:
        return None
    if can.models is not None and model not in can.models:
        raise ErrorResponse(
            404,
            f"{use_case.instance.name} has no model {model[:80]!r}; "
            "`GET /v1/models` lists those there are.",
            param="model",
            code="model_not_found",
        )
    return model


def _settled(
    fields: ImageFields, known: Mapping[str, str] | None
) -> tuple[dict[str, object], dict[str, str]]:
    """Return what the backend is told besides, and what it cannot be told."""
    options: dict[str, object] = {}
    unheeded: dict[str, str] = {}
    for name in _THEIRS:
        value = getattr(fields, name, None)
        if value in {None, "", AUTO}:
            continue
        names = (name, *_ALSO_CALLED.get(name, ()))
        called = name if known is None else next((n for n in names if n in known), None)
        if called is None:
            unheeded[name] = "the backend has no such parameter"
        else:
            options[called] = value
    return options, unheeded


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…"


def _too_much(param: str | None, message: str) -> ErrorResponse:
    return ErrorResponse(422, message, param=param, code="limit_exceeded")
