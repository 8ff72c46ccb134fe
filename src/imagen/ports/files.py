"""The port to files that a person names."""

from collections.abc import Callable
from typing import TypeAlias

ReadFile: TypeAlias = Callable[[str], bytes | None]
"""Returns the whole content of the file of that path; None where there is no file.

Raises:
    InvalidRequest: it is there, and cannot be read, or is larger than any image.
"""
