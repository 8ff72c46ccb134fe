"""A reference image or mask with too many pixels is refused by its header alone."""

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import imagen
from imagen.formats.container import PNG_SIGNATURE, png_chunk
from tests.e2e.conftest import assert_one_sentence
from tests.e2e.test_paid import Customer, customer, server

__all__ = ["customer", "server"]  # fixtures

MODEL = "acme/collage"
"""A model that takes references and a mask."""


def small(kind: str) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, kind)
    return buffer.getvalue()


def png(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": b"", b"IEND": b""}
    return PNG_SIGNATURE + b"".join(png_chunk(*part) for part in parts.items())


def jpeg(side: int) -> bytes:
    content = small("JPEG")
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", side, side) + content[at + 4 :]


def gif(side: int) -> bytes:
    content = small("GIF")
    return content[:6] + struct.pack("<HH", side, side) + content[10:]


def webp(side: int) -> bytes:
    sides = (side - 1).to_bytes(3, "little") * 2
    canvas = b"VP8X" + (10).to_bytes(4, "little") + bytes(4) + sides
    body = b"WEBP" + canvas + small("WEBP")[12:]
    return b"RIFF" + len(body).to_bytes(4, "little") + body


FORMATS = pytest.mark.parametrize("make", [png, jpeg, gif, webp])


@FORMATS
@pytest.mark.parametrize("flag", ["--image", "--mask"])
def test_a_file_over_the_limit_is_refused_and_nothing_is_recorded(
    customer: Customer, here: Path, make: Callable[[int], bytes], flag: str
) -> None:
    (here / "large.bin").write_bytes(make(50_000))
    (here / "small.png").write_bytes(small("PNG"))
    images = ("--image", "small.png", flag, "large.bin")

    made = customer.generate("--model", MODEL, *images)

    assert made.code == 2
    assert_one_sentence(made.err, "large.bin has 50000x50000 pixels", "16384x16384")
    assert customer.server.requests == []
    assert customer.jobs == []
    assert customer.ledger == []


def test_a_file_at_the_limit_is_sent(customer: Customer, here: Path) -> None:
    (here / "large.jpg").write_bytes(jpeg(16_384))

    made = customer.generate("--model", MODEL, "--image", "large.jpg")

    assert made.code == 0, made.err
    assert len(customer.server.predictions[0].given["input_images"]) == 1


def test_a_mask_above_the_limit_of_pillow_is_sent(
    customer: Customer, here: Path
) -> None:
    for name in ("image.png", "mask.png"):
        (here / name).write_bytes(png(16_000))

    made = customer.generate(
        *("--model", MODEL, "--image", "image.png", "--mask", "mask.png")
    )

    assert made.code == 0, made.err
    assert "mask" in customer.server.predictions[0].given


@FORMATS
@pytest.mark.usefixtures("ask")
def test_the_python_api_refuses_it_as_well(make: Callable[[int], bytes]) -> None:
    with pytest.raises(imagen.InvalidRequest, match="50000x50000 pixels"):
        imagen.generate("a cat", images=[make(50_000)], backend="mock")
