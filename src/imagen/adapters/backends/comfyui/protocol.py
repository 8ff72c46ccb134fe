"""What a ComfyUI server says, as values; nothing is sent or awaited here.

Seen on 0.3.64. Whatever is not understood is passed over, as newer servers say more.
"""

from collections.abc import Mapping
from struct import unpack_from
from typing import TypeAlias

import msgspec

_PREVIEW, _PREVIEW_WITH_METADATA = 1, 4


_IMAGE_TYPES = {1: "image/jpeg", 2: "image/png"}


PREVIEW_REQUEST = {"preview_method": "auto"}
"""What in a prompt's extra data has newer servers send pictures on the way, however
they were started."""


SENT_AT_KEY = "imagen_sent_at"
"""What we call, in a prompt's extra data, the moment in which we sent it: the server
keeps that, and only newer ones say themselves when a prompt was handed in."""


class OutputFile(msgspec.Struct, frozen=True):
    """Where the server put a picture; asked for with exactly these words."""

    filename: str
    subfolder: str = ""
    type: str = "output"


# Frames


class ExecInfo(msgspec.Struct, frozen=True):
    """How much there is to do."""

    queue_remaining: int | None = None


class QueueStatus(msgspec.Struct, frozen=True):
    """The inner part of a status."""

    exec_info: ExecInfo = ExecInfo()


class StatusData(msgspec.Struct, frozen=True):
    """What a status frame says."""

    status: QueueStatus = QueueStatus()
    sid: str | None = None


class _Frame(msgspec.Struct, frozen=True, tag_field="type"):
    """A frame of text."""


class Status(_Frame, frozen=True, tag="status"):
    """Sent to everybody when the queue changes, and first of all to a new socket."""

    data: StatusData


class PromptData(msgspec.Struct, frozen=True):
    """What any frame about a prompt says."""

    prompt_id: str | None = None


class ExecutionStarted(_Frame, frozen=True, tag="execution_start"):
    """The worker took the prompt."""

    data: PromptData


class CachedData(msgspec.Struct, frozen=True):
    """Nodes that need not run again."""

    prompt_id: str | None = None
    nodes: tuple[str, ...] = ()


class ExecutionCached(_Frame, frozen=True, tag="execution_cached"):
    """Which nodes need not run again."""

    data: CachedData


class NodeData(msgspec.Struct, frozen=True):
    """A node, or None at the end."""

    prompt_id: str | None = None
    node: str | None = None


class Executing(_Frame, frozen=True, tag="executing"):
    """A node begins; without a node, and with our prompt, it is the last frame."""

    data: NodeData


class ProgressData(msgspec.Struct, frozen=True):
    """A step of a node."""

    value: float
    max: float
    prompt_id: str | None = None
    node: str | None = None


class ProgressMessage(_Frame, frozen=True, tag="progress"):
    """A node took a step."""

    data: ProgressData


class ExecutedData(msgspec.Struct, frozen=True):
    """What an output node made."""

    prompt_id: str | None = None
    node: str | None = None
    output: object = None


class NodeExecuted(_Frame, frozen=True, tag="executed"):
    """An output node is done."""

    data: ExecutedData


class ExecutionSucceeded(_Frame, frozen=True, tag="execution_success"):
    """All nodes are done; the history may be empty for a moment yet."""

    data: PromptData


class ErrorData(msgspec.Struct, frozen=True):
    """Which node failed, and how; the rest of it is long, and full of paths."""

    prompt_id: str | None = None
    node_id: str | None = None
    node_type: str | None = None
    exception_type: str | None = None
    exception_message: str | None = None


class ExecutionFailed(_Frame, frozen=True, tag="execution_error"):
    """A node failed."""

    data: ErrorData


class ExecutionInterrupted(_Frame, frozen=True, tag="execution_interrupted"):
    """Somebody stopped it."""

    data: ErrorData


Frame: TypeAlias = (
    Status
    | ExecutionStarted
    | ExecutionCached
    | Executing
    | ProgressMessage
    | NodeExecuted
    | ExecutionSucceeded
    | ExecutionFailed
    | ExecutionInterrupted
)


_FRAMES: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)


def parse_message(text: str | bytes) -> Frame | None:
    """Return what a text frame says, or None if it means nothing to us."""
    try:
        return _FRAMES.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return None


class PreviewFrame(msgspec.Struct, frozen=True):
    """A picture on the way, or one that was sent instead of kept.

    Attributes:
        content: Its bytes.
        media_type: What they are said to be.
        prompt_id: Whose it is; None when the server does not say.
        node: Which node made it, likewise.
    """

    content: bytes
    media_type: str
    prompt_id: str | None = None
    node: str | None = None


class _PreviewMetadata(msgspec.Struct, frozen=True):
    prompt_id: str | None = None
    node_id: str | None = None
    image_type: str = "image/jpeg"


def parse_preview(content: bytes) -> PreviewFrame | None:
    """Return the picture in a binary frame, or None if there is none in it."""
    if len(content) < 8:  # noqa: PLR2004 - two numbers of four bytes
        return None
    kind, number = unpack_from(">II", content)
    if kind == _PREVIEW and number in _IMAGE_TYPES:
        return PreviewFrame(content=content[8:], media_type=_IMAGE_TYPES[number])
    if kind != _PREVIEW_WITH_METADATA or 8 + number > len(content):
        return None
    try:
        about = msgspec.json.decode(content[8 : 8 + number], type=_PreviewMetadata)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return PreviewFrame(
        content=content[8 + number :],
        media_type=about.image_type,
        prompt_id=about.prompt_id,
        node=about.node_id,
    )


def extract_files(output: object) -> tuple[OutputFile, ...]:
    """Return the pictures among what an output node made."""
    if not isinstance(output, Mapping):
        return ()
    images: object = output.get("images")  # pyright: ignore[reportUnknownVariableType] - JSON
    if not isinstance(images, list):
        return ()
    found: list[OutputFile] = []
    for image in images:  # pyright: ignore[reportUnknownVariableType] - JSON
        try:
            found.append(msgspec.convert(image, OutputFile))
        except msgspec.ValidationError:
            continue
    return tuple(found)


# Answers


class PromptAccepted(msgspec.Struct, frozen=True):
    """The prompt is in the queue, perhaps without some of its outputs."""

    prompt_id: str
    node_errors: object = None
