"""Server-sent events, in the lines of a response."""

from collections.abc import Iterable, Iterator


def read_events(lines: Iterable[str]) -> Iterator[str]:
    """Return the data of each complete server-sent event."""
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []
