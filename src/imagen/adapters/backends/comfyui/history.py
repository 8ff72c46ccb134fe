"""One prompt, as its frames, the queue and the history tell it."""

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

import msgspec

from imagen.adapters.backends.comfyui.graph import ApiWorkflow
from imagen.adapters.backends.comfyui.protocol import (
    SENT_AT_KEY,
    ErrorData,
    Executing,
    ExecutionCached,
    ExecutionFailed,
    ExecutionInterrupted,
    ExecutionStarted,
    ExecutionSucceeded,
    Frame,
    NodeExecuted,
    OutputFile,
    ProgressData,
    ProgressMessage,
    Status,
    extract_files,
)

# One prompt, as its frames tell it

PromptOutcome: TypeAlias = Literal["success", "error", "interrupted"]


class PromptState:
    """What is known of one prompt; frames of any other leave it as it is.

    Attributes:
        begun: Whether the worker took it.
        ending: How it went, once that is known.
        over: Whether nothing more comes.
        trouble: What failed, if something did.
        files: The pictures of each output node, in the order of the nodes' ends.
        node: Which node is at work.
        step: How far that node is, and out of how many steps.
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
        """Take a frame in, and say whether it was about this prompt."""
        if isinstance(frame, Status) or frame.data.prompt_id != self.prompt_id:
            return False
        self.started = True
        match frame:
            case Executing(data=data):
                self.node, self.step = data.node, None
                self.finished = self.finished or data.node is None
            case ProgressMessage(data=data):
                self.node = data.node or self.node
                self.step = _read_step(data)
            case NodeExecuted(data=data):
                self._store_files(data.node or "", data.output)
            case ExecutionSucceeded():
                self.outcome = "success"
            case ExecutionFailed(data=data):
                self.outcome, self.error = "error", data
            case ExecutionInterrupted(data=data):
                self.outcome, self.error = "interrupted", data
            case ExecutionStarted() | ExecutionCached():
                pass
        return True

    def apply_history(self, entry: "PromptHistory") -> None:
        """Take in what the history says, which is the last word."""
        self.started = self.finished = True
        self.outcome, self.error = entry.outcome, entry.error
        for node, output in entry.outputs.items():
            self._store_files(node, output)

    def _store_files(self, node: str, output: object) -> None:
        if files := extract_files(output):
            self.files[node] = files


def _read_step(data: ProgressData) -> tuple[int, int] | None:
    most = int(data.max)
    return (min(most, max(0, int(data.value))), most) if most >= 1 else None


class QueueResponse(msgspec.Struct, frozen=True):
    """Who is at work and who waits, as raw items: each has a whole graph inside."""

    queue_running: tuple[msgspec.Raw, ...] = ()
    queue_pending: tuple[msgspec.Raw, ...] = ()


class QueuePosition(msgspec.Struct, frozen=True):
    """Where a prompt is.

    Attributes:
        running: Whether it is at work.
        ahead: How many go before it.
    """

    running: bool
    ahead: int = 0


class _Item(msgspec.Struct, frozen=True, array_like=True):
    number: float
    prompt_id: str


class _QueuedPrompt(msgspec.Struct, frozen=True, array_like=True):
    """A prompt with its graph, as the queue and the history have it."""

    number: float
    prompt_id: str
    graph: object = None
    extra_data: dict[str, object] = {}

    @property
    def sent_at(self) -> float | None:
        """When we sent it, in seconds since 1970; None when it was not us."""
        moment = self.extra_data.get(SENT_AT_KEY)
        return moment if isinstance(moment, float) else None


class _HistoryEntry(msgspec.Struct, frozen=True):
    prompt: _QueuedPrompt | None = None


def find_queue_position(queue: bytes, prompt_id: str) -> QueuePosition | None:
    """Return where the prompt is, or None if it is not in the queue.

    Raises:
        msgspec.DecodeError: it is no queue.
    """
    read = msgspec.json.decode(queue, type=QueueResponse)
    running = [_decode_item(item) for item in read.queue_running]
    pending = [_decode_item(item) for item in read.queue_pending]
    if any(item.prompt_id == prompt_id for item in running):
        return QueuePosition(running=True)
    for mine in pending:
        if mine.prompt_id == prompt_id:
            ahead = sum(item.number < mine.number for item in pending)
            return QueuePosition(running=False, ahead=len(running) + ahead)
    return None


def find_prompts(
    queue: bytes, history: bytes, graph: ApiWorkflow, *, since: float
) -> tuple[str, ...]:
    """Return the names of all prompts with just this graph.

    Args:
        queue: What waits or runs.
        history: What is over.
        graph: The graph.
        since: Seconds since 1970; what we sent before does not count.

    Raises:
        msgspec.DecodeError: it is no queue or no history.
    """
    read = msgspec.json.decode(queue, type=QueueResponse)
    entries = msgspec.json.decode(history, type=dict[str, _HistoryEntry])
    orders = [
        *(_decode_prompt(item) for item in read.queue_running),
        *(_decode_prompt(item) for item in read.queue_pending),
        *(entry.prompt for entry in entries.values() if entry.prompt),
    ]
    wanted = msgspec.json.decode(msgspec.json.encode(graph))
    alike = [
        order.prompt_id
        for order in orders
        if order.graph == wanted and (order.sent_at or since) >= since
    ]
    return tuple(dict.fromkeys(alike))


def _decode_prompt(item: msgspec.Raw) -> _QueuedPrompt:
    return msgspec.json.decode(item, type=_QueuedPrompt)


def _decode_item(item: msgspec.Raw) -> _Item:
    return msgspec.json.decode(item, type=_Item)


class HistoryStatus(msgspec.Struct, frozen=True):
    """How it went; each message is an event and its data."""

    status_str: str = ""
    completed: bool = False
    messages: tuple[tuple[str, msgspec.Raw], ...] = ()


class PromptHistory(msgspec.Struct, frozen=True):
    """What the server remembers of a prompt that is over."""

    outputs: Mapping[str, object] = {}
    status: HistoryStatus | None = None

    outcomes: ClassVar[Mapping[str, PromptOutcome]] = {
        "execution_success": "success",
        "execution_error": "error",
        "execution_interrupted": "interrupted",
    }

    @property
    def outcome(self) -> PromptOutcome:
        """How it went; only the last message tells an interruption from an error."""
        if self.status is None:
            return "success"
        for event, _ in reversed(self.status.messages):
            if event in self.outcomes:
                return self.outcomes[event]
        return "success" if self.status.completed else "error"

    @property
    def error(self) -> ErrorData:
        """What failed, if something did."""
        for event, data in reversed(self.status.messages if self.status else ()):
            if event in {"execution_error", "execution_interrupted"}:
                return msgspec.json.decode(data, type=ErrorData)
        return ErrorData()


def parse_history(history: bytes, prompt_id: str) -> PromptHistory | None:
    """Return what is remembered of the prompt; None if nothing is.

    Raises:
        msgspec.DecodeError: it is no history.
    """
    entries = msgspec.json.decode(history, type=dict[str, msgspec.Raw])
    if prompt_id not in entries:
        return None
    return msgspec.json.decode(entries[prompt_id], type=PromptHistory)
