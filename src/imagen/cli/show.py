"""The command `imagen show`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.display import build_viewer
from imagen.bootstrap.library import build_find
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output, display_path
from imagen.cli.parameters import ConfigFlag, JsonFlag, PathWord, check_config
from imagen.cli.tables import join_lines, wrap
from imagen.domain.errors import ImagenError, InvalidRequest, UsageError
from imagen.domain.money.cost import format_cost
from imagen.domain.printable import escape_control
from imagen.ports.viewer import DrawingError, TerminalSize
from imagen.settings.environment import process_environment
from imagen.usecases.find import FoundImage

if TYPE_CHECKING:
    from imagen.adapters.display.terminal.viewer import TerminalViewer

_PROMPT_LINES = 3
_MIN_PICTURE_ROWS = 2
_NO_GRAPHICS = {"", "dumb"}


class _ImageView(msgspec.Struct, frozen=True, kw_only=True):
    """An image with its caption."""

    content: bytes
    prompt: str
    facts: str
    path: str

    def caption(self, width: int) -> list[str]:
        prompt = wrap(self.prompt, width, lines=_PROMPT_LINES)
        below = [self.facts, self.path]
        return [*prompt, *(wrap(each, width, lines=1)[0] for each in below)]

    def fields(self) -> dict[str, object]:
        path = display_path(self.path)
        return {"path": path, "prompt": self.prompt, "facts": self.facts}

    def text(self) -> list[str]:
        return [self.path, *filter(None, [self.prompt]), self.facts]


def show(
    *images: PathWord,
    hold: bool = False,
    as_: Annotated[
        Literal["kitty", "iterm2", "sixel", "blocks", "text"] | None,
        Parameter(name="--as"),
    ] = None,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> int:
    """Show IMAGES in the terminal, each with a caption about how it was made.

    Draws with the Kitty protocol, the iTerm2 protocol, Sixel or half blocks: the best
    one that the terminal supports. If stdout is not a terminal, only the captions are
    printed.

    ```
    imagen show fox.png
    imagen show --hold last
    ```

    Args:
        images: Paths, ids, unique prefixes of ids, or `last`.
        hold: Show one image at a time in the whole window until a key is pressed; q
            quits.
        as_: Draw with this method instead of the detected one.
    """
    if not images:
        raise UsageError("IMAGE is missing.", hint="`last` is the newest image.")
    check_config(config)
    environment, out = process_environment(), Output(json=json)
    views: list[_ImageView] = []
    failed: ImagenError | None = None
    with Runtime(environment) as runtime:
        find = build_find(runtime)
        for image in images:
            try:
                found, content = find.load(str(image))
            except ImagenError as error:
                out.print_error(error)
                failed = failed or error
                continue
            views.append(_build_view(found, content))
    code = exit_codes.DONE if failed is None else exit_codes.exit_code_for(failed)
    if json:
        for view in views:
            out.print_json(view.fields())
        return code
    term = environment.terminal["TERM"]
    if as_ == "text" or not sys.stdout.isatty() or (not as_ and term in _NO_GRAPHICS):
        for number, view in enumerate(views):
            out.print_lines([*([""] if number else []), *view.text()])
        return code
    if not views:
        return code
    # The viewer writes to the file descriptor, past the buffer of sys.stdout.
    sys.stdout.flush()
    viewer = build_viewer(runtime, sys.stdout, method=as_)
    try:
        if hold:
            return _page_through(viewer, views, out) or code
        return max([_draw_image(viewer, view, out) for view in views]) or code
    except DrawingError as why:
        raise InvalidRequest(f"The images cannot be shown: {why}.") from why
    finally:
        viewer.close()


def _page_through(
    viewer: "TerminalViewer", views: Sequence[_ImageView], out: Output
) -> int:
    with viewer.fullscreen() as window:
        code = exit_codes.DONE
        for view in views:
            # Draw again after each change of the window size.
            happened = "changed"
            while happened == "changed":
                window.clear()
                code = max(code, _draw_image(viewer, view, out))
                happened = window.wait()
            if happened == "quit":
                break
    return 128 + window.stopped_by if window.stopped_by else code


def _draw_image(viewer: "TerminalViewer", image: _ImageView, out: Output) -> int:
    """Draw the picture with its caption; return the exit code."""
    room = viewer.size()
    caption = image.caption(room.columns - 1)
    rows = max(_MIN_PICTURE_ROWS, room.rows - len(caption) - 1)
    code = exit_codes.DONE
    try:
        viewer.draw(image.content, max_size=TerminalSize(room.columns, rows))
    except DrawingError as why:
        error = InvalidRequest(f"{image.path} cannot be drawn: {why}.")
        out.print_error(error)
        code = exit_codes.exit_code_for(error)
    out.print_lines(caption)
    return code


def _build_view(found: FoundImage, content: bytes) -> _ImageView:
    note, making = found.best_sidecar, found.metadata
    recipe = making.recipe if making else None
    size = f"{making.facts.width}x{making.facts.height}" if making else ""
    if note is not None:
        prompt, seed, model = note.prompt, note.seed, note.model
        by = (note.backend, model if model != note.backend else "")
        priced = format_cost(note.cost_usd) or "cost unknown"
    elif recipe is not None:
        prompt, seed = recipe.prompt or "", recipe.seed
        by, priced = (recipe.tool, recipe.model or ""), ""
    else:
        prompt, seed, by, priced = "", None, ("", ""), ""
    facts = (*by, "" if seed is None else f"seed {seed}", size, priced)
    return _ImageView(
        content=content,
        prompt=join_lines(prompt),
        facts=join_lines(" · ".join(filter(None, facts))),
        path=escape_control(found.location),
    )
