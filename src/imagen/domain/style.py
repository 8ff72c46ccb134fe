"""A style is a reusable way of asking."""

from collections.abc import Mapping

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.seed import validate_seed
from imagen.domain.size import Size


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """Words wrapped around a prompt and settings to go with them, under a name.

    Attributes:
        name: What it is called in the config.
        prompt: Where `{prompt}` stands, the prompt goes; without it, in front.
        negative: What to keep out, before what the request itself keeps out.
        size: Used unless the request names one.
        steps: Likewise; 0 leaves it to the backend.
        seed: Likewise; 0 lets imagen draw one.
        options: Parameters of the backend's own, under those of the request.
    """

    name: str
    prompt: str = "{prompt}"
    negative: str = ""
    size: Size | None = None
    steps: int = 0
    seed: int = 0
    options: Mapping[str, object] = {}

    def __post_init__(self) -> None:
        validate_seed(self.seed)
        if self.steps < 0:
            raise InvalidRequest(
                f"The style {self.name!r} cannot take {self.steps} steps."
            )


def apply_style(prompt: str, style: Style | None) -> str:
    """Return the prompt as the style would say it."""
    if style is None or not style.prompt:
        return prompt
    if "{prompt}" not in style.prompt:
        return f"{prompt}, {style.prompt}"
    return style.prompt.replace("{prompt}", prompt)


def combine_negatives(negative: str, style: Style | None) -> str:
    """Return what to keep out: the style's wishes, then the request's."""
    asked = (style.negative if style else "", negative)
    return ", ".join(part for part in asked if part)
