"""The command `imagen styles`."""

from collections.abc import Iterator

import msgspec

from imagen.cli.output import Output
from imagen.cli.parameters import ConfigFlag, JsonFlag, load_runtime
from imagen.cli.tables import join_lines, terminal_width, wrap
from imagen.domain.style import Style
from imagen.settings.model import BUILT_IN_STYLES

_INDENT = "    "
_DEFAULT_WIDTH = 80
_MOST_LINES = 6


def styles(*, config: ConfigFlag = None, json: JsonFlag = False) -> None:
    """List the styles for `--style`: those of the config, then the built-in ones.

    ```
    imagen styles
    imagen generate "RAG systems" --style blog-header
    ```
    """
    out = Output(json=json)
    for style in load_runtime(config).settings.styles.values():
        built_in = style in BUILT_IN_STYLES
        if json:
            fields = msgspec.structs.asdict(style)
            size = None if style.size is None else str(style.size)
            out.print_json({**fields, "size": size, "built_in": built_in})
        else:
            out.print_lines(_format_style(style, built_in=built_in))


def _format_style(style: Style, *, built_in: bool) -> Iterator[str]:
    facts = {"size": style.size, "steps": style.steps, "seed": style.seed}
    notes = [f"{name} {fact}" for name, fact in facts.items() if fact]
    if number := len(style.images):
        notes.append(f"{number} reference {'image' if number == 1 else 'images'}")
    notes += [f"{name} {fact}" for name, fact in style.options.items()]
    notes += ["built in"] if built_in else []
    yield f"{style.name}: {', '.join(notes)}" if notes else style.name
    width = (terminal_width() or _DEFAULT_WIDTH) - len(_INDENT)
    for label, text in (("", style.prompt), ("without: ", style.negative)):
        if text:
            for line in wrap(f"{label}{join_lines(text)}", width, lines=_MOST_LINES):
                yield f"{_INDENT}{line}"
