"""The port to whatever can compare what two image files show."""

from collections.abc import Callable
from typing import TypeAlias

ComparePixels: TypeAlias = Callable[[bytes, bytes], str]
"""Returns how the decoded pixels of the second file differ from those of the first.

"" says that all are equal; how they are packed, and what else the files say, does not
matter.

Raises:
    StorageError: one of them cannot be decoded.
"""
