"""However hostile a file, reading it takes no more than some seconds and megabytes."""

import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest
from tests.nightly import NIGHTLY
from tests.unit.domain.notes import NOTE
from tests.unit.domain.pictures import (
    JPEG,
    LOSSY_ALPHA,
    chunk,
    raw_png,
    riff,
    segment,
    text,
    webp_parts,
    with_segments,
)

from imagen.domain.metadata.reader import read_embedded_metadata
from imagen.domain.metadata.writer import embed_metadata, strip_metadata
from imagen.formats.container import read_facts
from imagen.formats.texts import MAX_TEXT, MAX_TOTAL

MEGABYTE = 2**20
ROOM = 3 * MAX_TOTAL
"""Beside the file itself and its copies: what is read of it, and what that says."""


def png(extra: bytes) -> bytes:
    return raw_png(2, 8, extra=extra)


def deflated(key: str, words: bytes) -> bytes:
    return chunk(b"zTXt", key.encode() + b"\0\0" + zlib.compress(words, 9))


def samplers() -> bytes:
    """A graph in which every node feeds some others."""
    nodes = {
        str(n): {
            "class_type": "KSampler",
            "inputs": {
                "latent_image": [str((n + 1) % 3000), 0],
                "positive": [str((n * 7 + 1) % 3000), 0],
            },
        }
        for n in range(3000)
    }
    return json.dumps(nodes).encode()


def xmp(words: bytes) -> bytes:
    return png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + words))


def said(words: bytes) -> bytes:
    return png(text("parameters", words))


def graph(words: bytes) -> bytes:
    return png(text("prompt", words))


PIECE = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + bytes(8)
SOME = 30_000
MANY = 5 * SOME if NIGHTLY else SOME
LARGE = (100 if NIGHTLY else 20) * MEGABYTE
"""More than is read of a file in any case."""
HOSTILE: dict[str, Callable[[], bytes]] = {
    "chunks": lambda: png(chunk(b"prVt") * (10**6 if NIGHTLY else SOME)),
    "texts": lambda: png(b"".join(text(f"{n}", b"x") for n in range(SOME))),
    "the same text": lambda: png(text("parameters", b"x") * SOME),
    "texts cut off": lambda: png(
        b"".join(chunk(b"zTXt", b"%d\0\0x\x9c" % n) for n in range(SOME))
    ),
    "a bomb": lambda: png(deflated("parameters", bytes(LARGE))),
    "bombs": lambda: png(deflated("parameters", bytes(20 * MEGABYTE)) * 500),
    "broken bombs": lambda: png(
        chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(7 * MEGABYTE))[:-4] + b"fizz")
        * 500
    ),
    "a long text": lambda: png(text("parameters", bytes(LARGE))),
    "deep lists": lambda: graph(b'{"a":' + b"[" * (MAX_TEXT - 9)),
    "deep objects": lambda: graph(b'{"a":' * MEGABYTE),
    "many values": lambda: graph(b'{"a":[' + b"{}," * 2 * MEGABYTE + b"1]}"),
    "some values": lambda: graph(b'{"a":[' + b"{}," * 124_000 + b"1]}"),
    "a long number": lambda: graph(b'{"a":' + b"1" * (MAX_TEXT - 9) + b"}"),
    "half characters": lambda: graph(b'{"a":"' + rb"\ud800" * MEGABYTE + b'"}'),
    "samplers": lambda: graph(samplers()),
    "one word": lambda: said(b"a" * MAX_TEXT),
    "colons": lambda: said(b"aa:," * (MAX_TEXT // 4)),
    "an open string": lambda: said(b'aa: "' + rb"\"" * (MAX_TEXT // 2 - 9)),
    "open strings": lambda: said(b'aa: "x, ' * (MAX_TEXT // 8)),
    "open objects": lambda: said(b"aa: {, " * (MAX_TEXT // 8)),
    "lines": lambda: said(b"Negative prompt:\n" * (MAX_TEXT // 20)),
    "open tags": lambda: xmp(b"<imagen:note " * (MAX_TEXT // 20)),
    "open quotes": lambda: xmp(b" imagen:note='" * (MAX_TEXT // 20)),
    "entities": lambda: xmp(b"<imagen:note>" + b"&#65;" * (MEGABYTE // 4) + b"</a>"),
    "exif blocks": lambda: png(
        chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1\x01\x0e\0\2\0\0\0\4\x61\x61\x61\x61")
        * SOME
    ),
    "comments": lambda: with_segments(JPEG, segment(0xFE, b"x") * MANY),
    "pieces": lambda: with_segments(JPEG, segment(0xE1, PIECE) * SOME),
    "fill bytes": lambda: JPEG[:20] + b"\xff" * LARGE + JPEG[20:],
    "restarts": lambda: JPEG[:-2] + b"\xff\xd0" * 10 * MEGABYTE + JPEG[-2:],
    "zeros": lambda: JPEG[:-2] + b"\xff\0" * 10 * MEGABYTE + JPEG[-2:],
    "scans": lambda: JPEG[:-2] + b"\xff\xda\0\2\0" * MANY + JPEG[-2:],
    "webp chunks": lambda: riff(*webp_parts(LOSSY_ALPHA), *[(b"more", b"")] * MANY),
    "parts of a frame": lambda: riff(
        (b"VP8X", b"\2\0\0\0\x17\0\0\x10\0\0"),
        (b"ANMF", bytes(16) + b"ALPH\0\0\0\0" * MANY),
    ),
}


@pytest.fixture
def watched() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("name", HOSTILE)
def test_comes_to_an_end(name: str) -> None:
    """Within the limit of every test, which what is quadratic would exceed by hours."""
    content = HOSTILE[name]()

    read_embedded_metadata(content)
    strip_metadata(content)
    assert embed_metadata(content, read_facts(content), NOTE)


# One for each way to use up memory; tracemalloc makes the others slow.
BY_DAY = [
    *("a bomb", "bombs", "deep lists", "many values", "a long number", "open strings"),
    *("half characters", "open tags", "exif blocks", "pieces", "parts of a frame"),
]


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(
    "name",
    sorted(HOSTILE.keys() - {"chunks", "webp chunks", "comments", "open objects"})
    if NIGHTLY
    else BY_DAY,
)
def test_takes_little_memory(name: str) -> None:
    content = HOSTILE[name]()

    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    read_embedded_metadata(content)
    _, most = tracemalloc.get_traced_memory()

    assert most - before < ROOM
