"""The events of a run, for progress bars, logs and notebooks."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import msgspec

from imagen.domain.delivery import Channel


# The class names are the event names in logs and in the server's event stream, so they
# are part of the public interface.
class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """Base of all events."""


class Planned(Event, frozen=True, kw_only=True):
    """The plan is complete; nothing was sent yet.

    Attributes:
        may_cost: Whether one of the calls may cost money.
    """

    backend: str
    images: int
    may_cost: bool = False


class Warned(Event, frozen=True, kw_only=True):
    """The image differs from the request, and is made nevertheless."""

    message: str


class Continued(Event, frozen=True, kw_only=True):
    """An interrupted command is continued, or the same command is waited for."""

    message: str


class Started(Event, frozen=True, kw_only=True):
    """The call with this image is about to be sent to the backend."""

    number: int


class Accepted(Event, frozen=True, kw_only=True):
    """The backend accepted the job under this id."""

    number: int
    reference: str


class Progressed(Event, frozen=True, kw_only=True):
    """The backend reported progress; values that it does not know are None."""

    number: int
    fraction: float | None
    note: str
    steps: int | None


class Previewed(Event, frozen=True, kw_only=True):
    """The backend sent a requested preview of the unfinished image."""

    number: int
    content: bytes
    media_type: str


class Retrying(Event, frozen=True, kw_only=True):
    """An attempt failed at no cost; a retry follows after `wait` seconds."""

    number: int
    code: str
    message: str
    wait: float


class Stored(Event, frozen=True, kw_only=True):
    """The image was stored."""

    number: int
    location: str


class Trashed(Event, frozen=True, kw_only=True):
    """The file that a new image replaces was moved to the trash, under this id."""

    id: str
    location: str


class StoredExtra(Event, frozen=True, kw_only=True):
    """An image beyond the requested ones was stored."""

    location: str


class Failed(Event, frozen=True, kw_only=True):
    """The image failed."""

    number: int
    code: str
    message: str


class Delivered(Event, frozen=True, kw_only=True):
    """Pending items were uploaded to the cloud."""

    channel: Channel
    count: int


class Undelivered(Event, frozen=True, kw_only=True):
    """An upload failed; the items stay pending."""

    channel: Channel
    message: str


class PreviewFailed(Event, frozen=True, kw_only=True):
    """A stored image cannot be shown."""

    reason: str


class Finished(Event, frozen=True, kw_only=True):
    """The run is complete; no event follows."""


Listener: TypeAlias = Callable[[Event], None]
"""A function that receives every event, in the thread where it occurs."""


def isolate_listener(listener: Listener) -> Listener:
    """Return a listener that passes events on and never raises."""

    # A broken progress display or a full log disk must not cost an image.
    def call_listener(event: Event) -> None:
        with suppress(Exception):
            listener(event)

    return call_listener


def ignore_event(event: Event) -> None:
    """Ignore the event."""
