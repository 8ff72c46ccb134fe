"""The content of a picture: palettes, shapes, and seven compositions."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
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

    `key` is that of all random numbers; the amount of detail is from 0 to 1.
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
    waves: list[tuple[float, float, float]] = []
    for part in range(3):
        turn = math.tau * (1 + part) / scene.unit * scene.uniform("wave", number, part)
        phase = scene.uniform("phase", number, part, within=(0, math.tau))
        waves.append((swell / (1 + part), turn * 1.4, phase))

    def height(x: float) -> float:
        return sum(tall * math.sin(turn * x + phase) for tall, turn, phase in waves)

    return [(x, base + height(x)) for x in sample_x(scene)]


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
    share = min(1, share)
    red, green, blue = map(interpolate, one, other, (share,) * 3)
    return round(red), round(green), round(blue)


def blend(colours: Sequence[Colour], share: float) -> Colour:
    """Return the colour at a share, from 0 to 1, of the way along the colours."""
    place = share * (len(colours) - 1)
    first = min(int(place), len(colours) - 2)
    return mix(colours[first], colours[first + 1], place - first)


def _hills(scene: Scene) -> Iterator[Shape]:
    """Soft ridges that darken towards the viewer, with pines on the nearest."""
    palette, unit = scene.palette, scene.unit
    yield disc(scene.sun, radius=unit * 0.09, colour=palette.sun)
    yield from _birds(scene)
    layers = scene.scale_count(3, 8)
    for layer in range(layers):
        nearness = layer / (layers - 1)
        colour = mix(palette.far, palette.near, nearness**1.3)
        base = scene.height * interpolate(0.5, 0.92, nearness)
        crest = wavy_line(scene, layer, base=base, swell=unit * 0.05)
        for number, (x, y) in enumerate(crest[::2]):
            if scene.uniform("pine", layer, number) < 0.5 * (nearness - 0.5):
                tall = unit * scene.uniform("tall", layer, number, within=(0.02, 0.055))
                foot, half = y + tall * 0.3, tall * 0.2
                yield Shape(colour, [(x - half, foot), (x, y - tall), (x + half, foot)])
        yield scene.fill_below(colour, crest)


def _peaks(scene: Scene) -> Iterator[Shape]:
    """Mountains folded from paper, one side in the light, snow on the furthest."""
    palette, unit = scene.palette, scene.unit
    yield disc(scene.sun, radius=unit * 0.11, colour=palette.sun)
    yield from _birds(scene)
    layers = scene.scale_count(2, 5)
    for layer in range(layers):
        nearness = layer / (layers - 1)
        shade = mix(palette.far, palette.near, interpolate(0.2, 1, nearness))
        light = mix(shade, palette.low, interpolate(0.4, 0.12, nearness))
        foot = scene.height * interpolate(0.76, 0.98, nearness)
        pace = unit * interpolate(0.42, 0.24, nearness)
        for number in range(-1, math.ceil(scene.width / pace) + 1):
            tall = unit * scene.uniform("tall", layer, number, within=(0.5, 1))
            tall *= interpolate(0.5, 0.2, nearness)
            x = (number + scene.uniform("x", layer, number)) * pace
            fold = scene.uniform("fold", layer, number, within=(-0.1, 0.35))
            top = x, foot - tall
            heels = [(x + tall * side, foot) for side in (-0.9, fold, 0.9)]
            yield Shape(light, [heels[0], top, heels[1]])
            yield Shape(shade, [heels[1], top, heels[2]])
            if layer == 0:
                left, middle, right = (
                    (interpolate(x, heel, deep), interpolate(top[1], foot, deep))
                    for (heel, _), deep in zip(heels, (0.3, 0.2, 0.34), strict=True)
                )
                snow = mix(palette.low, WHITE, 0.5)
                yield Shape(snow, [left, top, middle])
                yield Shape(mix(shade, snow, 0.5), [middle, top, right])
        yield scene.fill_below(shade, [(0, foot), (scene.width, foot)])


def _sea(scene: Scene) -> Iterator[Shape]:
    """A low sun, and its light scattered on the water."""
    palette, unit, (x, y) = scene.palette, scene.unit, scene.sun
    horizon = y + unit * scene.uniform("sunset", within=(0.02, 0.22))
    depth = scene.height - horizon
    yield disc((x, y), radius=unit * 0.16, colour=palette.sun)
    yield from _birds(scene)
    for island in range(scene.scale_count(1, 3)):
        colour = mix(palette.far, palette.near, 0.1 + 0.2 * island)
        base = horizon + unit * (0.03 - 0.01 * island)
        crest = wavy_line(scene, island, base=base, swell=unit * 0.05)
        yield scene.fill_below(colour, crest)
    bands = scene.scale_count(4, 12)
    for band in range(bands):
        share = band / bands
        water = mix(mix(palette.far, palette.low, 0.3), palette.near, share)
        base = horizon + depth * share**1.4
        edge = wavy_line(scene, 10 + band, base=base, swell=unit * 0.012 * share)
        yield scene.fill_below(water, edge)
    for glint in range(scene.scale_count(8, 46)):
        share = scene.uniform("share", glint) ** 1.5
        off = unit * interpolate(0.08, 0.3, share)
        off *= scene.uniform("x", glint, within=(-1, 1))
        middle = x + off, horizon + unit * 0.02 + depth * 0.85 * share
        long = unit * scene.uniform("long", glint, within=(0.015, 0.09))
        colour = mix(palette.sun, palette.far, 0.55 * share)
        yield disc(middle, radius=long, colour=colour, flatness=0.07)


def _ribbons(scene: Scene) -> Iterator[Shape]:
    """Bands of colour that flow across the picture, one below the other."""
    palette, unit = scene.palette, scene.unit
    inks = palette.low, palette.sun, palette.accent, palette.far, palette.near
    bands = scene.scale_count(6, 20)
    lean = unit * scene.uniform("lean", within=(-0.4, 0.4))
    length = unit * scene.uniform("length", within=(0.9, 1.6))
    start = scene.uniform("start", within=(0, math.tau))
    drift = scene.uniform("drift", within=(-4, 4))
    yield scene.fill_below(inks[0], [(0, 0), (scene.width, 0)])
    for band in range(bands):
        share = band / (bands - 1)
        base = scene.height * interpolate(0.02, 1, share)
        swell = unit * 0.13 * (0.5 + math.sin(share * math.pi))
        edge: list[Point] = []
        for x in sample_x(scene):
            wave = swell * math.sin(start + drift * share + math.tau * x / length)
            edge.append((x, base + lean * (x / scene.width - 0.5) + wave))
        yield scene.fill_below(blend(inks, share), edge)


def _arches(scene: Scene) -> Iterator[Shape]:
    """Rows of overlapping rainbows, in the style of the 1970s."""
    palette, unit = scene.palette, scene.unit
    inks = palette.accent, palette.low, palette.far, palette.sun, palette.near
    yield disc(scene.sun, radius=unit * 0.12, colour=palette.sun)
    rings = scene.scale_count(3, 9)
    pace = unit * 0.44
    for row in range(3):
        for number in range(-1, math.ceil(scene.width / pace) + 2):
            shift = row * 0.5 + scene.uniform("shift", row, number, within=(0, 0.3))
            middle = (number + shift) * pace, scene.height * (0.7 + 0.17 * row)
            radius = unit * scene.uniform("radius", row, number, within=(0.2, 0.34))
            first = scene.pick_index(len(inks), "ink", row, number)
            for ring in range(rings):
                part = radius * (1 - ring / rings)
                left, right = middle[0] - part, middle[0] + part
                arch = arc(middle, radius=part, start=math.pi, end=math.tau)
                feet = [(right, scene.height), (left, scene.height)]
                yield Shape(inks[(first + ring) % len(inks)], [*arch, *feet])


def _tiles(scene: Scene) -> Iterator[Shape]:
    """A wall of quarter circles, half circles and dots."""
    inks = scene.palette
    side = scene.unit / scene.scale_count(3, 6)
    for row in range(math.ceil(scene.height / side)):
        for column in range(math.ceil(scene.width / side)):
            left, top = column * side, row * side
            right, bottom = left + side, top + side
            corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            ground = scene.pick_index(len(inks), "ground", row, column)
            other = ground + 1 + scene.pick_index(len(inks) - 1, "ink", row, column)
            ink = inks[other % len(inks)]
            kind = scene.pick_index(4, "kind", row, column)
            turn = scene.pick_index(4, "turn", row, column)
            figure = partial(_tile_figure, corners, kind=kind, turn=turn)
            yield Shape(inks[ground], corners)
            yield figure(scale=1, colour=ink)
            if scene.uniform("inlay", row, column) < scene.detail * 0.6:
                yield figure(scale=0.5, colour=inks[ground])


def _tile_figure(
    corners: Sequence[Point], *, kind: int, turn: int, scale: float, colour: Colour
) -> Shape:
    """Return the figure on a tile: a dot, a half circle or a quarter circle."""
    (left, top), (right, bottom) = corners[0], corners[2]
    middle = (left + right) / 2, (top + bottom) / 2
    side, start = (right - left) * scale, turn * math.pi / 2
    if kind == 0:
        return disc(middle, radius=side * 0.3, colour=colour)
    if kind == 1:
        half = arc(middle, radius=side / 2, start=start, end=start + math.pi)
        return Shape(colour, half)
    corner = corners[turn]
    quarter = arc(corner, radius=side, start=start, end=start + math.pi / 2)
    return Shape(colour, [corner, *quarter])


def _orbits(scene: Scene) -> Iterator[Shape]:
    """A planet among its moons and stars."""
    palette, unit, (x, y) = scene.palette, scene.unit, scene.sun
    night = mix(palette.near, palette.high, 0.12)
    yield scene.fill_below(night, [(0, 0), (scene.width, 0)])
    for star in range(scene.scale_count(20, 140)):
        across, down = scene.uniform("across", star), scene.uniform("down", star)
        size = unit * scene.uniform("star", star, within=(0.001, 0.003))
        glow = mix(night, palette.low, scene.uniform("glow", star, within=(0.4, 0.9)))
        middle = across * scene.width, down * scene.height
        yield disc(middle, radius=size, colour=glow)
    for orbit in range(scene.scale_count(3, 8), 0, -1):
        radius = unit * (0.18 + 0.11 * orbit)
        line = mix(night, palette.far, 0.2 + 0.4 / orbit)
        outer = arc((x, y), radius=radius, start=0, end=math.tau)
        inner = arc((x, y), radius=radius - unit * 0.003, start=math.tau, end=0)
        yield Shape(line, [*outer, *inner])
        turn = scene.uniform("turn", orbit, within=(0, math.tau))
        moon = x + radius * math.cos(turn), y + radius * math.sin(turn)
        size = unit * scene.uniform("moon", orbit, within=(0.01, 0.04))
        yield disc(moon, radius=size, colour=palette[orbit % 4])
    for layer in range(scene.scale_count(2, 6)):
        shift = unit * 0.02 * layer
        colour = mix(palette.accent, WHITE, layer / 7)
        middle = x - shift, y - shift
        yield disc(middle, radius=unit * 0.19 - shift * 1.5, colour=colour)


def _birds(scene: Scene) -> Iterator[Shape]:
    """A flock of birds in front of the sun; it grows with the detail."""
    x, y = scene.sun
    for bird in range(scene.scale_count(0, 16)):
        across = x + scene.unit * scene.uniform("bird x", bird, within=(-0.36, 0.36))
        down = y + scene.unit * scene.uniform("bird y", bird, within=(-0.16, 0.1))
        wing = scene.unit * scene.uniform("wing", bird, within=(0.007, 0.016))
        tips = [(across - wing, down - wing * 0.5), (across + wing, down - wing * 0.6)]
        body = [(across, down), (across, down + wing * 0.35)]
        yield Shape(scene.palette.near, [tips[0], body[0], tips[1], body[1]])


COMPOSITIONS = (_hills, _peaks, _sea, _ribbons, _arches, _tiles, _orbits)
