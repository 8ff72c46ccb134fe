"""Numbers for names that many want at once."""

from collections.abc import Iterator
from threading import Lock

from imagen.domain.naming import add_number

_MOST = 10_000
"""Names that are remembered: those of the last moments."""


class Numbering:
    """Gives each who asks for a name another number, from any thread.

    So a crowd that makes one picture in one second does not try each name in turn,
    only to find what the others have taken just now.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._lock = Lock()

    def names(self, name: str) -> Iterator[str]:
        """Yield the name, then with `-2`, `-3`, ...: what nobody here was given yet."""
        while True:
            number = self._next(name)
            yield name if number == 1 else add_number(name, number)

    def _next(self, name: str) -> int:
        with self._lock:
            number = self._last.get(name, 0) + 1
            self._last[name] = number
            if len(self._last) > _MOST:
                del self._last[next(iter(self._last))]
            return number
