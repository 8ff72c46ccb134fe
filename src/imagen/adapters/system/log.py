"""Writes events to stderr as structured lines, through structlog."""

import sys
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog
from structlog.typing import WrappedLogger

from imagen.domain.events import Event, Previewed


class LogListener:
    """Hears every event and logs it under its own name."""

    def __init__(self, *, as_json: bool, colours: bool) -> None:
        renderer = (
            structlog.processors.JSONRenderer()
            if as_json
            else _PrefixRenderer(
                structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0)
            )
        )
        self._log = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.add_log_level,
                renderer,
            ],
        )

    def __call__(self, event: Event) -> None:
        """Log the event's fields as they are."""
        if isinstance(event, Previewed):
            event = msgspec.structs.replace(event, content=b"")  # a picture is no line
        fields = msgspec.to_builtins(event)
        self._log.info(fields.pop("event"), **fields)


class _PrefixRenderer:
    """Puts our name before each line, as before everything that is said on stderr."""

    def __init__(self, renderer: structlog.dev.ConsoleRenderer) -> None:
        self._renderer = renderer

    def __call__(
        self, logger: WrappedLogger, name: str, event: MutableMapping[str, Any]
    ) -> str:
        return f"imagen: {self._renderer(logger, name, event)}"
