"""Encode a picture as the bytes that make a terminal draw it.

Kitty: the terminal graphics protocol, with its Unicode placeholders inside tmux.
iTerm2: OSC 1337. Blocks: two pixels in each character, one above the other.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import lru_cache

from PIL import Image

from imagen.adapters.imaging import pixels
from imagen.ports.viewer import DrawingError, Method, TerminalSize

_CHUNK = 4096
"""Bytes of base64 in one Kitty escape sequence, at most."""
_PLACEHOLDER = "\U0010eeee"
_SIXEL_COLOURS = 256
"""Colours of one picture in Sixel, at most."""
_LIGHT, _DARK, _SQUARE = 153, 102, 8

_DIACRITICS = """
0305030d030e03100312033d033e033f0346034a034b034c0350035103520357035b036303640365
0366036703680369036a036b036c036d036e036f0483048404850486048705920593059405950597
05980599059c059d059e059f05a005a105a805a905ab05ac05af05c4061006110612061306140615
06160617065706580659065a065b065d065e06d606d706d806d906da06db06dc06df06e006e106e2
06e406e706e806eb06ec07300732073307350736073a073d073f074007410743074507470749074a
07eb07ec07ed07ee07ef07f007f107f30816081708180819081b081c081d081e081f082008210822
08230825082608270829082a082b082c082d0951095309540f820f830f860f87135d135e135f17dd
193a1a171a751a761a771a781a791a7a1a7b1a7c1b6b1b6d1b6e1b6f1b701b711b721b731cd01cd1
1cd21cda1cdb1ce01dc01dc11dc31dc41dc51dc61dc71dc81dc91dcb1dcc1dd11dd21dd31dd41dd5
1dd61dd71dd81dd91dda1ddb1ddc1ddd1dde1ddf1de01de11de21de31de41de51de61dfe20d020d1
20d420d520d620d720db20dc20e120e720e920f02cef2cf02cf12de02de12de22de32de42de52de6
2de72de82de92dea2deb2dec2ded2dee2def2df02df12df22df32df42df52df62df72df82df92dfa
2dfb2dfc2dfd2dfe2dffa66fa67ca67da6f0a6f1a8e0a8e1a8e2a8e3a8e4a8e5a8e6a8e7a8e8a8e9
a8eaa8eba8eca8eda8eea8efa8f0a8f1aab0aab2aab3aab7aab8aabeaabfaac1fe20fe21fe22fe23
fe24fe25fe26
"""
"""The diacritics that encode 0, 1, 2, ... in a placeholder, four hexadecimal digits
each: the part of Kitty's table with four digits, which suffices for a window."""

_DIGITS = _DIACRITICS.replace("\n", "")
_MAX_CELLS = len(_DIGITS) // 4


def fit_cells(
    picture: tuple[int, int], room: TerminalSize, cell: tuple[int, int]
) -> TerminalSize:
    """Return the columns and rows of a picture in pixels, as large as fit.

    The aspect ratio is kept, and the picture is never enlarged.
    """
    width, height = picture
    across, down = room.columns * cell[0], room.rows * cell[1]
    share = min(across / width, down / height, 1.0)
    columns = round(width * share / cell[0])
    rows = round(height * share / cell[1])
    return TerminalSize(
        min(max(columns, 1), room.columns, _MAX_CELLS),
        min(max(rows, 1), room.rows, _MAX_CELLS),
    )


def cells_to_pixels(
    space: TerminalSize, cell: tuple[int, int], *, largest: int
) -> tuple[int, int]:
    """Return the size of the space in pixels, scaled down to `largest` if not 0."""
    width, height = space.columns * cell[0], space.rows * cell[1]
    share = min(1.0, largest / max(width, height)) if largest else 1.0
    return max(1, round(width * share)), max(1, round(height * share))


def encode_blocks(
    picture: Image.Image, space: TerminalSize, *, true_colour: bool
) -> bytes:
    """Return lines of half-block characters, each with two rows of pixels."""
    size = space.columns, space.rows * 2
    colours = flatten_alpha(picture.resize(size, Image.Resampling.LANCZOS)).tobytes()
    code = _triple if true_colour else _xterm_code
    row = space.columns * 3
    text: list[str] = []
    for top in range(0, len(colours), 2 * row):
        before = "", ""
        for at in range(top, top + row, 3):
            both = code(colours[at : at + 3]), code(colours[at + row : at + row + 3])
            if before != both:
                text.append(f"\x1b[38;{both[0]};48;{both[1]}m")
                before = both
            text.append("\u2580")
        text.append("\x1b[0m\r\n")
    return "".join(text).encode()


def encode_kitty(picture: Image.Image, space: TerminalSize, *, number: int) -> bytes:
    """Return the sequence that draws the picture at the cursor."""
    keys = f"a=T,f=100,i={number},c={space.columns},r={space.rows},C=1,q=2"
    return b"".join(_graphics(keys, picture))


def encode_kitty_in_tmux(
    picture: Image.Image, space: TerminalSize, *, number: int, exact: bool
) -> bytes:
    """Return the picture wrapped for tmux, and the placeholders that position it.

    Their colour carries the id, so it is at most 255 unless tmux passes exact colours.
    """
    keys = f"a=T,U=1,f=100,i={number},c={space.columns},r={space.rows},q=2"
    sent = map(wrap_for_tmux, _graphics(keys, picture))
    colour = _triple(number.to_bytes(3)) if exact else f"5;{number}"
    lines = (
        f"\x1b[38;{colour}m"
        + "".join(
            _PLACEHOLDER + _diacritic(row) + _diacritic(column)
            for column in range(space.columns)
        )
        + "\x1b[39m\r\n"
        for row in range(space.rows)
    )
    return b"".join(sent) + "".join(lines).encode()


def encode_kitty_delete(number: int) -> bytes:
    """Return the sequence that deletes a picture and its placements."""
    return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\".encode()


def wrap_for_tmux(sequence: bytes) -> bytes:
    """Wrap a sequence so that tmux passes it through to its terminal."""
    return b"\x1bPtmux;" + sequence.replace(b"\x1b", b"\x1b\x1b") + b"\x1b\\"


def encode_iterm2(picture: Image.Image, space: TerminalSize) -> bytes:
    """Return the picture as an inline file of OSC 1337."""
    content = _encode_png(picture)
    options = (
        f"inline=1;size={len(content)};width={space.columns};height={space.rows}"
        ";preserveAspectRatio=0"
    )
    return b"\x1b]1337;File=" + options.encode() + b":" + b64encode(content) + b"\x07"


def can_encode(method: Method) -> bool:
    """Return whether the libraries of a method are installed."""
    return method != "sixel" or _load_sixel_encoder() is not None


def encode_sixel(picture: Image.Image) -> bytes:
    """Return the picture as Sixel with an adaptive palette of 256 colours.

    Raises:
        DrawingError: the extra `show` is not installed.
    """
    encode = _load_sixel_encoder()
    if encode is None:
        from imagen.adapters.system.installation import format_install_command  # noqa: PLC0415 - rare

        raise DrawingError(
            f"Sixel needs another package; run: {format_install_command('show')}"
        )
    plain = flatten_alpha(picture)
    # The library's own quantization is faster, but shows bands in every sky.
    palette = plain.quantize(_SIXEL_COLOURS, Image.Quantize.MEDIANCUT)
    return encode(plain.quantize(palette=palette)).encode()


def _load_sixel_encoder() -> Callable[[Image.Image], str] | None:
    try:
        # The private module, because `textual_image.renderable`, the public way to it,
        # queries the terminal on import (0.12.0); pyproject.toml pins that version.
        from textual_image._sixel import image_to_sixels  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return image_to_sixels


def reserve_space(sequence: bytes, rows: int) -> bytes:
    """Return the sequence between cursor movements that scroll and skip its rows."""
    scroll, skip = b"\n" * rows + b"\r\x1b[%dA\x1b7" % rows, b"\x1b8\x1b[%dB\r" % rows
    return scroll + sequence + skip


def flatten_alpha(picture: Image.Image) -> Image.Image:
    """Return the picture without transparency, on a chequered background."""
    if picture.mode != "RGBA":
        return picture
    squares = Image.frombytes("L", (2, 2), bytes([_LIGHT, _DARK, _DARK, _LIGHT]))
    tile = squares.resize((2 * _SQUARE, 2 * _SQUARE), Image.Resampling.NEAREST)
    ground = Image.new("RGB", picture.size)
    for top in range(0, picture.height, tile.height):
        for left in range(0, picture.width, tile.width):
            ground.paste(tile.convert("RGB"), (left, top))
    return pixels.flatten_alpha(picture, ground)


def _graphics(keys: str, picture: Image.Image) -> Iterator[bytes]:
    """Yield the Kitty escape sequences that carry the picture in chunks."""
    text = b64encode(_encode_png(picture))
    chunks = [text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK)]
    for number, chunk in enumerate(chunks):
        more = int(number < len(chunks) - 1)
        about = f"{keys},m={more}" if number == 0 else f"m={more},q=2"
        yield b"\x1b_G" + about.encode() + b";" + chunk + b"\x1b\\"


def _encode_png(picture: Image.Image) -> bytes:
    # Compressed for speed: a terminal reads it once.
    return pixels.encode_image(picture, "PNG", compress_level=1)


def _diacritic(number: int) -> str:
    return chr(int(_DIGITS[4 * number : 4 * number + 4], 16))


def _triple(colour: bytes) -> str:
    return "2;" + ";".join(map(str, colour))


@lru_cache(maxsize=4096)
def _xterm_code(colour: bytes) -> str:
    """Return the nearest colour in xterm's palette of 256."""
    from rich.color import Color, ColorSystem  # noqa: PLC0415 - few terminals need it

    return f"5;{Color.from_rgb(*colour).downgrade(ColorSystem.EIGHT_BIT).number}"
