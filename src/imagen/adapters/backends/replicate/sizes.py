"""Which sizes a model makes, and which of its inputs ask for them.

Models say it in four ways: width and height, a list of sizes, a ratio of the sides, or
a ratio and how large it is to be (`0.25`, `1 MP`, `2K`). The last two do not tell the
pixels. For the models of our table they are known; for others they are worked out, and
what really comes is measured anyway.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from imagen.adapters.backends.replicate.schema import Field, json_equal
from imagen.domain.size import LARGEST_SIDE, SMALLEST_SIDE, Size, SizeRule

Pixels: TypeAlias = Mapping[str, Mapping[str, Size]]
"""What is known to come out: how large (as the model says it, or ""), which ratio."""

WIDTH, HEIGHT, RATIO, CUSTOM = "width", "height", "aspect_ratio", "custom"
LISTS = ("size", "resolution", "image_size")
"""Inputs that may list whole sizes, or say how large."""

SCALES = ("megapixels", "output_megapixels", *LISTS)
"""Inputs that say how large it is to be, beside a ratio."""

NAMES = (WIDTH, HEIGHT, RATIO, *SCALES)

_USUAL = Size(1024, 1024)
_ONE_MEGAPIXEL = _USUAL.width * _USUAL.height
_MULTIPLE = 16
"""Sides are multiples of this if nobody says otherwise: every model divides by it."""

_SMALLEST, _LARGEST = 256, 2048
"""The range of the sides, likewise."""

_WHOLE = re.compile(r"(\d{2,5}) *[x*×] *(\d{2,5})")  # noqa: RUF001 - some write it so
_SHAPE = re.compile(r"(\d{1,3}(?:\.\d+)?):(\d{1,3}(?:\.\d+)?)")
_MEGAPIXELS = re.compile(r"(\d+(?:\.\d+)?) *(?:MP)?", re.IGNORECASE)
_KILO = re.compile(r"(\d)K", re.IGNORECASE)
_SIDE = re.compile(r"(\d{3,4})p?")
_DIVISOR = re.compile(r"multiples? of (\d+)", re.IGNORECASE)


def _buckets() -> dict[str, Size]:
    sides = {
        "1:1": (1024, 1024),
        "5:4": (1088, 896),
        "4:3": (1152, 896),
        "3:2": (1216, 832),
        "16:9": (1344, 768),
        "21:9": (1536, 640),
    }
    wide = {ratio: Size(*pair) for ratio, pair in sides.items()}
    tall = {
        ":".join(reversed(ratio.split(":"))): Size(size.height, size.width)
        for ratio, size in wide.items()
    }
    return {**wide, **tall}


BUCKETS = _buckets()
"""What FLUX.1, SDXL and SD 3.5 make of a ratio at one megapixel (their own sources)."""


class SizeOption(msgspec.Struct, frozen=True, kw_only=True):
    """A size, and the inputs that ask for it."""

    size: Size
    inputs: Mapping[str, object]


class SizeInputs(msgspec.Struct, frozen=True, kw_only=True):
    """All sizes of one model.

    Attributes:
        grid: Any width and height that keep to this; None if they cannot be given.
        grid_inputs: What goes along with a width and a height.
        ways: The sizes that it has a word for.
    """

    grid: SizeRule | None = None
    grid_inputs: Mapping[str, object] = {}
    ways: tuple[SizeOption, ...] = ()

    @property
    def rule(self) -> SizeRule:
        """The sizes that can be made; one that cannot be chosen is the usual one."""
        if self.grid is not None:
            return self.grid
        sizes = tuple(dict.fromkeys(way.size for way in self.ways))
        return SizeRule(choices=sizes or (_USUAL,))

    def inputs_for(self, size: Size, given: Mapping[str, object]) -> dict[str, object]:
        """Return the inputs that ask for the size, or for what comes nearest.

        Args:
            size: What is wanted.
            given: Inputs of this kind that the user named; they go before the size.
        """
        if self.grid is not None and given.keys() <= {WIDTH, HEIGHT}:
            near = self.grid.nearest(size)
            sides = {WIDTH: near.width, HEIGHT: near.height}
            return {**self.grid_inputs, **sides, **given}
        fitting = [way for way in self.ways if _agrees(way.inputs, given)]
        if not fitting:
            return dict(given)
        rule = SizeRule(choices=tuple(way.size for way in fitting))
        near = rule.nearest(size)
        best = next(way for way in fitting if way.size == near)
        return {**best.inputs, **given}


def read_sizes(fields: Mapping[str, Field], pixels: Pixels | None = None) -> SizeInputs:
    """Return the sizes of the model that has these inputs."""
    listed = _listed(fields)
    if listed:
        return SizeInputs(ways=listed)
    ways = _shaped(fields, pixels or {})
    if WIDTH not in fields or HEIGHT not in fields:
        return SizeInputs(ways=ways)
    width, height = fields[WIDTH], fields[HEIGHT]
    if width.choices and height.choices:
        return SizeInputs(ways=_crossed(width, height))
    says = [name for name in (RATIO, *LISTS) if CUSTOM in _words(fields, name)]
    return SizeInputs(
        grid=_grid(width, height),
        grid_inputs=dict.fromkeys(says[:1], CUSTOM),
        ways=ways,
    )


def parse_ratio_sizes(text: str) -> Mapping[str, Size]:
    """Read `1:1 1024x1024, 16:9 1344x768` as the sizes of these ratios."""
    pairs = (pair.split() for pair in text.split(","))
    return {ratio: Size.parse(size) for ratio, size in pairs}


def _agrees(inputs: Mapping[str, object], given: Mapping[str, object]) -> bool:
    return all(json_equal(inputs.get(name), value) for name, value in given.items())


def _words(fields: Mapping[str, Field], name: str) -> tuple[str, ...]:
    return fields[name].words if name in fields else ()


def _listed(fields: Mapping[str, Field]) -> tuple[SizeOption, ...]:
    return tuple(
        SizeOption(size=size, inputs={name: word})
        for name in LISTS
        for word in _words(fields, name)
        if (found := _WHOLE.fullmatch(word)) and (size := _size(found[1], found[2]))
    )


def _crossed(width: Field, height: Field) -> tuple[SizeOption, ...]:
    return tuple(
        SizeOption(size=size, inputs={WIDTH: wide, HEIGHT: high})
        for wide in width.choices
        for high in height.choices
        if (size := _size(wide, high))
    )


def _grid(width: Field, height: Field) -> SizeRule:
    said = _DIVISOR.search(f"{width.note} {height.note}")
    lows = [field.lowest for field in (width, height) if field.lowest is not None]
    highs = [field.highest for field in (width, height) if field.highest is not None]
    smallest = max(SMALLEST_SIDE, int(max(lows, default=_SMALLEST)))
    largest = min(LARGEST_SIDE, int(min(highs, default=_LARGEST)))
    return SizeRule(
        multiple=int(said[1]) if said else _MULTIPLE,
        smallest=smallest,
        largest=max(smallest, largest),
    )


def _shaped(fields: Mapping[str, Field], pixels: Pixels) -> tuple[SizeOption, ...]:
    """Return a size for each ratio, as large as it can be asked for."""
    ratios = [word for word in _words(fields, RATIO) if _SHAPE.fullmatch(word)]
    scales = {
        name: words
        for name in SCALES
        if (words := [word for word in _words(fields, name) if _knows(word, pixels)])
    }
    name, words = next(iter(scales.items()), ("", [""]))
    return tuple(
        SizeOption(
            size=size, inputs={RATIO: ratio, name: word} if name else {RATIO: ratio}
        )
        for word in words
        for ratio in ratios
        if (size := _pixels(ratio, word, pixels))
    )


def _knows(word: str, pixels: Pixels) -> bool:
    return word in pixels or _area(word) is not None


def _pixels(ratio: str, word: str, pixels: Pixels) -> Size | None:
    """Return what comes of a ratio: as known, as known at another scale, or a guess."""
    for known, sizes in sorted(pixels.items(), key=lambda entry: entry[0] != word):
        if ratio in sizes and (known == word or _area(known)):
            factor = 1.0 if known == word else _wanted(word) / _wanted(known)
            return _scaled(sizes[ratio], factor)
    found = _SHAPE.fullmatch(ratio)
    if found is None or not float(found[2]):
        return None
    usual = BUCKETS.get(ratio) or _worked_out(float(found[1]) / float(found[2]))
    return usual and _scaled(usual, _wanted(word) / _ONE_MEGAPIXEL)


def _wanted(word: str) -> float:
    return _area(word) or _ONE_MEGAPIXEL


def _area(word: str) -> float | None:
    """Return how many pixels the word stands for, if it says how large."""
    if found := _KILO.fullmatch(word):
        return float(found[1]) ** 2 * _ONE_MEGAPIXEL
    if found := _SIDE.fullmatch(word):
        return float(found[1]) ** 2
    if found := _MEGAPIXELS.fullmatch(word):
        return float(found[1]) * _ONE_MEGAPIXEL or None
    return None


def _worked_out(shape: float) -> Size | None:
    if not shape:
        return None
    height = (_ONE_MEGAPIXEL / shape) ** 0.5
    return _size(_snapped(height * shape), _snapped(height))


def _scaled(size: Size, factor: float) -> Size | None:
    if factor == 1:
        return size
    return _size(*(_snapped(side * factor**0.5) for side in size.sides))


def _snapped(side: float) -> int:
    return max(_MULTIPLE, round(side / _MULTIPLE) * _MULTIPLE)


def _size(width: object, height: object) -> Size | None:
    """Return the size, if it is one that imagen knows."""
    try:
        sides = int(str(width)), int(str(height))
    except ValueError:
        return None
    in_range = all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides)
    return Size(*sides) if in_range else None
