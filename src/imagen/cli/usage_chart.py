"""The bar chart of `imagen usage --plot`."""

from collections.abc import Sequence

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imagen.cli.tables import escape_control


def draw_bars(lines: Sequence[tuple[str, int, str]]) -> str:
    """Return a chart with one line per (name, value, label).

    It is as wide as the terminal or $COLUMNS. It has no colours if stdout is not a
    terminal or $NO_COLOR is set.
    """
    largest = max(1, *(value for _, value, _ in lines))
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    for name, value, label in lines:
        bar = Bar(largest, 0, value, color="cyan")
        grid.add_row(Text(escape_control(name)), bar, Text(label))
    console = Console()
    with console.capture() as captured:
        console.print(grid)
    return captured.get().rstrip("\n")
