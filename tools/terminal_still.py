"""Draw the pictures of the README: `python -m tools.terminal_still`.

docs/terminal.webp is a terminal that runs imagen, docs/dusk.webp the image it made.
Needs the font DejaVu Sans Mono (Debian: fonts-dejavu-core).
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pexpect
from PIL import Image, ImageDraw, ImageFont
from rich.color import Color
from rich.style import Style
from rich.text import Text

DOCS = Path(__file__).parents[1] / "docs"
COMMANDS = (
    'imagen generate "a lighthouse on a cliff at dusk" --seed 3 --size 768x336 --show',
    "imagen history",
)
COLUMNS, WIDTH, HEIGHT, MARGIN = 84, 9, 19, 14
INK, PAPER = (214, 217, 224), (24, 26, 32)
HALF_BLOCK = "▀"


def main() -> None:
    """Write both pictures."""
    lines: list[Text] = []
    with TemporaryDirectory() as home:
        for command in COMMANDS:
            lines.append(Text.assemble(("$ ", "bold green"), command))
            printed = run(command, home).replace("\r", "").split("\n")
            # What was erased, the progress bar, is not on the screen in the end.
            kept = (line.rpartition("\x1b[2K")[2] for line in printed)
            lines += [line for line in map(Text.from_ansi, kept) if line.plain.strip()]
        (image,) = Path(home).glob("*.png")
        Image.open(image).save(DOCS / "dusk.webp", quality=88, method=6)
    size = (COLUMNS * WIDTH + 2 * MARGIN, len(lines) * HEIGHT + 2 * MARGIN)
    picture = Image.new("RGB", size, PAPER)
    for row, line in enumerate(lines):
        draw_line(ImageDraw.Draw(picture), MARGIN + row * HEIGHT, line)
    picture.save(DOCS / "terminal.webp", quality=88, method=6)


def run(command: str, home: str) -> str:
    """Return what a command prints on a terminal without a graphics protocol."""
    env = {"HOME": home, "PATH": f"{Path(sys.executable).parent}:{os.defpath}"}
    output, status = pexpect.run(
        f"/bin/sh -c '{command}'",
        withexitstatus=True,
        cwd=home,
        # This terminal is not queried, and draws two pixels in each character.
        env={**env, "TERM": "linux", "COLORTERM": "truecolor", "LANG": "C.UTF-8"},
        encoding="utf-8",
        dimensions=(40, COLUMNS),
    )
    if status != 0:
        raise SystemExit(output)
    return output


def draw_line(draw: ImageDraw.ImageDraw, top: int, line: Text) -> None:
    """Draw the characters of a line."""
    font = ImageFont.truetype("DejaVuSansMono.ttf", 15)
    for column, (letter, style) in enumerate(cells(line)):
        left = MARGIN + column * WIDTH
        right, middle = left + WIDTH - 1, top + HEIGHT // 2
        if letter == HALF_BLOCK:
            upper, lower = colour(style.color), colour(style.bgcolor)
            draw.rectangle((left, top, right, middle - 1), upper)
            draw.rectangle((left, middle, right, top + HEIGHT - 1), lower)
        else:
            draw.text((left, top), letter, font=font, fill=colour(style.color) or INK)


def cells(line: Text) -> list[tuple[str, Style]]:
    """Return each character with its style."""
    styles = [Style.parse(str(line.style))] * len(line.plain)
    for span in line.spans:
        style = Style.parse(str(span.style))
        for index in range(span.start, span.end):
            styles[index] += style
    return list(zip(line.plain, styles, strict=True))


def colour(value: Color | None) -> tuple[int, int, int] | None:
    """Return red, green and blue; None for the colour of the terminal."""
    return None if value is None else tuple(value.get_truecolor())


if __name__ == "__main__":
    main()
