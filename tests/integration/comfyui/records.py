"""What our ComfyUI writes down, and what it hands from one part to another."""

import asyncio
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.integration.comfyui.graph import Graph
from tests.integration.comfyui.trouble import PromptTrouble

State = Literal[
    "pending", "running", "success", "error", "interrupted", "deleted", "lost"
]


@dataclass
class Request:
    """One request, as it came, and what it was answered with."""

    method: str
    path: str
    """Without the prefix and without `/api`."""
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    status: int | None = None
    """None while there is no answer, and for ever if there was none."""

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass
class Prompt:
    """One prompt that was accepted, and how it went."""

    id: str
    number: float
    graph: Graph
    extra_data: dict[str, Any]
    outputs: list[str]
    trouble: PromptTrouble
    state: State = "pending"
    files: list[Path] = field(default_factory=list)
    """What it saved, where it is on the disk."""
    released: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, state: State) -> None:
        """Note how it went."""
        self.state = state
        self.ended.set()

    @property
    def client_id(self) -> object:
        """Whose it is."""
        return self.extra_data.get("client_id")

    @property
    def item(self) -> list[object]:
        """The prompt as `/queue` lists it."""
        return [self.number, self.id, self.graph, self.extra_data, self.outputs]


@dataclass(frozen=True)
class Frame:
    """One frame that was sent, and on whose socket."""

    sid: str
    type: str
    data: Any
    """What it said, or the bytes of a binary frame."""


class Gone(Exception):
    """The connection is to be cut without an answer."""


class Interrupted(Exception):
    """Somebody stopped the prompt."""


class Failed(Exception):
    """A node failed."""

    def __init__(self, message: str, kind: str = "RuntimeError") -> None:
        super().__init__(message)
        self.message, self.kind = message, kind


@dataclass(frozen=True)
class Preview:
    """A picture sent over the socket, in one of its two layouts.

    Upstream sends the old layout after `progress` and the new one before it, so both
    stand in line, and a socket gets the one that it can read.
    """

    content: bytes
    metadata: Mapping[str, object] | None = None
    """What the new layout says of it; the old one says nothing."""
    media_type: str = "image/jpeg"

    @property
    def packed(self) -> bytes:
        """The whole frame."""
        if self.metadata is not None:
            told = {**self.metadata, "image_type": self.media_type}
            said = json.dumps(told).encode()
            return struct.pack(">II", 4, len(said)) + said + self.content
        return (
            struct.pack(">II", 1, 2 if "png" in self.media_type else 1) + self.content
        )
