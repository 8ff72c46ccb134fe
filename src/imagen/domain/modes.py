"""The modes of the preview and of the cloud sync: on, off, or automatic."""

from typing import Literal, TypeAlias, get_args

Mode: TypeAlias = Literal["auto", "on", "off"]

MODES: tuple[Mode, ...] = get_args(Mode)
