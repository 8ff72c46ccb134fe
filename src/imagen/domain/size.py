"""Image sizes, and the sizes that a backend supports."""

import re
from typing import Self

import msgspec

from imagen.domain.errors import InvalidRequest

SMALLEST_SIDE = 16
LARGEST_SIDE = 16384
# Aspect ratios that differ by less than this factor look the same.
ALIKE = 1.02

_PATTERN = re.compile(r"([0-9]{1,6})[xX]([0-9]{1,6})", re.ASCII)


class Size(msgspec.Struct, frozen=True, order=True):
    """Width and height in pixels, 16 to 16384 each."""

    width: int = 1024
    height: int = 1024

    def __post_init__(self) -> None:
        if not all(type(side) is int for side in self.sides):
            raise InvalidRequest(
                f"Invalid size {self.width!r} by {self.height!r}.",
                hint="Width and height must be whole numbers of pixels.",
            )
        if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in self.sides):
            raise InvalidRequest(
                f"The size {self} is out of range.",
                hint=f"Width and height must be {SMALLEST_SIDE} to {LARGEST_SIDE}.",
            )

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height as a pair."""
        return self.width, self.height

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.width * self.height / 1_000_000

    @property
    def ratio(self) -> float:
        """Width divided by height."""
        return self.width / self.height

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a size such as `1536x768`.

        Raises:
            InvalidRequest: the text has another form, or the size is out of range.
        """
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise InvalidRequest(
                f"Invalid size {text!r}.", hint="Use WIDTHxHEIGHT, such as 1536x768."
            )
        return cls(int(match[1]), int(match[2]))


class SizeRule(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes that a backend supports: a list, or a grid within bounds.

    Attributes:
        choices: All supported sizes; empty means the grid below.
        multiple: Both sides are multiples of this number of pixels.
        smallest: Minimum length of a side.
        largest: Maximum length of a side.
        min_pixels: Minimum of width times height, less than half of the maximum.
        max_pixels: Maximum of width times height; None is unlimited.
        max_ratio: How many times longer one side may be; None is unlimited.
        default: The size that the model or workflow has of its own, which is used
            without a request and supported even outside of the grid; None if unknown.
    """

    choices: tuple[Size, ...] = ()
    multiple: int = 1
    smallest: int = SMALLEST_SIDE
    largest: int = LARGEST_SIDE
    min_pixels: int = 0
    max_pixels: int | None = None
    max_ratio: float | None = None
    default: Size | None = None

    def allows(self, size: Size) -> bool:
        """Return whether exactly this size is supported."""
        if size == self.default:
            return True
        if self.choices:
            return size in self.choices
        in_grid = all(
            side % self.multiple == 0 and self.smallest <= side <= self.largest
            for side in size.sides
        )
        return in_grid and not (
            self._too_many(*size.sides)
            or self._too_few(*size.sides)
            or self._too_long(*size.sides)
        )

    def nearest(self, size: Size) -> Size:
        """Return the closest supported size: first by aspect ratio, then by area."""
        if self.allows(size):
            return size
        if self.choices:
            best = min(_difference(choice, size) for choice in self.choices)
            similar = [
                choice
                for choice in self.choices
                if _difference(choice, size) <= best * ALIKE
            ]
            pixels = size.width * size.height
            return min(
                similar,
                key=lambda choice: (
                    abs(choice.width * choice.height - pixels),
                    _difference(choice, size),
                ),
            )
        return Size(*self._fit_grid(size))

    def _fit_grid(self, size: Size) -> tuple[int, int]:
        pixels, ratio = size.width * size.height, size.ratio
        if self.max_ratio is not None:
            ratio = min(self.max_ratio, max(1 / self.max_ratio, ratio))
        sides = (pixels * ratio) ** 0.5, (pixels / ratio) ** 0.5
        scale = max(1.0, self.smallest / min(sides), (self.min_pixels / pixels) ** 0.5)
        scale = min(scale, self.largest / max(sides))
        if self.max_pixels is not None:
            scale = min(scale, (self.max_pixels / pixels) ** 0.5)
        short, long = sorted(self._snap(side * scale) for side in sides)
        # Rounding to the grid can exceed a limit again, by a step or two.
        while True:
            if self._too_many(short, long):
                long -= self.multiple
                short, long = sorted((short, long))
            elif self._too_few(short, long) or self._too_long(short, long):
                short += self.multiple
                short, long = sorted((short, long))
            else:
                break
        return (long, short) if size.width > size.height else (short, long)

    def _snap(self, side: float) -> int:
        lowest = -(-self.smallest // self.multiple) * self.multiple
        highest = self.largest // self.multiple * self.multiple
        return min(highest, max(lowest, round(side / self.multiple) * self.multiple))

    def _too_many(self, width: int, height: int) -> bool:
        return self.max_pixels is not None and width * height > self.max_pixels

    def _too_few(self, width: int, height: int) -> bool:
        return width * height < self.min_pixels

    def _too_long(self, width: int, height: int) -> bool:
        short, long = sorted((width, height))
        return self.max_ratio is not None and long > short * self.max_ratio


def _difference(choice: Size, size: Size) -> float:
    """Return the factor between two aspect ratios; 1 if they are the same."""
    return max(choice.ratio, size.ratio) / min(choice.ratio, size.ratio)
