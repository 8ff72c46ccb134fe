"""The command `imagen show`."""

import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.display import build_viewer
from imagen.bootstrap.library import build_find
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output
from imagen.cli.parameters import PathWord
from imagen.cli.tables import escape_control, join_lines, wrap
from imagen.domain.errors import ImagenError, InvalidRequest, UsageError
from imagen.domain.money.cost import format_usd
from imagen.ports.viewer import DrawingError, TerminalSize, Viewer
from imagen.settings.environment import process_environment
from imagen.usecases.find import FoundImage

_LINES_OF_PROMPT = 3
_FEWEST_ROWS = 2
_UNUSABLE = {"", "dumb"}


class _ImageView(msgspec.Struct, frozen=True, kw_only=True):
    """A file, and what is said below its picture."""

    content: bytes
    prompt: str
    facts: str
    place: str

    def words(self, width: int) -> list[str]:
        prompt = wrap(self.prompt, width, lines=_LINES_OF_PROMPT)
        below = [self.facts, self.place]
        return [*prompt, *(wrap(each, width, lines=1)[0] for each in below)]

    def text(self) -> list[str]:
        return [self.place, *filter(None, [self.prompt]), self.facts]


def show(
    *images: PathWord,
    hold: bool = False,
    as_: Annotated[
        Literal["kitty", "iterm2", "sixel", "blocks", "text"] | None,
        Parameter(name="--as"),
    ] = None,
) -> int:
    """Show IMAGES in this terminal, with how each was made.

    Draws with Kitty's graphics, iTerm2's, Sixel or half blocks: the best that the
    terminal says it knows. Where stdout is no terminal there are only the words.

    ```
    imagen show fox.png
    imagen show --hold last
    ```

    Args:
        images: Paths, ids, unique beginnings of ids, or `last`.
        hold: Take the whole window, and keep each image until a key is pressed; q
            leaves.
        as_: Draw so, whatever the terminal says.
    """
    if not images:
        raise UsageError("IMAGE is missing.", hint="`last` is the newest one.")
    environment, said = process_environment(), Output()
    shown: list[_ImageView] = []
    failed: ImagenError | None = None
    with Runtime(environment) as runtime:
        find = build_find(runtime)
        for image in images:
            try:
                found, content = find.load(str(image))
            except ImagenError as error:
                said.error(error)
                failed = failed or error
                continue
            shown.append(_described(found, content))
    code = exit_codes.DONE if failed is None else exit_codes.exit_code_for(failed)
    term = environment.terminal["TERM"]
    if as_ == "text" or not sys.stdout.isatty() or (not as_ and term in _UNUSABLE):
        for number, each in enumerate(shown):
            said.lines([*([""] if number else []), *each.text()])
        return code
    if not shown:
        return code
    sys.stdout.flush()
    viewer = build_viewer(runtime, sys.stdout, method=as_)
    try:
        return (_held if hold else _printed)(viewer, shown, said) or code
    except DrawingError as why:
        raise InvalidRequest(f"It cannot be shown: {why}.") from why
    finally:
        viewer.close()


def _printed(viewer: Viewer, shown: Sequence[_ImageView], said: Output) -> int:
    codes = [_draw(viewer, each, said) for each in shown]
    return max(codes)


def _held(viewer: Viewer, shown: Sequence[_ImageView], said: Output) -> int:
    with viewer.fullscreen() as window:
        code = exit_codes.DONE
        for each in shown:
            happened = "changed"
            while happened == "changed":
                window.clear()
                code = max(code, _draw(viewer, each, said))
                happened = window.wait()
            if happened == "quit":
                break
    return 128 + window.stopped_by if window.stopped_by else code


def _draw(viewer: Viewer, image: _ImageView, said: Output) -> int:
    """Draw the picture, and say below it how it was made."""
    room = viewer.size()
    words = image.words(room.columns - 1)
    left = max(_FEWEST_ROWS, room.rows - len(words) - 1)
    code = exit_codes.DONE
    try:
        viewer.draw(image.content, max_size=TerminalSize(room.columns, left))
    except DrawingError as why:
        error = InvalidRequest(f"{image.place} cannot be drawn: {why}.")
        said.error(error)
        code = exit_codes.exit_code_for(error)
    said.lines(words)
    return code


def _described(found: FoundImage, content: bytes) -> _ImageView:
    note, making = found.best_sidecar, found.metadata
    recipe = making.recipe if making else None
    size = f"{making.facts.width}x{making.facts.height}" if making else ""
    if note is not None:
        cost = note.cost_usd
        prompt, seed, model = note.prompt, note.seed, note.model
        by = (note.backend, model if model != note.backend else "")
        price = "" if cost is None else format_usd(Decimal(str(cost)))
        priced = price or "cost unknown"
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
        place=escape_control(found.location),
    )
