"""The state of one prompt, from WebSocket messages, the queue and the history."""

from collections.abc import Mapping
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

from imagen.adapters.backends.comfyui.graph import ApiWorkflow
from imagen.adapters.backends.comfyui.protocol import (
    SENT_AT_KEY,
    ErrorData,
    Frame,
    OutputFile,
    Status,
    extract_files,
)
from imagen.adapters.remote.vendor import decode_json

PromptOutcome: TypeAlias = Literal["success", "error", "interrupted"]

OUTCOMES: Mapping[str, PromptOutcome] = {
    "execution_success": "success",
    "execution_error": "error",
    "execution_interrupted": "interrupted",
}
"""The outcome of a prompt by its last message but one."""


class PromptState:
    """The state of one prompt; messages about other prompts do not change it.

    Attributes:
        started: True once the worker started it.
        outcome: Its outcome; None until a message or the history has it.
        finished: True once the last message arrived.
        error: The failure or interruption, empty after a success.
        files: The image files of each output node, in the order in which they finished.
        node: The node that runs now.
        step: The current step of that node, and its number of steps.
    """

    def __init__(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id
        self.started = False
        self.outcome: PromptOutcome | None = None
        self.finished = False
        self.error = ErrorData()
        self.files: dict[str, tuple[OutputFile, ...]] = {}
        self.node: str | None = None
        self.step: tuple[int, int] | None = None

    def apply(self, frame: Frame) -> bool:
        """Update the state; return False for a message about another prompt."""
        if isinstance(frame, Status) or frame.data.prompt_id != self.prompt_id:
            return False
        self.started = True
        data = frame.data
        match frame.type:
            case "executing":
                self.node, self.step = data.node, None
                self.finished = self.finished or data.node is None
            case "progress":
                self.node = data.node or self.node
                total = int(data.max)
                done = min(total, max(0, int(data.value)))
                self.step = (done, total) if total >= 1 else None
            case "executed":
                self._store_files(data.node or "", data.output)
            case kind if kind in OUTCOMES:
                self.outcome = OUTCOMES[kind]
                self.error = ErrorData() if self.outcome == "success" else data
            case _:
                pass
        return True

    def apply_history(self, entry: "PromptHistory") -> None:
        """Update the state from the history, which is authoritative."""
        self.started = True
        self.outcome, self.error = entry.outcome, entry.error
        for node, output in entry.outputs.items():
            self._store_files(node, output)

    def _store_files(self, node: str, output: object) -> None:
        if files := extract_files(output):
            self.files[node] = files


Item = TypeVar("Item")


class _Queue(msgspec.Struct, Generic[Item], frozen=True):
    """Body of `/queue`."""

    queue_running: tuple[Item, ...] = ()
    queue_pending: tuple[Item, ...] = ()


class QueuePosition(msgspec.Struct, frozen=True):
    """The position of a prompt in the queue; `ahead` counts the prompts before it."""

    running: bool
    ahead: int = 0


class _Item(msgspec.Struct, frozen=True, array_like=True):
    """A prompt, in the form that queue and history share, without its graph."""

    number: float
    prompt_id: str


class _QueuedPrompt(_Item, frozen=True, array_like=True):
    graph: object = None
    extra_data: dict[str, object] = {}

    @property
    def sent_at(self) -> float | None:
        """When imagen sent it, in seconds since 1970; None for another client's."""
        moment = self.extra_data.get(SENT_AT_KEY)
        return moment if isinstance(moment, float) else None


class _HistoryEntry(msgspec.Struct, frozen=True):
    prompt: _QueuedPrompt | None = None


def find_queue_position(queue: bytes, prompt_id: str) -> QueuePosition | None:
    """Return the prompt's position, or None if it is not in the queue.

    Raises:
        ValueError: the body is not a queue.
    """
    response = decode_json(queue, _Queue[_Item])
    running, pending = response.queue_running, response.queue_pending
    if any(item.prompt_id == prompt_id for item in running):
        return QueuePosition(running=True)
    for found in pending:
        if found.prompt_id == prompt_id:
            # `queue_pending` is a heap array: only `number` tells the order.
            ahead = sum(item.number < found.number for item in pending)
            return QueuePosition(running=False, ahead=len(running) + ahead)
    return None


def find_prompts(
    queue: bytes, history: bytes, graph: ApiWorkflow, *, since: float
) -> tuple[str, ...]:
    """Return the ids of all prompts with exactly this graph in two bodies, by age.

    Leaves out what imagen sent before `since`, in seconds since 1970.

    Raises:
        ValueError: a body is not a queue or a history.
    """
    response = decode_json(queue, _Queue[_QueuedPrompt])
    entries = decode_json(history, dict[str, _HistoryEntry])
    prompts = [
        *response.queue_running,
        *response.queue_pending,
        *(entry.prompt for entry in entries.values() if entry.prompt),
    ]
    # A round trip through JSON, so that tuples and NaN compare as the server's do.
    wanted = msgspec.json.decode(msgspec.json.encode(graph))
    matches = [
        prompt
        for prompt in prompts
        if prompt.graph == wanted and (prompt.sent_at or since) >= since
    ]
    matches.sort(key=lambda prompt: prompt.sent_at or since)
    # A prompt can move from the queue to the history between the two requests.
    return tuple(dict.fromkeys(prompt.prompt_id for prompt in matches))


class HistoryStatus(msgspec.Struct, frozen=True):
    """The status of a finished prompt; each message is an event and its data."""

    status_str: str = ""
    completed: bool = False
    messages: tuple[tuple[str, msgspec.Raw], ...] = ()


class PromptHistory(msgspec.Struct, frozen=True):
    """The history entry of a finished prompt."""

    outputs: Mapping[str, object] = {}
    status: HistoryStatus | None = None

    @property
    def outcome(self) -> PromptOutcome:
        """The outcome according to the last terminal message."""
        if self.status is None:
            return "success"
        # `status_str` is "error" for an interruption too (observed on 0.3.64): only the
        # last message tells them apart.
        for event, _ in reversed(self.status.messages):
            if event in OUTCOMES:
                return OUTCOMES[event]
        return "success" if self.status.completed else "error"

    @property
    def error(self) -> ErrorData:
        """The failure or interruption; empty after a success."""
        for event, data in reversed(self.status.messages if self.status else ()):
            if event in {"execution_error", "execution_interrupted"}:
                return msgspec.json.decode(data, type=ErrorData)
        return ErrorData()


def parse_history(history: bytes, prompt_id: str) -> PromptHistory | None:
    """Return the prompt's entry, or None if the history does not have it.

    Raises:
        ValueError: the body is not a history.
    """
    entries = decode_json(history, dict[str, PromptHistory])
    return entries.get(prompt_id)
