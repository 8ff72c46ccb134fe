"""What is on, off, or on where it makes sense."""

from typing import Literal, TypeAlias, get_args

Mode: TypeAlias = Literal["auto", "on", "off"]

MODES: tuple[Mode, ...] = get_args(Mode)


def resolve_preview_mode(
    config: Mode, environment: Mode | None, *, flag: bool | None
) -> Mode:
    """Return the mode that counts: the flag's, the environment's or the config's."""
    if flag is not None:
        return "on" if flag else "off"
    return environment or config


def should_preview(mode: Mode, *, on_terminal: bool, in_tmux: bool) -> bool:
    """Whether a preview is tried: by itself only for somebody who looks on, in tmux."""
    return mode == "on" or (mode == "auto" and on_terminal and in_tmux)
