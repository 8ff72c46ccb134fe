"""Log events to stderr as structured lines with structlog."""

import sys

import msgspec
import structlog
from structlog.typing import WrappedLogger

from imagen.domain.events import Event, Previewed


class LogListener:
    """An event listener that logs each event under its name."""

    def __init__(self, *, as_json: bool, colours: bool) -> None:
        # Both escape control characters: JSON has only ASCII, and texts are reprs.
        renderer = (
            structlog.processors.JSONRenderer()
            if as_json
            else structlog.dev.ConsoleRenderer(
                colors=colours, pad_event_to=0, repr_native_str=True
            )
        )
        self._log = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.add_log_level,
                renderer,
                *([] if as_json else [_add_prefix]),
            ],
        )

    def __call__(self, event: Event) -> None:
        """Log the fields of the event."""
        # The picture of a preview would fill the log with kilobytes of base64.
        if isinstance(event, Previewed):
            event = msgspec.structs.replace(event, content=b"")
        fields = msgspec.to_builtins(event)
        self._log.info(fields.pop("event"), **fields)


def _add_prefix(_: WrappedLogger, __: str, line: object) -> str:
    """Put `imagen:` before the line, as all output on stderr has."""
    return f"imagen: {line}"
