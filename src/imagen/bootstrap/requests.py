"""Parameters as a user gives them, turned into requests and reference images."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, cast

from imagen.domain.errors import InvalidRequest
from imagen.domain.fit import Fit
from imagen.domain.money.cost import usd_to_micros
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import GenerationRequest
from imagen.domain.size import Size
from imagen.domain.style import Style
from imagen.formats.container import NotAnImage, read_facts
from imagen.settings.environment import Environment
from imagen.settings.model import Settings

if TYPE_CHECKING:
    from imagen.domain.rerun import Overrides
    from imagen.domain.sweep import SweepGrid

LARGEST_REFERENCE = 100_000_000
"""Bytes of a reference image, at most."""


def build_request(
    settings: Settings,
    prompt: str,
    *,
    negative: str = "",
    style: str | None = None,
    size: str | tuple[int, int] | Size | None = None,
    seed: int = 0,
    steps: int = 0,
    model: str | None = None,
    count: int = 1,
    options: Mapping[str, object] | None = None,
    images: Sequence[ReferenceImage] = (),
    mask: ReferenceImage | None = None,
    max_cost: Decimal | None = None,
    fit: str | None = None,
    timeout: float | None = None,
    strict: bool = False,
    unheeded: Mapping[str, str] | None = None,
) -> GenerationRequest:
    """Return the validated request that these parameters describe.

    Raises:
        InvalidRequest: a parameter is invalid, or the config has no such style.
    """
    return GenerationRequest(
        prompt=prompt,
        negative=negative,
        style=_find_style(settings, style),
        size=_parse_size(size),
        seed=seed,
        steps=steps,
        model=model,
        count=count,
        options=options or {},
        images=tuple(images),
        mask=mask,
        max_cost=parse_max_cost(max_cost),
        fit=_parse_fit(fit),
        timeout=timeout,
        strict=strict,
        unsupported_fields=unheeded or {},
    )


def build_sweep_requests(
    settings: Settings,
    sweep: "SweepGrid",
    prompt: str,
    *,
    negative: str = "",
    images: Sequence[ReferenceImage] = (),
    mask: ReferenceImage | None = None,
    fit: str | None = None,
    timeout: float | None = None,
    strict: bool = False,
) -> list[tuple[str, GenerationRequest]]:
    """Return the backend and the request of each combination of a sweep.

    Raises:
        InvalidRequest: a parameter is invalid, or the config has no such style.
    """
    return [
        (
            str(cell.values.get("backend", settings.default_backend)),
            build_request(
                settings,
                prompt,
                negative=negative,
                style=cast("str | None", cell.values.get("style")),
                size=cast("str | None", cell.values.get("size")),
                seed=cast("int", cell.values.get("seed", 0)),
                steps=cast("int", cell.values.get("steps", 0)),
                model=cast("str | None", cell.values.get("model")),
                options=cell.options,
                images=images,
                mask=mask,
                fit=fit,
                timeout=timeout,
                strict=strict,
            ),
        )
        for cell in sweep.cells()
    ]


def build_overrides(
    *,
    count: int = 1,
    seed: int | None = None,
    steps: int | None = None,
    size: str | tuple[int, int] | Size | None = None,
    model: str | None = None,
    options: Mapping[str, object] | None = None,
    images: Sequence[ReferenceImage] | None = None,
    mask: ReferenceImage | None = None,
    max_cost: Decimal | None = None,
    fit: str | None = None,
    timeout: float | None = None,
    strict: bool = False,
) -> "Overrides":
    """Return the parameters that replace those of the image that is made again.

    Raises:
        InvalidRequest: a parameter is invalid.
    """
    from imagen.domain.rerun import Overrides  # noqa: PLC0415 - only for reruns

    return Overrides(
        count=count,
        seed=seed,
        steps=steps,
        size=_parse_size(size),
        model=model,
        options=options or {},
        images=None if images is None else tuple(images),
        mask=mask,
        max_cost=parse_max_cost(max_cost),
        fit=_parse_fit(fit),
        timeout=timeout,
        strict=strict,
    )


def parse_max_cost(usd: Decimal | None) -> int | None:
    """Return an amount of dollars in micro-dollars.

    Raises:
        InvalidRequest: the amount is negative, not finite or too large.
    """
    try:
        return None if usd is None else usd_to_micros(usd)
    except ValueError as error:
        raise InvalidRequest(f"max_cost: {error}") from error


def read_reference(path: str | Path, *, environment: Environment) -> ReferenceImage:
    """Read a reference image or mask from a file.

    Raises:
        InvalidRequest: the file cannot be read, is too large, or is not an image.
    """
    file = environment.expand_home(Path(path))
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


def build_reference(content: bytes, *, name: str) -> ReferenceImage:
    """Return the reference image with that content.

    Args:
        content: The whole file.
        name: The file name, for messages and the sidecar.

    Raises:
        InvalidRequest: the content is not a complete image of a known format.
    """
    try:
        facts = read_facts(content)
    except NotAnImage as reason:
        raise InvalidRequest(f"{name} is not a complete image: {reason}.") from reason
    return ReferenceImage(
        name=name,
        sha256=sha256(content).hexdigest(),
        media_type=facts.media_type,
        content=content,
    )


def _find_style(settings: Settings, name: str | None) -> Style | None:
    if name is None:
        return None
    if name not in settings.styles:
        from imagen.settings.secrets import display_value  # noqa: PLC0415 - rare

        known = ", ".join(settings.styles)
        raise InvalidRequest(
            f"Unknown style {display_value(name)}.",
            hint=f"Configured styles: {known}." if known else "The config has none.",
        )
    return settings.styles[name]


def _parse_size(size: str | tuple[int, int] | Size | None) -> Size | None:
    match size:
        case str():
            return Size.parse(size)
        case (width, height):
            return Size(width, height)
        case Size() | None:
            return size
        case _:  # pyright: ignore[reportUnnecessaryComparison] - Python checks no types
            raise InvalidRequest(
                f"{size!r} is not a size.", hint="Give '1536x768' or (1536, 768)."
            )


def _parse_fit(fit: str | None) -> Fit | None:
    try:
        return None if fit is None else Fit(fit)
    except ValueError:
        raise InvalidRequest(
            f"Unknown fit {fit!r}.", hint=f"Use one of {', '.join(Fit)}."
        ) from None
