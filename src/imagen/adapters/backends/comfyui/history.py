"""One prompt, as its frames, the queue and the history tell it."""

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

import msgspec

from imagen.adapters.backends.comfyui.graph import ApiWorkflow
from imagen.adapters.backends.comfyui.protocol import (
    SENT_AT,
    ErrorData,
    Executing,
    ExecutionCached,
    ExecutionFailed,
    ExecutionInterrupted,
    ExecutionStarted,
    ExecutionSucceeded,
    File,
    Frame,
    NodeExecuted,
    ProgressData,
    ProgressMessage,
    Status,
    extract_files,
)

# One prompt, as its frames tell it

Ending: TypeAlias = Literal["success", "error", "interrupted"]


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
        self.begun = False
        self.ending: Ending | None = None
        self.over = False
        self.trouble = ErrorData()
        self.files: dict[str, tuple[File, ...]] = {}
        self.node: str | None = None
        self.step: tuple[int, int] | None = None

    def hear(self, frame: Frame) -> bool:
        """Take a frame in, and say whether it was about this prompt."""
        if isinstance(frame, Status) or frame.data.prompt_id != self.prompt_id:
            return False
        self.begun = True
        match frame:
            case Executing(data=data):
                self.node, self.step = data.node, None
                self.over = self.over or data.node is None
            case ProgressMessage(data=data):
                self.node = data.node or self.node
                self.step = _step(data)
            case NodeExecuted(data=data):
                self._keep(data.node or "", data.output)
            case ExecutionSucceeded():
                self.ending = "success"
            case ExecutionFailed(data=data):
                self.ending, self.trouble = "error", data
            case ExecutionInterrupted(data=data):
                self.ending, self.trouble = "interrupted", data
            case ExecutionStarted() | ExecutionCached():
                pass
        return True

    def conclude(self, entry: "PromptHistory") -> None:
        """Take in what the history says, which is the last word."""
        self.begun = self.over = True
        self.ending, self.trouble = entry.ending, entry.trouble
        for node, output in entry.outputs.items():
            self._keep(node, output)

    def _keep(self, node: str, output: object) -> None:
        if files := extract_files(output):
            self.files[node] = files


def _step(data: ProgressData) -> tuple[int, int] | None:
    most = int(data.max)
    return (min(most, max(0, int(data.value))), most) if most >= 1 else None


class Queue(msgspec.Struct, frozen=True):
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
        moment = self.extra_data.get(SENT_AT)
        return moment if isinstance(moment, float) else None


class _Remembered(msgspec.Struct, frozen=True):
    prompt: _QueuedPrompt | None = None


def find_queue_position(queue: bytes, prompt_id: str) -> QueuePosition | None:
    """Return where the prompt is, or None if it is not in the queue.

    Raises:
        msgspec.DecodeError: it is no queue.
    """
    read = msgspec.json.decode(queue, type=Queue)
    running = [_item(item) for item in read.queue_running]
    pending = [_item(item) for item in read.queue_pending]
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
    read = msgspec.json.decode(queue, type=Queue)
    entries = msgspec.json.decode(history, type=dict[str, _Remembered])
    orders = [
        *(_order(item) for item in read.queue_running),
        *(_order(item) for item in read.queue_pending),
        *(entry.prompt for entry in entries.values() if entry.prompt),
    ]
    wanted = msgspec.json.decode(msgspec.json.encode(graph))
    alike = [
        order.prompt_id
        for order in orders
        if order.graph == wanted and (order.sent_at or since) >= since
    ]
    return tuple(dict.fromkeys(alike))


def _order(item: msgspec.Raw) -> _QueuedPrompt:
    return msgspec.json.decode(item, type=_QueuedPrompt)


def _item(item: msgspec.Raw) -> _Item:
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

    endings: ClassVar[Mapping[str, Ending]] = {
        "execution_success": "success",
        "execution_error": "error",
        "execution_interrupted": "interrupted",
    }

    @property
    def ending(self) -> Ending:
        """How it went; only the last message tells an interruption from an error."""
        if self.status is None:
            return "success"
        for event, _ in reversed(self.status.messages):
            if event in self.endings:
                return self.endings[event]
        return "success" if self.status.completed else "error"

    @property
    def trouble(self) -> ErrorData:
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
