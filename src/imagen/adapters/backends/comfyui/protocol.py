"""ComfyUI's WebSocket messages and the parts of its HTTP bodies, as values.

Pure decoding: no client, no socket. The shapes were observed on ComfyUI 0.3.64. Unknown
messages and fields are ignored, because newer servers send more.
"""

from collections.abc import Mapping
from contextlib import suppress
from struct import unpack_from
from typing import TypeAlias

import msgspec

from imagen.adapters.remote.vendor import decode_json

# Event types of a binary message.
_PREVIEW, _PREVIEW_WITH_METADATA = 1, 4
_IMAGE_TYPES = {1: "image/jpeg", 2: "image/png"}

PREVIEW_REQUEST = {"preview_method": "auto"}
"""Extra data of a prompt that makes newer servers send previews with any value of
their `--preview-method`."""

SENT_AT_KEY = "imagen_sent_at"
"""Key of imagen's submit time in a prompt's extra data, in seconds since 1970.

The server keeps extra data. Only newer servers record themselves when a prompt was
submitted.
"""


class OutputFile(msgspec.Struct, frozen=True):
    """An image file on the server; `/view` expects exactly these three values."""

    filename: str
    subfolder: str = ""
    type: str = "output"


class PromptAccepted(msgspec.Struct, frozen=True):
    """Response to a submitted prompt.

    `node_errors` is not empty when the server queued the prompt without some of its
    outputs.
    """

    prompt_id: str
    node_errors: object = None


class ExecInfo(msgspec.Struct, frozen=True):
    """Number of prompts that run or wait."""

    queue_remaining: int | None = None


class QueueStatus(msgspec.Struct, frozen=True):
    """The inner object of a status message."""

    exec_info: ExecInfo = ExecInfo()


class StatusData(msgspec.Struct, frozen=True):
    """Data of a status message; only the first one has the client id `sid`."""

    status: QueueStatus = QueueStatus()
    sid: str | None = None


class Status(msgspec.Struct, frozen=True):
    """Sent to a new socket first, and to every client when the queue changes."""

    data: StatusData


class ErrorData(msgspec.Struct, frozen=True):
    """The node that failed, and its exception.

    Omits the traceback and the node's inputs, which are long and contain server paths.
    """

    prompt_id: str | None = None
    node_id: str | None = None
    node_type: str | None = None
    exception_type: str | None = None
    exception_message: str | None = None


class PromptData(ErrorData, frozen=True):
    """Data of a message about a prompt.

    Attributes:
        node: The node that runs; None at the end of the prompt.
        output: The result of an output node.
        value: The steps that the node has finished.
        max: The number of its steps.
    """

    node: str | None = None
    output: object = None
    value: float = 0
    max: float = 0


class PromptMessage(msgspec.Struct, frozen=True):
    """A message about a prompt.

    - `execution_start`: the worker started it;
    - `executing`: a node starts; without a node, the last message;
    - `progress`: a node finished a step;
    - `executed`: an output node finished;
    - `execution_success`: all nodes finished; `/history/{id}` can still be empty at
      this moment (8 of 150 prompts on 0.3.64);
    - `execution_error`, `execution_interrupted`: it ended without a result.
    """

    type: str
    data: PromptData


Frame: TypeAlias = Status | PromptMessage


class _Envelope(msgspec.Struct, frozen=True):
    type: str
    data: msgspec.Raw


_KNOWN = {"executing", "executed", "progress"}


def parse_message(text: str | bytes) -> Frame | None:
    """Parse a text message; None for a malformed one or an unknown type."""
    try:
        message = decode_json(text, _Envelope)
        if message.type == "status":
            return Status(msgspec.json.decode(message.data, type=StatusData))
        if message.type in _KNOWN or message.type.startswith("execution_"):
            data = msgspec.json.decode(message.data, type=PromptData)
            return PromptMessage(message.type, data)
    except (ValueError, RecursionError):
        pass
    return None


def extract_files(output: object) -> tuple[OutputFile, ...]:
    """Return the files in an output node's result, under whichever names they are.

    SaveImage and SaveVideo use `images`, other nodes `gifs`, `video` or `audio`.
    """
    if not isinstance(output, Mapping):
        return ()
    files: list[OutputFile] = []
    for entries in output.values():  # pyright: ignore[reportUnknownVariableType] - JSON
        for entry in entries if isinstance(entries, list) else ():  # pyright: ignore[reportUnknownVariableType] - JSON
            with suppress(msgspec.ValidationError):
                files.append(msgspec.convert(entry, OutputFile))
    return tuple(dict.fromkeys(files))


class PreviewFrame(msgspec.Struct, frozen=True):
    """An intermediate image, or a final one that is sent and not stored.

    Attributes:
        content: The image file.
        media_type: Its media type according to the server.
        prompt_id: The prompt that it belongs to; None if the server does not say.
        node: The node that made it; None if the server does not say.
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
    """Parse a binary message; None if it contains no image."""
    # Two big-endian integers of four bytes: the event type, then the image format
    # (type 1) or the length of the metadata (type 4).
    if len(content) < 8:  # noqa: PLR2004 - two integers of four bytes
        return None
    kind, number = unpack_from(">II", content)
    if kind == _PREVIEW and number in _IMAGE_TYPES:
        return PreviewFrame(content=content[8:], media_type=_IMAGE_TYPES[number])
    if kind != _PREVIEW_WITH_METADATA or 8 + number > len(content):
        return None
    try:
        metadata = msgspec.json.decode(content[8 : 8 + number], type=_PreviewMetadata)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return PreviewFrame(
        content=content[8 + number :],
        media_type=metadata.image_type,
        prompt_id=metadata.prompt_id,
        node=metadata.node_id,
    )
