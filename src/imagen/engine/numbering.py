"""Numbered file names for images that are stored at the same time."""

from collections.abc import Iterator
from threading import Lock

from imagen.domain.naming import add_number

_MAX_REMEMBERED = 10_000
"""File names that are remembered; the oldest are dropped."""


class Numbering:
    """Gives each request for the same file name a different number, from any thread.

    Without it, many requests with the same name in the same second would each try all
    the names that the others have just taken.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._lock = Lock()

    def names(self, name: str) -> Iterator[str]:
        """Yield the name, then the name with `-2`, `-3`, and so on, each once."""
        while True:
            number = self._next(name)
            yield name if number == 1 else add_number(name, number)

    def _next(self, name: str) -> int:
        with self._lock:
            number = self._last.get(name, 0) + 1
            self._last[name] = number
            if len(self._last) > _MAX_REMEMBERED:
                del self._last[next(iter(self._last))]
            return number
