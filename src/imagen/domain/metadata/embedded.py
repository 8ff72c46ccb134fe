"""What an image file says of how it was made, whichever tool says it."""

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
_SIDES = re.compile(r"\(?([0-9]{1,6})(?:x|X|×|\*|, )([0-9]{1,6})\)?", re.ASCII)  # noqa: RUF001 - Fooocus's own sign


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What one tool says of how the image was made; None is what it does not say.

    Attributes:
        tool: Who says so.
        prompt: The words; of imagen's own note those that were asked for, before any
            style.
        negative: What was to be kept out.
        seed: Which draw of the dice.
        steps: How many.
        size: What the tool was told to make; the picture may have been enlarged since.
        model: Its name.
        guidance: How closely to follow the words.
        sampler: Its name, as the tool calls it.
        parameters: What else the tool says, in its own words.
        sidecar: imagen's own note. What is never inside a file is empty in it.
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
    """All that a file says of how it was made.

    Attributes:
        facts: What the file is, and whether a C2PA manifest is inside.
        recipes: What each tool says; first the one that knows best.
        source_type: IPTC's DigitalSourceType, as a word of its vocabulary; "" for none.
        texts: Everything that is said in the file, by its place, as it is there.
        warnings: What could not be read, and why.
    """

    facts: ImageFacts
    recipes: tuple[Recipe, ...] = ()
    source_type: str = ""
    texts: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()

    @property
    def recipe(self) -> Recipe | None:
        """What the tool says that knows best."""
        return self.recipes[0] if self.recipes else None


class FieldNames(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool calls the things that all of them say, the likeliest first."""

    prompt: Sequence[str] = ("prompt",)
    negative: Sequence[str] = ("negative_prompt",)
    seed: Sequence[str] = ("seed",)
    steps: Sequence[str] = ("steps",)
    size: Sequence[str] = ()
    sides: tuple[str, str] = ("width", "height")
    model: Sequence[str] = ("model",)
    guidance: Sequence[str] = ("guidance",)
    sampler: Sequence[str] = ("sampler",)


def build_recipe(tool: str, said: Mapping[str, object], keys: FieldNames) -> Recipe:
    """Return what a tool said; what fits no field stays among the parameters."""
    rest = dict(said)

    def first(names: Sequence[str], read: Callable[[object], _T | None]) -> _T | None:
        for name in names:
            if (value := read(rest.get(name))) is not None:
                del rest[name]
                return value
        return None

    size = first(keys.size, _size)
    width, height = (rest.get(name) for name in keys.sides)
    if size is None and (size := _size(f"{width}x{height}")):
        for name in keys.sides:
            del rest[name]
    return Recipe(
        tool=tool,
        prompt=first(keys.prompt, _text),
        negative=first(keys.negative, _text),
        seed=first(keys.seed, lambda value: _whole(value, most=LARGEST_SEED)),
        steps=first(keys.steps, lambda value: _whole(value, most=MAX_STEPS)),
        size=size,
        model=first(keys.model, _name),
        guidance=first(keys.guidance, _number),
        sampler=first(keys.sampler, _name),
        parameters={key: value for key, value in rest.items() if value is not None},
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _name(value: object) -> str | None:
    """Return a name, also one that stands in a record about what is named."""
    named = as_object(value)
    value = named.get("name") or named.get("model_name") or value
    return value if isinstance(value, str) and value else None


def _whole(value: object, *, most: int) -> int | None:
    if isinstance(value, str):
        value = int(value) if _WHOLE.fullmatch(value) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= most else None


def _number(value: object) -> float | None:
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _LARGEST_NUMBER else None


def _size(value: object) -> Size | None:
    if not isinstance(value, str) or not (sides := _SIDES.fullmatch(value.strip())):
        return None
    try:
        return Size(int(sides[1]), int(sides[2]))
    except InvalidRequest:
        return None
