"""No limit for requests keeps an image from being stored that was paid for."""

from zlib import crc32

import pytest
from tests.unit.usecases.scenes import PaidScene
from tests.unit.usecases.test_extras import outputs

from imagen.formats.container import rgb_png
from imagen.testing.fakes import tiny_png


@pytest.mark.parametrize("sides", [(1, 1), (15, 15), (20_000, 1)])
def test_sides_are_limited_in_requests_only(sides: tuple[int, int]) -> None:
    width, height = sides
    row = b"\0" + bytes(3 * width)
    scene = PaidScene(outputs(1, first=rgb_png(width, height, [row] * height)))

    (image,) = scene.run().stored

    assert (image.facts.width, image.facts.height) == sides
    assert (image.sidecar.width, image.sidecar.height) == sides


def test_a_wrong_checksum_beside_the_pixels_is_a_warning() -> None:
    text, png = b"tEXtworkflow\0{}", tiny_png(16, 16)
    stale = (len(text) - 4).to_bytes(4) + text + (crc32(text) ^ 1).to_bytes(4)
    scene = PaidScene(outputs(1, first=png[:33] + stale + png[33:]))

    (image,) = scene.run().stored

    assert stale in image.content
    warning = "the checksum of its chunk tEXt is wrong"
    assert warning in scene.warnings
    assert image.sidecar.warnings == (warning,)


def test_an_svg_without_a_size_has_the_requested_one() -> None:
    scene = PaidScene(outputs(1, first=b"<svg></svg>"))

    (image,) = scene.run().stored

    assert image.location.endswith(".svg")
    assert (image.sidecar.mime_type, image.sidecar.width) == ("image/svg+xml", 16)
    assert scene.ledger == [("ok", 50_000)]
