"""What happened, in the order it happened. Bars, logs and notebooks read these."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import msgspec

from imagen.domain.delivery import Channel


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """Something that happened."""


class Planned(Event, frozen=True, kw_only=True):
    """It is decided what will be sent."""

    backend: str
    images: int


class Warned(Event, frozen=True, kw_only=True):
    """Something is not as it was asked for, and the image is made all the same."""

    message: str


class Started(Event, frozen=True, kw_only=True):
    """The nth image was handed to the backend."""

    number: int


class Accepted(Event, frozen=True, kw_only=True):
    """The backend took the job and calls it by this name."""

    number: int
    reference: str


class Progressed(Event, frozen=True, kw_only=True):
    """The backend told how far it is; what it cannot know is None."""

    number: int
    fraction: float | None
    note: str
    steps: int | None


class Previewed(Event, frozen=True, kw_only=True):
    """The backend sent a small picture of the image so far, because somebody asked."""

    number: int
    content: bytes
    media_type: str


class Retrying(Event, frozen=True, kw_only=True):
    """An attempt failed at no cost; another follows after the wait, in seconds."""

    number: int
    code: str
    message: str
    wait: float


class Stored(Event, frozen=True, kw_only=True):
    """The nth image is where it belongs."""

    number: int
    location: str


class Failed(Event, frozen=True, kw_only=True):
    """The nth image will not come."""

    number: int
    code: str
    message: str


class Delivered(Event, frozen=True, kw_only=True):
    """So much more of what is owed to the cloud is there."""

    channel: Channel
    count: int


class Undelivered(Event, frozen=True, kw_only=True):
    """Something is owed to the cloud, and it is kept until it can be delivered."""

    channel: Channel
    message: str


class PreviewFailed(Event, frozen=True, kw_only=True):
    """An image that is where it belongs cannot be shown; says why."""

    reason: str


class Finished(Event, frozen=True, kw_only=True):
    """Nothing more will happen."""


Listener: TypeAlias = Callable[[Event], None]
"""Hears every event, from whichever thread it happens in."""


def isolate_listener(listen: Listener) -> Listener:
    """Return a listener that never raises: no image is lost because nobody can hear."""

    def hear(event: Event) -> None:
        with suppress(Exception):
            listen(event)

    return hear


def ignore_event(event: Event) -> None:
    """Listen to nothing."""
