"""The building blocks of a picture: colours, shapes, and repeatable random numbers."""

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

Colour: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]

WHITE = (255, 250, 242)

PALETTES = (
    "6d8fb3 f6d9c0 fff1d6 e07a5f 9fa9c4 26324f",  # a clear dawn
    "2b2d5b e58a6b ffd79a d1495b 7d5a83 1b1833",  # dusk
    "e9c8a0 f7e7cf d9553f c98f4a d59a6b 5a2a27",  # desert
    "a9c7b8 eef0dc f5c85c d98848 8fb09a 143a35",  # spruce
    "0c1630 2f4a74 f3efdc 8fb8de 3b5580 070d1c",  # a moonlit night
    "b8c9d3 eef1ee e4572e 5b8e9f 93adb8 1f3440",  # the north
    "c9b1d0 f8e3dd f28b66 8c5e8a b793b6 3a2244",  # mauve
    "0f4c5c a7d3c4 ffe8b0 e36414 4f9390 0a2a33",  # lagoon
    "f3b7a6 fde8d7 fffaf0 c8553d d8908a 4a1f33",  # rose
    "e6d3ae f4e9d0 d1603d 3d7a78 c9a45c 2c3a3a",  # mid-century
)


class Palette(NamedTuple):
    """Six colours that go together, of which `near` is the darkest."""

    high: Colour
    low: Colour
    sun: Colour
    accent: Colour
    far: Colour
    near: Colour


class Shape(NamedTuple):
    """A filled polygon, in pixels of the finished picture.

    It covers every row from `solid_from` on completely, so that shapes behind it need
    not be drawn there.
    """

    colour: Colour
    points: Sequence[Point]
    solid_from: float = math.inf


class Scene(NamedTuple):
    """The parameters of a composition.

    Attributes:
        key: The key of all random numbers.
        width: In pixels.
        height: In pixels.
        detail: The amount of detail, from 0 to 1.
        palette: The colours.
    """

    key: bytes
    width: int
    height: int
    detail: float
    palette: Palette

    @property
    def unit(self) -> int:
        """The short side in pixels, the unit of all other lengths."""
        return min(self.width, self.height)

    @property
    def sun(self) -> Point:
        """The position of the light."""
        x = self.uniform("sun x", within=(0.22, 0.78))
        y = self.uniform("sun y", within=(0.2, 0.4))
        return x * self.width, y * self.height

    def uniform(
        self, name: str, *numbers: int, within: tuple[float, float] = (0, 1)
    ) -> float:
        """Return the random number of that name: always the same for the same scene."""
        # Hashed by name instead of drawn from a generator: more steps add shapes, and
        # must not move those that are there already.
        label = f"{name} {numbers}".encode()
        digest = blake2b(label, key=self.key, digest_size=6).digest()
        return interpolate(*within, int.from_bytes(digest, "big") / 2**48)

    def pick_index(self, length: int, name: str, *numbers: int) -> int:
        """Return a random index, from 0 to `length` - 1."""
        return int(self.uniform(name, *numbers, within=(0, length)))

    def scale_count(self, fewest: int, most: int) -> int:
        """Return a number of things to draw that grows with the detail."""
        return round(interpolate(fewest, most, self.detail))

    def fill_below(self, colour: Colour, edge: Sequence[Point]) -> Shape:
        """Return the area between an edge and the bottom of the picture."""
        foot = (self.width, self.height), (0, self.height)
        return Shape(colour, [*edge, *foot], solid_from=max(y for _, y in edge))


def disc(middle: Point, *, radius: float, colour: Colour, flatness: float = 1) -> Shape:
    """Return a filled circle, or an ellipse when `flatness` is below 1."""
    edge = arc((0, 0), radius=radius, start=0, end=math.tau)
    x, y = middle
    return Shape(colour, [(x + dx, y + dy * flatness) for dx, dy in edge])


def arc(middle: Point, *, radius: float, start: float, end: float) -> list[Point]:
    """Return points on a circle, close enough that no corner is visible."""
    steps = 8 + math.ceil(math.sqrt(radius) * abs(end - start))
    turns = [interpolate(start, end, step / steps) for step in range(steps + 1)]
    x, y = middle
    return [(x + radius * math.cos(at), y + radius * math.sin(at)) for at in turns]


def wavy_line(scene: Scene, number: int, *, base: float, swell: float) -> list[Point]:
    """Return a wavy line from the left edge to the right edge."""
    waves = [
        (
            swell / (1 + part),
            math.tau
            * (1 + part)
            / scene.unit
            * scene.uniform("wave", number, part)
            * 1.4,
            scene.uniform("phase", number, part, within=(0, math.tau)),
        )
        for part in range(3)
    ]
    return [
        (
            x,
            base
            + sum(tall * math.sin(turn * x + phase) for tall, turn, phase in waves),
        )
        for x in sample_x(scene)
    ]


def sample_x(scene: Scene) -> list[float]:
    """Return evenly spaced x coordinates from the left edge to the right edge."""
    steps = math.ceil(scene.width / max(2, scene.unit / 64))
    return [scene.width * step / steps for step in range(steps + 1)]


def parse_palette(colours: str) -> Palette:
    """Parse six hexadecimal colours, such as `6d8fb3`, separated by spaces."""
    channels = bytes.fromhex(colours)
    return Palette(*zip(*[iter(channels)] * 3, strict=True))


def interpolate(start: float, end: float, share: float) -> float:
    """Return the number at a share, from 0 to 1, of the way from start to end."""
    return start + (end - start) * share


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return the colour at a share of the way from one to the other."""
    red, green, blue = (
        round(interpolate(*pair, min(1, share)))
        for pair in zip(one, other, strict=True)
    )
    return red, green, blue


def blend(colours: Sequence[Colour], share: float) -> Colour:
    """Return the colour at a share, from 0 to 1, of the way along the colours."""
    place = share * (len(colours) - 1)
    first = min(int(place), len(colours) - 2)
    return mix(colours[first], colours[first + 1], place - first)
