"""The port to files that a person names."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

ReadFile: TypeAlias = Callable[[str], bytes | None]
"""Returns the whole content of the file of that path; None where there is no file.

Raises:
    InvalidRequest: it is there, and cannot be read, or is larger than any image.
"""

ListImages: TypeAlias = Callable[[str], Iterable[str]]
"""Yields the paths of the files in a folder that are called as images are.

The newest first, and no more than anybody would look through; none where the folder
cannot be read.
"""
