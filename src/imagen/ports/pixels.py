"""The port for comparing the pixels of two image files."""

from collections.abc import Callable
from typing import TypeAlias

ComparePixels: TypeAlias = Callable[[bytes, bytes], str]
"""Return how the decoded pixels of the second file differ from those of the first.

Return "" if all pixels are equal. Ignore compression and metadata.

Raises:
    StorageError: one of the files cannot be decoded.
"""
