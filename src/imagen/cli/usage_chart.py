"""Bars in the terminal; imported only to draw some."""

from collections.abc import Sequence

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imagen.cli.tables import escape_control


def draw_bars(lines: Sequence[tuple[str, int, str]]) -> str:
    """Return a line for each: its name, a bar as long as its number, and its words.

    As wide as the terminal or as $COLUMNS says, and without colours where there is no
    terminal, or $NO_COLOR is set.
    """
    longest = max(1, *(number for _, number, _ in lines))
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    for name, number, words in lines:
        bar = Bar(longest, 0, number, color="cyan")
        grid.add_row(Text(escape_control(name)), bar, Text(words))
    console = Console()
    with console.capture() as captured:
        console.print(grid)
    return captured.get().rstrip("\n")
