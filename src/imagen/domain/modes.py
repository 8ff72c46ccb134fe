"""The modes of the preview and of the cloud sync: on, off, or automatic."""

from typing import Literal, TypeAlias, get_args

Mode: TypeAlias = Literal["auto", "on", "off"]

MODES: tuple[Mode, ...] = get_args(Mode)


def resolve_preview_mode(
    config: Mode, environment: Mode | None, *, flag: bool | None
) -> Mode:
    """Return the effective mode: the flag, else the environment, else the config."""
    if flag is not None:
        return "on" if flag else "off"
    return environment or config


def should_preview(mode: Mode, *, on_terminal: bool, in_tmux: bool) -> bool:
    """Return whether to show previews; `auto` does so on a terminal inside tmux."""
    return mode == "on" or (mode == "auto" and on_terminal and in_tmux)
