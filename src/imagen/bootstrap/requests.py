"""Parameters as a user gives them, turned into requests and reference images."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from imagen.bootstrap.parameters import (
    PARAMETERS,
    RequestParameters,
    RerunParameters,
    SweepParameters,
)
from imagen.domain.errors import InvalidRequest
from imagen.domain.fit import Fit
from imagen.domain.money.cost import usd_to_micros
from imagen.domain.reference import ReferenceImage, check_reference_size
from imagen.domain.request import AspectRatio, GenerationRequest
from imagen.domain.size import Size
from imagen.domain.style import Style
from imagen.formats.container import NotAnImage, read_facts
from imagen.settings.model import Settings

if TYPE_CHECKING:
    from imagen.bootstrap.runtime import Runtime
    from imagen.domain.rerun import Overrides
    from imagen.domain.sweep import Axis, SweepGrid

REFERENCE_TYPES = {"image/png", "image/jpeg", "image/webp", "image/gif"}
"""Media types of reference images; adapters pass the files on as they are."""

# Bytes of a reference image, at most.
LARGEST_REFERENCE = 100_000_000


def build_request(
    runtime: "Runtime",
    prompt: str,
    parameters: RequestParameters,
    *,
    count: int | None = None,
    unsupported_fields: Mapping[str, str] | None = None,
) -> GenerationRequest:
    """Return the validated request that these parameters describe.

    `unsupported_fields` are those that imagen does not support, with reasons.

    Raises:
        InvalidRequest: a parameter is invalid, or the config has no such style.
    """
    return msgspec.structs.replace(
        GenerationRequest(
            prompt=prompt, count=count, unsupported_fields=unsupported_fields or {}
        ),
        **_add_style_images(runtime, parse_parameters(runtime, parameters)),
    )


def build_overrides(
    runtime: "Runtime", parameters: RerunParameters, *, count: int | None = None
) -> "Overrides":
    """Return the fields of the request that a rerun replaces."""
    fields = parse_parameters(runtime, parameters)
    return fields if count is None else {**fields, "count": count}


def build_sweep_requests(
    runtime: "Runtime",
    prompt: str,
    parameters: SweepParameters,
    *,
    backend: str | Sequence[str] | None = None,
) -> "tuple[SweepGrid, list[tuple[str, GenerationRequest]]]":
    """Return the grid of a sweep, and the backend and request of each combination.

    The maximum cost is left out, since it limits the sweep as a whole.

    Raises:
        InvalidRequest: a parameter is invalid, or the config has no such style.
    """
    from imagen.domain.sweep import Axis, SweepGrid  # noqa: PLC0415 - only for sweeps

    axes = list(_build_axes(parameters))
    if backend is not None:
        axes.insert(0, Axis(name="backend", values=_list_values(backend)))
    grid = SweepGrid.of(axes)
    fixed = {
        name: value
        for name, value in parameters.items()
        if not PARAMETERS[name].sweepable and name != "max_cost"
    }
    # Parsed once for all combinations: reference images are read from files.
    fields = parse_parameters(runtime, cast("RequestParameters", fixed))
    shared = msgspec.structs.replace(
        GenerationRequest(prompt=prompt, count=1), **_add_style_images(runtime, fields)
    )
    requests: list[tuple[str, GenerationRequest]] = []
    for cell in grid.cells():
        varied = {
            name: value for name, value in cell.values.items() if name in PARAMETERS
        }
        fields = parse_parameters(
            runtime, cast("RequestParameters", {**varied, "set": cell.options})
        )
        name = cell.values.get("backend")
        if name is None:
            name = runtime.find_backend(None).instance.name
        fields = _add_style_images(runtime, fields, own=shared.images)
        requests.append((str(name), msgspec.structs.replace(shared, **fields)))
    return grid, requests


def parse_parameters(
    runtime: "Runtime", parameters: RequestParameters | RerunParameters
) -> dict[str, object]:
    """Return the fields of a GenerationRequest that these parameters set.

    Raises:
        InvalidRequest: a parameter is invalid, or the config has no such style.
    """
    if parameters.get("size") and parameters.get("aspect"):
        raise InvalidRequest(
            "A size and an aspect ratio are given.", hint="Give one of them."
        )
    fields: dict[str, object] = {}
    for name, value in parameters.items():
        if value is None:
            continue
        if name == "style":
            fields[name] = _find_style(runtime.settings, value)
        elif name == "images":
            sources = cast("Iterable[object]", value)
            fields[name] = tuple(_read_image(each, runtime) for each in sources)
        elif name == "mask":
            fields[name] = _read_image(value, runtime)
        else:
            field, parsed = parse_parameter(name, value)
            fields[field] = parsed
    return fields


def parse_parameter(name: str, value: object) -> tuple[str, object]:
    """Return the field of a GenerationRequest that a parameter sets, and its value."""
    match name:
        case "size" if isinstance(value, str) and ":" in value:
            return "aspect", AspectRatio.parse(value)
        case "size":
            return name, _parse_size(value)
        case "aspect":
            return name, AspectRatio.parse(value)
        case "set":
            return "options", _parse_options(value)
        case "max_cost":
            return name, parse_max_cost(value)
        case "fit":
            return name, _parse_fit(value)
        case _:
            return name, value


def parse_max_cost(usd: object) -> int | None:
    """Return an amount of dollars (number, text or Decimal) in micro-dollars.

    Raises:
        InvalidRequest: the amount is not a number, negative, not finite or too large.
    """
    try:
        # Through text: Decimal(0.1) would have the binary digits of the float.
        return None if usd is None else usd_to_micros(Decimal(str(usd)))
    except InvalidOperation:
        raise InvalidRequest(
            f"max_cost is {usd!r}, but must be an amount in dollars such as 0.25."
        ) from None
    except ValueError as error:
        raise InvalidRequest(f"max_cost: {error}") from error


def build_reference(content: bytes, *, name: str) -> ReferenceImage:
    """Return the reference image with that content.

    Raises:
        InvalidRequest: the content is not a complete image of a known format, or has
            too many pixels.
    """
    try:
        facts = read_facts(content)
    except NotAnImage as reason:
        raise InvalidRequest(f"{name} is not a complete image: {reason}.") from reason
    if facts.media_type not in REFERENCE_TYPES:
        raise InvalidRequest(
            f"{name} is {facts.media_type}, and backends take no such images.",
            hint="Convert it to PNG, JPEG or WebP.",
        )
    check_reference_size(name, facts.width, facts.height)
    return ReferenceImage(
        name=name,
        sha256=sha256(content).hexdigest(),
        media_type=facts.media_type,
        content=content,
    )


def _read_image(source: object, runtime: "Runtime") -> ReferenceImage:
    if isinstance(source, ReferenceImage):
        return source
    if isinstance(source, bytes):
        return build_reference(source, name="bytes")
    if not isinstance(source, str | PathLike):
        raise InvalidRequest(
            f"{source!r} is not an image.",
            hint="Give the path of a file, or its content as bytes.",
        )
    path = fspath(cast("str | PathLike[str]", source))
    file = runtime.environment.expand_home(Path(path))
    try:
        with file.open("rb") as opened:
            # Not by the size that stat() reports, which is 0 for pipes and /dev/zero.
            content = opened.read(LARGEST_REFERENCE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a regular file"
        raise InvalidRequest(f"The image {path} cannot be read: {reason}.") from error
    if len(content) > LARGEST_REFERENCE:
        raise InvalidRequest(
            f"The image {path} is larger than {LARGEST_REFERENCE} bytes."
        )
    return build_reference(content, name=file.name)


def _build_axes(parameters: SweepParameters) -> "Iterable[Axis]":
    """Yield an axis for each sweepable parameter that is given."""
    from imagen.domain.sweep import Axis, parse_numbers  # noqa: PLC0415 - only for sweeps

    for name, value in parameters.items():
        info = PARAMETERS[name]
        if value is None or not info.sweepable:
            continue
        if name == "set":
            for key, values in _parse_options(value).items():
                yield Axis(name=f"set.{key}", values=_list_values(values))
        elif info.kind == "whole number" and isinstance(value, str):
            yield parse_numbers(name, value)
        elif info.kind == "whole number" and isinstance(value, Iterable):
            yield Axis(name=name, values=tuple(cast("Iterable[object]", value)))
        elif name == "size":
            # Text may be invalid: each combination parses it. A tuple is one size.
            sizes: object = value
            if not isinstance(value, str | list):
                sizes = _parse_size(value)
            yield Axis(name=name, values=tuple(map(str, _list_values(sizes))))
        else:
            yield Axis(name=name, values=_list_values(value))


def _list_values(value: object) -> tuple[object, ...]:
    if isinstance(value, list | tuple):
        return tuple(cast("Sequence[object]", value))
    return (value,)


def _add_style_images(
    runtime: "Runtime",
    fields: dict[str, object],
    *,
    own: tuple[ReferenceImage, ...] = (),
) -> dict[str, object]:
    """Return the fields of a request with the reference images of its style.

    Args:
        runtime: Resolves the paths.
        fields: The fields.
        own: The reference images, if they are not among the fields.
    """
    style = fields.get("style")
    if not (isinstance(style, Style) and style.images):
        return fields
    own = cast("tuple[ReferenceImage, ...]", fields.get("images", own))
    return {
        **fields,
        "images": (*own, *(_read_image(each, runtime) for each in style.images)),
    }


def _find_style(settings: Settings, name: object) -> Style:
    if not isinstance(name, str) or name not in settings.styles:
        from imagen.settings.secrets import display_value  # noqa: PLC0415 - rare

        raise InvalidRequest(
            f"Unknown style {display_value(str(name))}.",
            hint=f"Available styles: {', '.join(settings.styles)}.",
        )
    return settings.styles[name]


def _parse_size(size: object) -> Size:
    if isinstance(size, Size):
        return size
    if isinstance(size, str):
        return Size.parse(size)
    sides = _list_values(size)
    if len(sides) != 2:  # noqa: PLR2004 - width and height
        raise InvalidRequest(
            f"{size!r} is not a size.", hint="Give '1536x768' or (1536, 768)."
        )
    width, height = sides
    return Size(cast("int", width), cast("int", height))


def _parse_options(options: object) -> Mapping[str, object]:
    try:
        return msgspec.convert(options, dict[str, object])
    except msgspec.ValidationError:
        raise InvalidRequest(
            f"set is {options!r}, and should be a mapping with names of text."
        ) from None


def _parse_fit(fit: object) -> Fit:
    try:
        return Fit(str(fit))
    except ValueError:
        raise InvalidRequest(
            f"Unknown fit {fit!r}.", hint=f"Use one of {', '.join(Fit)}."
        ) from None
