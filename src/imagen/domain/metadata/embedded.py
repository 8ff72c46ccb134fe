"""The generation metadata of an image file, independent of the tool."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.metadata.foreign_json import as_object
from imagen.domain.request import MAX_STEPS
from imagen.domain.seed import LARGEST_SEED
from imagen.domain.sidecar import Sidecar
from imagen.domain.size import Size
from imagen.formats.container import ImageFacts

_T = TypeVar("_T")

_WHOLE = re.compile(r"[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{0,20})?", re.ASCII)
_LARGEST_NUMBER = 10**12
# Fooocus writes a multiplication sign between the sides.
_SIDES = re.compile(r"\(?([0-9]{1,6})(?:x|X|×|\*|, )([0-9]{1,6})\)?", re.ASCII)  # noqa: RUF001 - see above


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata that one tool wrote; None for missing values.

    Attributes:
        prompt: The prompt; in imagen's own metadata without the style.
        size: Requested size; the image may have been enlarged afterwards.
        sampler: The tool's name of the sampler.
        parameters: All other parameters, unchanged.
        sidecar: imagen's own metadata; fields that are not embedded are empty.
    """

    tool: str
    prompt: str | None = None
    negative: str | None = None
    seed: int | None = None
    steps: int | None = None
    size: Size | None = None
    model: str | None = None
    guidance: float | None = None
    sampler: str | None = None
    parameters: Mapping[str, object] = {}
    sidecar: Sidecar | None = None


class EmbeddedMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """All generation metadata of a file.

    Attributes:
        facts: Type and size of the file, and whether it has a C2PA manifest.
        recipes: The metadata of each tool, the most reliable first.
        source_type: Term of IPTC's DigitalSourceType vocabulary; "" for none.
        texts: All texts in the file, by key, unchanged.
        warnings: Data that could not be read, with the reason.
    """

    facts: ImageFacts
    recipes: tuple[Recipe, ...] = ()
    source_type: str = ""
    texts: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()

    @property
    def recipe(self) -> Recipe | None:
        """The most reliable metadata; None for none."""
        return self.recipes[0] if self.recipes else None


class FieldNames(msgspec.Struct, frozen=True, kw_only=True):
    """A tool's names of the common fields, the preferred name first."""

    prompt: Sequence[str] = ("prompt",)
    negative: Sequence[str] = ("negative_prompt",)
    seed: Sequence[str] = ("seed",)
    steps: Sequence[str] = ("steps",)
    size: Sequence[str] = ()
    sides: tuple[str, str] = ("width", "height")
    model: Sequence[str] = ("model",)
    guidance: Sequence[str] = ("guidance",)
    sampler: Sequence[str] = ("sampler",)


def build_recipe(tool: str, data: Mapping[str, object], keys: FieldNames) -> Recipe:
    """Return a tool's metadata; values that fit no field become `parameters`."""
    rest = dict(data)

    def first(names: Sequence[str], read: Callable[[object], _T | None]) -> _T | None:
        for name in names:
            if (value := read(rest.get(name))) is not None:
                del rest[name]
                return value
        return None

    size = first(keys.size, parse_size)
    width, height = (rest.get(name) for name in keys.sides)
    if size is None and (size := parse_size(f"{width}x{height}")):
        for name in keys.sides:
            del rest[name]
    return Recipe(
        tool=tool,
        prompt=first(keys.prompt, _text),
        negative=first(keys.negative, _text),
        seed=first(keys.seed, lambda value: _whole(value, limit=LARGEST_SEED)),
        steps=first(keys.steps, lambda value: _whole(value, limit=MAX_STEPS)),
        size=size,
        model=first(keys.model, _name),
        guidance=first(keys.guidance, _number),
        sampler=first(keys.sampler, _name),
        parameters={key: value for key, value in rest.items() if value is not None},
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _name(value: object) -> str | None:
    """Return a name, which may be inside an object that describes the model."""
    named = as_object(value)
    value = named.get("name") or named.get("model_name") or value
    return value if isinstance(value, str) and value else None


def _whole(value: object, *, limit: int) -> int | None:
    if isinstance(value, str):
        value = int(value) if _WHOLE.fullmatch(value) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= limit else None


def _number(value: object) -> float | None:
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _LARGEST_NUMBER else None


def parse_size(value: object) -> Size | None:
    """Return a size in any notation of these tools; None if it is out of range."""
    if not isinstance(value, str) or not (sides := _SIDES.fullmatch(value.strip())):
        return None
    try:
        return Size(int(sides[1]), int(sides[2]))
    except InvalidRequest:
        return None
