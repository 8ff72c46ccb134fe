"""The displays of images and events: tmux window, terminal, notebook, log."""

import sys
from typing import TYPE_CHECKING, TextIO

from imagen.bootstrap.runtime import Runtime
from imagen.domain.events import Listener, isolate_listener

if TYPE_CHECKING:
    from imagen.adapters.display.notebook import NotebookProgress
    from imagen.adapters.display.terminal.viewer import TerminalViewer
    from imagen.ports.viewer import Method
    from imagen.usecases.preview import PreviewImages


def build_preview(
    runtime: Runtime,
    *,
    flag: bool | None,
    on_terminal: bool,
    listen: Listener,
) -> "PreviewImages | None":
    """Build the use case that opens a tmux window for each image.

    Args:
        flag: Overrides the modes of the config and the environment; None if not given.
        on_terminal: Whether results appear on a terminal.

    Returns:
        None if images are not to be shown.

    Raises:
        Misconfigured: `$IMAGEN_PREVIEW` is invalid.
    """
    environment = runtime.environment
    mode = environment.preview or runtime.settings.output.preview
    wanted = mode == "on" or (mode == "auto" and on_terminal and environment.tmux)
    if not (wanted if flag is None else flag):
        return None
    from imagen.adapters.display.tmux_preview import TmuxPreview  # noqa: PLC0415 - rare
    from imagen.bootstrap.output import make_absolute  # noqa: PLC0415
    from imagen.usecases.preview import PreviewImages  # noqa: PLC0415

    return PreviewImages(
        preview=TmuxPreview(environment),
        locate=make_absolute,
        listen=isolate_listener(listen),
    )


def build_desktop_preview(runtime: Runtime, *, listen: Listener) -> "PreviewImages":
    """Build the use case that opens each image with the viewer of the desktop."""
    from imagen.adapters.display.desktop_preview import DesktopPreview  # noqa: PLC0415 - rare
    from imagen.bootstrap.output import make_absolute  # noqa: PLC0415
    from imagen.usecases.preview import PreviewImages  # noqa: PLC0415

    return PreviewImages(
        preview=DesktopPreview(desktop=runtime.environment.desktop),
        locate=make_absolute,
        listen=isolate_listener(listen),
    )


def build_viewer(
    runtime: Runtime, stream: TextIO, *, method: "Method | None" = None
) -> "TerminalViewer":
    """Ask the terminal for its capabilities, and build the viewer that draws on it."""
    from imagen.adapters.display.terminal.capability_probe import probe_terminal  # noqa: PLC0415
    from imagen.adapters.display.terminal.viewer import (  # noqa: PLC0415 - costs Pillow
        TerminalViewer,
    )
    from imagen.adapters.system.random import random_int  # noqa: PLC0415

    clock, handle = runtime.clock, stream.fileno()
    abilities = probe_terminal(handle, runtime.environment, clock=clock)
    return TerminalViewer(
        handle, abilities, clock=clock, random_int=random_int, method=method
    )


def build_notebook_progress() -> "NotebookProgress | None":
    """Build the progress display of a notebook; None outside of one."""
    if "IPython" not in sys.modules:
        return None
    from imagen.adapters.display.notebook import (  # noqa: PLC0415 - only there
        create_notebook_progress,
    )

    return create_notebook_progress()
