"""Encoding of pictures in each protocol, with the aspect ratio kept."""

import re
import sys
from base64 import b64decode
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagen.adapters.display.terminal import protocols
from imagen.adapters.display.terminal.capability_probe import TerminalCapabilities
from imagen.adapters.display.terminal.viewer import TerminalViewer
from imagen.ports.viewer import DrawingError, TerminalSize
from imagen.testing.fakes import FakeClock

RED, BLUE = (200, 30, 30), (30, 30, 200)
CELL = (10, 20)
WORD = re.compile(rb"\x1b_G([^;\x1b]*);?([^\x1b]*)\x1b\\")


def halves(width: int = 40, height: int = 40) -> Image.Image:
    """Return an image that is red above and blue below."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (0, height // 2, width, height))
    return picture


def decoded(content: bytes) -> Image.Image:
    picture = Image.open(BytesIO(b64decode(content)))
    picture.load()
    return picture


@pytest.mark.parametrize(
    ("picture", "space"),
    [
        ((100, 100), TerminalSize(10, 5)),  # as large as it is
        ((10_000, 10_000), TerminalSize(60, 30)),  # as high as the room
        (
            (10_000, 100),
            TerminalSize(80, 1),
        ),  # as wide as the room, and still to be seen
        ((1, 1), TerminalSize(1, 1)),
        ((100, 10_000), TerminalSize(1, 30)),
    ],
)
def test_a_picture_fits_and_is_never_enlarged(
    picture: tuple[int, int], space: TerminalSize
) -> None:
    assert protocols.fit_cells(picture, TerminalSize(80, 30), CELL) == space


@given(
    st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
    st.tuples(st.integers(1, 500), st.integers(1, 500)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_whatever_the_shape_it_stays_within_the_room(
    picture: tuple[int, int], room: tuple[int, int], cell: tuple[int, int]
) -> None:
    space = protocols.fit_cells(picture, TerminalSize(*room), cell)

    assert 1 <= space.columns <= room[0]
    assert 1 <= space.rows <= room[1]


def test_a_block_has_the_pixel_above_and_the_pixel_below() -> None:
    drawn = protocols.encode_blocks(
        halves(4, 2), TerminalSize(4, 1), true_colour=True
    ).decode()

    assert drawn == "\x1b[38;2;200;30;30;48;2;30;30;200m▀▀▀▀\x1b[0m\r\n"


def test_without_true_colour_it_is_the_nearest_of_256() -> None:
    drawn = protocols.encode_blocks(
        halves(2, 2), TerminalSize(2, 1), true_colour=False
    ).decode()

    assert drawn == "\x1b[38;5;160;48;5;20m▀▀\x1b[0m\r\n"


@pytest.mark.parametrize(
    ("colour", "number"),
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 231),
        ((255, 0, 0), 196),
        ((128, 128, 128), 244),
        ((95, 135, 175), 67),
        ((9, 9, 9), 232),
    ],
)
def test_the_nearest_colour_is_in_the_cube_or_grey(
    colour: tuple[int, int, int], number: int
) -> None:
    assert protocols._xterm_code(bytes(colour)) == f"5;{number}"


def test_transparency_is_shown_as_a_chequered_ground() -> None:
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))

    shown = protocols.flatten_alpha(clear)

    assert shown.mode == "RGB"
    assert len(shown.getcolors() or []) == 2


def test_kitty_gets_the_whole_file_in_words_that_are_short_enough() -> None:
    noise = Image.effect_noise((100, 100), 90).convert("RGB")

    words = WORD.findall(protocols.encode_kitty(noise, TerminalSize(10, 5), number=7))

    assert len(words) > 2
    assert words[0][0] == b"a=T,f=100,i=7,c=10,r=5,C=1,q=2,m=1"
    assert [keys for keys, _ in words[1:]] == [b"m=1,q=2"] * (len(words) - 2) + [
        b"m=0,q=2"
    ]
    assert all(len(part) <= 4096 and not len(part) % 4 for _, part in words)
    sent = decoded(b"".join(part for _, part in words))
    assert sent.tobytes() == noise.tobytes()


def test_in_tmux_the_file_goes_past_it_and_text_says_where_it_is() -> None:
    drawn = protocols.encode_kitty_in_tmux(
        halves(), TerminalSize(3, 2), number=0x0A0B0C, exact=True
    )

    wrapped, text = drawn.rsplit(b"\x1b\\", 1)
    assert wrapped.startswith(b"\x1bPtmux;\x1b\x1b_Ga=T,U=1,f=100,i=658188,c=3,r=2,q=2")
    inside = wrapped.removeprefix(b"\x1bPtmux;").replace(b"\x1b\x1b", b"\x1b")
    ((_, content),) = WORD.findall(inside)
    assert decoded(content).tobytes() == halves().tobytes()
    cell = "\U0010eeee"
    assert text.decode() == (
        f"\x1b[38;2;10;11;12m{cell}\u0305\u0305{cell}\u0305\u030d{cell}\u0305\u030e"
        "\x1b[39m\r\n"
        f"\x1b[38;2;10;11;12m{cell}\u030d\u0305{cell}\u030d\u030d{cell}\u030d\u030e"
        "\x1b[39m\r\n"
    )


def test_a_tmux_that_changes_colours_gets_a_number_that_is_one_of_256() -> None:
    drawn = protocols.encode_kitty_in_tmux(
        halves(), TerminalSize(1, 1), number=77, exact=False
    )

    assert b"\x1b[38;5;77m" in drawn


def test_the_marks_are_those_of_the_table() -> None:
    from unicodedata import combining

    marks = [protocols._diacritic(number) for number in range(protocols._MAX_CELLS)]

    assert len(set(marks)) == len(marks) == 283
    assert marks[:4] == ["\u0305", "\u030d", "\u030e", "\u0310"]
    assert marks[-1] == "\ufe26"
    assert {combining(mark) for mark in marks} == {230}
    assert marks == sorted(marks)


def test_iterm2_gets_a_file_with_the_space_it_takes() -> None:
    drawn = protocols.encode_iterm2(halves(), TerminalSize(4, 2))

    found = re.fullmatch(rb"\x1b\]1337;File=([^:]*):([^\x07]*)\x07", drawn)
    assert found
    content = b64decode(found[2])
    assert found[1] == (
        b"inline=1;size=%d;width=4;height=2;preserveAspectRatio=0" % len(content)
    )
    assert decoded(found[2]).tobytes() == halves().tobytes()


def test_sixel_has_the_size_in_pixels_and_the_colours() -> None:
    pytest.importorskip("textual_image", reason="the extra show is not installed")

    drawn = protocols.encode_sixel(halves())

    assert drawn.startswith(b"\x1bP")
    assert b'"1;1;40;40' in drawn
    assert drawn.endswith(b"\x1b\\")
    assert {b"2;78;12;12", b"2;12;12;78"} <= set(re.findall(rb"2;\d+;\d+;\d+", drawn))


def test_without_the_library_sixel_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "textual_image", None)
    monkeypatch.delitem(sys.modules, "textual_image._sixel", raising=False)

    with pytest.raises(DrawingError, match=r"imagen-studio\[show\]"):
        protocols.encode_sixel(halves())
    abilities = TerminalCapabilities(methods=("sixel", "blocks"))
    viewer = TerminalViewer(1, abilities, clock=FakeClock(), random_int=lambda _: 0)
    assert viewer.method == "blocks", "of what is there, the best"
