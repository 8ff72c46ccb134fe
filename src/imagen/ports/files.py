"""The port for files and folders that the user names."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

ReadFile: TypeAlias = Callable[[str], bytes | None]
"""Return the whole content of the file at the path; None for a missing file.

Raises:
    InvalidRequest: the file cannot be read, or is larger than any image.
"""

ListImages: TypeAlias = Callable[[str], Iterable[str]]
"""Yield the paths of the files in a folder that have an image extension.

Newest first, up to a limit of the implementation. Yield nothing if the folder cannot be
read.
"""
