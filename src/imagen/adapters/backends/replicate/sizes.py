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

SIZE_INPUTS = (WIDTH, HEIGHT, RATIO, *SCALES)

_DEFAULT_SIZE = Size(1024, 1024)
_ONE_MEGAPIXEL = _DEFAULT_SIZE.width * _DEFAULT_SIZE.height
_MULTIPLE = 16
"""Sides are multiples of this if nobody says otherwise: every model divides by it."""

_MIN_SIDE, _MAX_SIDE = 256, 2048
"""The range of the sides, likewise."""

_SIZE_PATTERN = re.compile(r"(\d{2,5}) *[x*×] *(\d{2,5})")  # noqa: RUF001 - some write it so
_RATIO_PATTERN = re.compile(r"(\d{1,3}(?:\.\d+)?):(\d{1,3}(?:\.\d+)?)")
_MEGAPIXELS = re.compile(r"(\d+(?:\.\d+)?) *(?:MP)?", re.IGNORECASE)
_KILO = re.compile(r"(\d)K", re.IGNORECASE)
_SIDE = re.compile(r"(\d{3,4})p?")
_DIVISOR = re.compile(r"multiples? of (\d+)", re.IGNORECASE)


def _build_buckets() -> dict[str, Size]:
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


BUCKETS = _build_buckets()
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
    options: tuple[SizeOption, ...] = ()

    @property
    def rule(self) -> SizeRule:
        """The sizes that can be made; one that cannot be chosen is the usual one."""
        if self.grid is not None:
            return self.grid
        sizes = tuple(dict.fromkeys(way.size for way in self.options))
        return SizeRule(choices=sizes or (_DEFAULT_SIZE,))

    def choose_inputs(
        self, size: Size, given: Mapping[str, object]
    ) -> dict[str, object]:
        """Return the inputs that ask for the size, or for what comes nearest.

        Args:
            size: What is wanted.
            given: Inputs of this kind that the user named; they go before the size.
        """
        if self.grid is not None and given.keys() <= {WIDTH, HEIGHT}:
            near = self.grid.nearest(size)
            sides = {WIDTH: near.width, HEIGHT: near.height}
            return {**self.grid_inputs, **sides, **given}
        fitting = [way for way in self.options if _matches(way.inputs, given)]
        if not fitting:
            return dict(given)
        rule = SizeRule(choices=tuple(way.size for way in fitting))
        near = rule.nearest(size)
        best = next(way for way in fitting if way.size == near)
        return {**best.inputs, **given}


def read_sizes(fields: Mapping[str, Field], pixels: Pixels | None = None) -> SizeInputs:
    """Return the sizes of the model that has these inputs."""
    listed = _list_whole_sizes(fields)
    if listed:
        return SizeInputs(options=listed)
    ways = _list_ratio_sizes(fields, pixels or {})
    if WIDTH not in fields or HEIGHT not in fields:
        return SizeInputs(options=ways)
    width, height = fields[WIDTH], fields[HEIGHT]
    if width.choices and height.choices:
        return SizeInputs(options=_combine_sides(width, height))
    says = [name for name in (RATIO, *LISTS) if CUSTOM in _text_choices(fields, name)]
    return SizeInputs(
        grid=_build_grid(width, height),
        grid_inputs=dict.fromkeys(says[:1], CUSTOM),
        options=ways,
    )


def parse_ratio_sizes(text: str) -> Mapping[str, Size]:
    """Read `1:1 1024x1024, 16:9 1344x768` as the sizes of these ratios."""
    pairs = (pair.split() for pair in text.split(","))
    return {ratio: Size.parse(size) for ratio, size in pairs}


def _matches(inputs: Mapping[str, object], given: Mapping[str, object]) -> bool:
    return all(json_equal(inputs.get(name), value) for name, value in given.items())


def _text_choices(fields: Mapping[str, Field], name: str) -> tuple[str, ...]:
    return fields[name].text_choices if name in fields else ()


def _list_whole_sizes(fields: Mapping[str, Field]) -> tuple[SizeOption, ...]:
    return tuple(
        SizeOption(size=size, inputs={name: word})
        for name in LISTS
        for word in _text_choices(fields, name)
        if (found := _SIZE_PATTERN.fullmatch(word))
        and (size := _parse_size(found[1], found[2]))
    )


def _combine_sides(width: Field, height: Field) -> tuple[SizeOption, ...]:
    return tuple(
        SizeOption(size=size, inputs={WIDTH: wide, HEIGHT: high})
        for wide in width.choices
        for high in height.choices
        if (size := _parse_size(wide, high))
    )


def _build_grid(width: Field, height: Field) -> SizeRule:
    said = _DIVISOR.search(f"{width.note} {height.note}")
    lows = [field.lowest for field in (width, height) if field.lowest is not None]
    highs = [field.highest for field in (width, height) if field.highest is not None]
    smallest = max(SMALLEST_SIDE, int(max(lows, default=_MIN_SIDE)))
    largest = min(LARGEST_SIDE, int(min(highs, default=_MAX_SIDE)))
    return SizeRule(
        multiple=int(said[1]) if said else _MULTIPLE,
        smallest=smallest,
        largest=max(smallest, largest),
    )


def _list_ratio_sizes(
    fields: Mapping[str, Field], pixels: Pixels
) -> tuple[SizeOption, ...]:
    """Return a size for each ratio, as large as it can be asked for."""
    ratios = [
        word for word in _text_choices(fields, RATIO) if _RATIO_PATTERN.fullmatch(word)
    ]
    scales = {
        name: words
        for name in SCALES
        if (
            words := [
                word for word in _text_choices(fields, name) if _is_scale(word, pixels)
            ]
        )
    }
    name, words = next(iter(scales.items()), ("", [""]))
    return tuple(
        SizeOption(
            size=size, inputs={RATIO: ratio, name: word} if name else {RATIO: ratio}
        )
        for word in words
        for ratio in ratios
        if (size := _find_size(ratio, word, pixels))
    )


def _is_scale(word: str, pixels: Pixels) -> bool:
    return word in pixels or _parse_area(word) is not None


def _find_size(ratio: str, word: str, pixels: Pixels) -> Size | None:
    """Return what comes of a ratio: as known, as known at another scale, or a guess."""
    for known, sizes in sorted(pixels.items(), key=lambda entry: entry[0] != word):
        if ratio in sizes and (known == word or _parse_area(known)):
            factor = (
                1.0
                if known == word
                else _area_or_default(word) / _area_or_default(known)
            )
            return _scale(sizes[ratio], factor)
    found = _RATIO_PATTERN.fullmatch(ratio)
    if found is None or not float(found[2]):
        return None
    usual = BUCKETS.get(ratio) or _compute_size(float(found[1]) / float(found[2]))
    return usual and _scale(usual, _area_or_default(word) / _ONE_MEGAPIXEL)


def _area_or_default(word: str) -> float:
    return _parse_area(word) or _ONE_MEGAPIXEL


def _parse_area(word: str) -> float | None:
    """Return how many pixels the word stands for, if it says how large."""
    if found := _KILO.fullmatch(word):
        return float(found[1]) ** 2 * _ONE_MEGAPIXEL
    if found := _SIDE.fullmatch(word):
        return float(found[1]) ** 2
    if found := _MEGAPIXELS.fullmatch(word):
        return float(found[1]) * _ONE_MEGAPIXEL or None
    return None


def _compute_size(shape: float) -> Size | None:
    if not shape:
        return None
    height = (_ONE_MEGAPIXEL / shape) ** 0.5
    return _parse_size(_snap(height * shape), _snap(height))


def _scale(size: Size, factor: float) -> Size | None:
    if factor == 1:
        return size
    return _parse_size(*(_snap(side * factor**0.5) for side in size.sides))


def _snap(side: float) -> int:
    return max(_MULTIPLE, round(side / _MULTIPLE) * _MULTIPLE)


def _parse_size(width: object, height: object) -> Size | None:
    """Return the size, if it is one that imagen knows."""
    try:
        sides = int(str(width)), int(str(height))
    except ValueError:
        return None
    in_range = all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides)
    return Size(*sides) if in_range else None
