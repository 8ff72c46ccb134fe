"""The image sizes of a model, and the inputs that select each size.

Models have four kinds of inputs for the size: width and height, a list of sizes, an
aspect ratio, or an aspect ratio and a scale (`0.25`, `1 MP`, `2K`). The last two do not
state pixels. For the models in the table the pixels are known, for others they are
computed; the image that arrives is measured in any case.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from imagen.adapters.remote.models.schema import Field, json_equal
from imagen.domain.size import LARGEST_SIDE, SMALLEST_SIDE, Size, SizeRule

Pixels: TypeAlias = Mapping[str, Mapping[str, Size]]
"""Known sizes by scale (the model's own word, or "") and aspect ratio."""

WIDTH, HEIGHT, RATIO, CUSTOM = "width", "height", "aspect_ratio", "custom"
LISTS = ("size", "resolution", "image_size")
"""Inputs whose choices may be sizes or scales."""

SCALES = ("megapixels", "output_megapixels", *LISTS)
"""Inputs that set the scale of an aspect ratio."""

SIZE_INPUTS = (WIDTH, HEIGHT, RATIO, *SCALES)

_DEFAULT_SIZE = Size(1024, 1024)
_ONE_MEGAPIXEL = _DEFAULT_SIZE.width * _DEFAULT_SIZE.height
_MULTIPLE = 16
"""The multiple of the sides if the model states none: every model accepts it."""

_MIN_SIDE, _MAX_SIDE = 256, 2048
"""The range of the sides if the model states none."""

_SIZE_PATTERN = re.compile(r"(\d{2,5}) *[x*×] *(\d{2,5})")  # noqa: RUF001 - some write it so
_RATIO_PATTERN = re.compile(r"(\d{1,3}(?:\.\d+)?):(\d{1,3}(?:\.\d+)?)")
_MEGAPIXELS = re.compile(r"(\d+(?:\.\d+)?) *(?:MP)?", re.IGNORECASE)
_KILO = re.compile(r"(\d(?:\.\d)?)K", re.IGNORECASE)
_SIDE = re.compile(r"(\d{3,4})(?:p|sq)?")
_DIVISOR = re.compile(r"multiples? of (\d+)", re.IGNORECASE)
_SIDE_RANGE = re.compile(
    r"width and height must be between (\d+) and (\d+)", re.IGNORECASE
)


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
"""The sizes of FLUX.1, SDXL and SD 3.5 at one megapixel (from their sources)."""


class SizeOption(msgspec.Struct, frozen=True, kw_only=True):
    """A size and the inputs that select it."""

    size: Size
    inputs: Mapping[str, object]


class SizeInputs(msgspec.Struct, frozen=True, kw_only=True):
    """All sizes of one model.

    Attributes:
        grid: The rule for width and height; None if the model does not have them.
        grid_inputs: Other inputs that must be sent with width and height.
        grid_object: The input whose fields are width and height; "" if they are inputs.
        options: The sizes that the model has names for.
    """

    grid: SizeRule | None = None
    grid_inputs: Mapping[str, object] = {}
    grid_object: str = ""
    options: tuple[SizeOption, ...] = ()

    @property
    def rule(self) -> SizeRule:
        """The sizes that can be made; the default size if none can be selected."""
        if self.grid is not None:
            return self.grid
        sizes = tuple(dict.fromkeys(option.size for option in self.options))
        return SizeRule(choices=sizes or (_DEFAULT_SIZE,))

    def choose_inputs(
        self, size: Size, given: Mapping[str, object]
    ) -> dict[str, object]:
        """Return the inputs that select the size, or the nearest possible size.

        Size inputs that the user has `given` take precedence over the size.
        """
        if self.grid is not None and given.keys() <= {WIDTH, HEIGHT}:
            near = self.grid.nearest(size)
            sides: dict[str, object] = {WIDTH: near.width, HEIGHT: near.height}
            if self.grid_object:
                return {self.grid_object: sides}
            return {**self.grid_inputs, **sides, **given}
        matching = [option for option in self.options if _matches(option.inputs, given)]
        if not matching:
            return dict(given)
        rule = SizeRule(choices=tuple(option.size for option in matching))
        near = rule.nearest(size)
        best = next(option for option in matching if option.size == near)
        return {**best.inputs, **given}


def read_sizes(fields: Mapping[str, Field], pixels: Pixels | None = None) -> SizeInputs:
    """Return the sizes of a model with these inputs."""
    for name in LISTS:
        inner: Mapping[str, Field] = fields[name].fields if name in fields else {}
        if WIDTH in inner and HEIGHT in inner:
            grid = _build_grid(inner[WIDTH], inner[HEIGHT], note=fields[name].note)
            return SizeInputs(grid=grid, grid_object=name)
    listed = _list_whole_sizes(fields)
    if listed:
        return SizeInputs(options=listed)
    options = _list_ratio_sizes(fields, pixels or {})
    if WIDTH not in fields or HEIGHT not in fields:
        return SizeInputs(options=options)
    width, height = fields[WIDTH], fields[HEIGHT]
    if width.choices and height.choices:
        return SizeInputs(options=_combine_sides(width, height))
    # Some models use width and height only if another input is set to "custom".
    switches = [
        name for name in (RATIO, *LISTS) if CUSTOM in _text_choices(fields, name)
    ]
    return SizeInputs(
        grid=_build_grid(width, height),
        grid_inputs=dict.fromkeys(switches[:1], CUSTOM),
        options=options,
    )


def parse_ratio_sizes(text: str) -> Mapping[str, Size]:
    """Parse `1:1 1024x1024, 16:9 1344x768` into sizes by aspect ratio."""
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


def _build_grid(width: Field, height: Field, *, note: str = "") -> SizeRule:
    divisor = _DIVISOR.search(f"{width.note} {height.note}")
    lows = [field.lowest for field in (width, height) if field.lowest is not None]
    highs = [field.highest for field in (width, height) if field.highest is not None]
    if stated := _SIDE_RANGE.search(note):
        lows, highs = [float(stated[1])], [float(stated[2])]
    smallest = max(SMALLEST_SIDE, int(max(lows, default=_MIN_SIDE)))
    largest = min(LARGEST_SIDE, int(min(highs, default=_MAX_SIDE)))
    return SizeRule(
        multiple=int(divisor[1]) if divisor else _MULTIPLE,
        smallest=smallest,
        largest=max(smallest, largest),
    )


def _list_ratio_sizes(
    fields: Mapping[str, Field], pixels: Pixels
) -> tuple[SizeOption, ...]:
    """Return a size for each combination of aspect ratio and scale."""
    ratios = [
        word for word in _text_choices(fields, RATIO) if _RATIO_PATTERN.fullmatch(word)
    ]
    scales = (
        (
            name,
            [w for w in _text_choices(fields, name) if w in pixels or _parse_area(w)],
        )
        for name in SCALES
    )
    name, words = next((scale for scale in scales if scale[1]), ("", [""]))
    return tuple(
        SizeOption(
            size=size, inputs={RATIO: ratio, name: word} if name else {RATIO: ratio}
        )
        for word in words
        for ratio in ratios
        if (size := _find_size(ratio, word, pixels))
    )


def _find_size(ratio: str, word: str, pixels: Pixels) -> Size | None:
    """Return the size of an aspect ratio at a scale."""
    # The known size, else the known size at another scale, else a computed one.
    for known, sizes in sorted(pixels.items(), key=lambda entry: entry[0] != word):
        if ratio in sizes and (known == word or _parse_area(known)):
            same = known == word
            factor = 1.0 if same else _area_or_default(word) / _area_or_default(known)
            return _scale(sizes[ratio], factor)
    found = _RATIO_PATTERN.fullmatch(ratio)
    if found is None or not float(found[2]):
        return None
    usual = BUCKETS.get(ratio) or _compute_size(float(found[1]) / float(found[2]))
    return usual and _scale(usual, _area_or_default(word) / _ONE_MEGAPIXEL)


def _area_or_default(word: str) -> float:
    return _parse_area(word) or _ONE_MEGAPIXEL


def _parse_area(word: str) -> float | None:
    """Return the number of pixels that a scale such as `1 MP` or `2K` stands for."""
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
    """Return the size; None if it is invalid or outside imagen's limits."""
    try:
        sides = int(str(width)), int(str(height))
    except ValueError:
        return None
    in_range = all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides)
    return Size(*sides) if in_range else None
