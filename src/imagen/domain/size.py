"""How large an image is, and which sizes a backend can make."""

import re
from typing import Self

import msgspec

from imagen.domain.errors import InvalidRequest

SMALLEST_SIDE = 16
LARGEST_SIDE = 16384
ALIKE = 1.02
"""Shapes that differ by less than this factor look the same."""

_WRITTEN = re.compile(r"([0-9]{1,6})[xX]([0-9]{1,6})", re.ASCII)


class Size(msgspec.Struct, frozen=True, order=True):
    """Width and height in pixels, 16 to 16384 each."""

    width: int = 1024
    height: int = 1024

    def __post_init__(self) -> None:
        if not all(type(side) is int for side in self.sides):
            raise InvalidRequest(
                f"{self.width!r} by {self.height!r} is not a size.",
                hint="Width and height are whole numbers of pixels.",
            )
        if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in self.sides):
            raise InvalidRequest(
                f"An image of {self} is out of range.",
                hint=f"Width and height go from {SMALLEST_SIDE} to {LARGEST_SIDE}.",
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
        """Read `"1536x768"`.

        Raises:
            InvalidRequest: it is written differently, or out of range.
        """
        written = _WRITTEN.fullmatch(text.strip())
        if written is None:
            raise InvalidRequest(
                f"{text!r} is not a size.", hint="Write WIDTHxHEIGHT, such as 1536x768."
            )
        return cls(int(written[1]), int(written[2]))


class SizeRule(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes that a backend makes: a list of them, or a grid within bounds.

    Attributes:
        choices: The only sizes there are; empty means the grid below.
        multiple: Both sides are multiples of this many pixels.
        smallest: The shortest side.
        largest: The longest side.
        max_pixels: Width times height at most; None is no limit.
    """

    choices: tuple[Size, ...] = ()
    multiple: int = 1
    smallest: int = SMALLEST_SIDE
    largest: int = LARGEST_SIDE
    max_pixels: int | None = None

    def allows(self, size: Size) -> bool:
        """Whether exactly this size can be made."""
        if self.choices:
            return size in self.choices
        in_grid = all(
            side % self.multiple == 0 and self.smallest <= side <= self.largest
            for side in size.sides
        )
        return in_grid and not self._too_many(*size.sides)

    def nearest(self, size: Size) -> Size:
        """The size that can be made and is closest: first in shape, then in area."""
        if self.allows(size):
            return size
        if self.choices:
            best = min(_difference(choice, size) for choice in self.choices)
            alike = [
                choice
                for choice in self.choices
                if _difference(choice, size) <= best * ALIKE
            ]
            return min(alike, key=lambda choice: _distance(choice, size))
        return Size(*self._snapped(size))

    def _snapped(self, size: Size) -> tuple[int, int]:
        scale = max(1.0, self.smallest / min(size.sides))
        scale = min(scale, self.largest / max(size.sides))
        if self.max_pixels is not None:
            scale = min(scale, (self.max_pixels / (size.width * size.height)) ** 0.5)
        width, height = (self._snap(side * scale) for side in size.sides)
        while self._too_many(width, height):
            if width >= height:
                width -= self.multiple
            else:
                height -= self.multiple
        return width, height

    def _snap(self, side: float) -> int:
        lowest = -(-self.smallest // self.multiple) * self.multiple
        highest = self.largest // self.multiple * self.multiple
        return min(highest, max(lowest, round(side / self.multiple) * self.multiple))

    def _too_many(self, width: int, height: int) -> bool:
        return self.max_pixels is not None and width * height > self.max_pixels


def _difference(choice: Size, size: Size) -> float:
    """The factor between two shapes; 1 if they are the same."""
    return max(choice.ratio, size.ratio) / min(choice.ratio, size.ratio)


def _distance(choice: Size, size: Size) -> tuple[float, float]:
    area = abs(choice.width * choice.height - size.width * size.height)
    return area, _difference(choice, size)
