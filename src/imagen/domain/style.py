"""Styles: reusable prompt templates with settings."""

from collections.abc import Mapping

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.seed import validate_seed
from imagen.domain.size import Size


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """A named prompt template with default settings.

    Attributes:
        prompt: Text in which `{prompt}` is replaced by the prompt; without it the text
            is appended to the prompt.
        negative: Negative prompt, placed before that of the request.
        size: Default size, used if the request sets none.
        steps: Default number of steps, used in the same way; 0 for none.
        seed: Default seed, used in the same way; 0 for none.
        options: Backend parameters; those of the request take precedence.
        images: Paths of reference images, which follow those of the request.
    """

    name: str
    prompt: str = "{prompt}"
    negative: str = ""
    size: Size | None = None
    steps: int = 0
    seed: int = 0
    options: Mapping[str, object] = {}
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        validate_seed(self.seed)
        if self.steps < 0:
            raise InvalidRequest(
                f"The style {self.name!r} has {self.steps} steps; use 0 or more."
            )


def apply_style(prompt: str, style: Style | None) -> str:
    """Return the prompt with the style applied."""
    if style is None or not style.prompt:
        return prompt
    if "{prompt}" not in style.prompt:
        return f"{prompt}, {style.prompt}"
    return style.prompt.replace("{prompt}", prompt)


def combine_negatives(negative: str, style: Style | None) -> str:
    """Return the negative prompts of the style and of the request, in this order."""
    parts = (style.negative if style else "", negative)
    return ", ".join(part for part in parts if part)
