"""What a ComfyUI server says, as values; nothing is sent or awaited here.

Seen on 0.3.64. Whatever is not understood is passed over, as newer servers say more.
"""

from collections.abc import Callable, Iterable, Mapping
from struct import unpack_from
from typing import ClassVar, Literal, TypeAlias

import msgspec

Graph: TypeAlias = Mapping[str, Mapping[str, object]]
"""A workflow in API form: each node's class, inputs and title, by its id."""

MOST_CHOICES = 12
"""Names that a message lists; the rest is counted."""

_PREVIEW, _PREVIEW_WITH_METADATA = 1, 4
_IMAGE_TYPES = {1: "image/jpeg", 2: "image/png"}
_SHOWN_LENGTH = 200

PICTURES_PLEASE = {"preview_method": "auto"}
"""What in a prompt's extra data has newer servers send pictures on the way, however
they were started."""

SENT_AT = "imagen_sent_at"
"""What we call, in a prompt's extra data, the moment in which we sent it: the server
keeps that, and only newer ones say themselves when a prompt was handed in."""


class File(msgspec.Struct, frozen=True):
    """Where the server put a picture; asked for with exactly these words."""

    filename: str
    subfolder: str = ""
    type: str = "output"


# Frames


class ExecInfo(msgspec.Struct, frozen=True):
    """How much there is to do."""

    queue_remaining: int | None = None


class Queueing(msgspec.Struct, frozen=True):
    """The inner part of a status."""

    exec_info: ExecInfo = ExecInfo()


class StatusData(msgspec.Struct, frozen=True):
    """What a status frame says."""

    status: Queueing = Queueing()
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


def extract_files(output: object) -> tuple[File, ...]:
    """Return the pictures among what an output node made."""
    if not isinstance(output, Mapping):
        return ()
    images: object = output.get("images")  # pyright: ignore[reportUnknownVariableType] - JSON
    if not isinstance(images, list):
        return ()
    found: list[File] = []
    for image in images:  # pyright: ignore[reportUnknownVariableType] - JSON
        try:
            found.append(msgspec.convert(image, File))
        except msgspec.ValidationError:
            continue
    return tuple(found)


# Answers


class PromptAccepted(msgspec.Struct, frozen=True):
    """The prompt is in the queue, perhaps without some of its outputs."""

    prompt_id: str
    node_errors: object = None


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
    queue: bytes, history: bytes, graph: Graph, *, since: float
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


# Refusals


class _ExtraInfo(msgspec.Struct, frozen=True):
    input_name: str | None = None
    input_config: object = None
    received_value: object = None
    received_type: object = None
    exception_type: str | None = None


class _Fault(msgspec.Struct, frozen=True):
    type: str = ""
    message: str = ""
    details: str = ""
    extra_info: _ExtraInfo = _ExtraInfo()


class _NodeFaults(msgspec.Struct, frozen=True):
    errors: tuple[_Fault, ...] = ()
    dependent_outputs: tuple[str, ...] = ()
    class_type: str = ""


class _Refusal(msgspec.Struct, frozen=True):
    error: object = None
    node_errors: object = None


def explain_refusal(answer: bytes, graph: Graph) -> str:
    """Return why a prompt was refused, as one sentence or more, without its paths."""
    try:
        refusal = msgspec.json.decode(answer, type=_Refusal)
    except (msgspec.DecodeError, UnicodeError):
        return "The server does not say why."
    faults = explain_node_errors(refusal.node_errors, graph)
    return " ".join(faults.values()) or _at_large(refusal.error, graph)


def explain_node_errors(
    node_errors: object, graph: Graph, *, outputs: Iterable[str] | None = None
) -> dict[str, str]:
    """Return what is wrong with each node, in sentences.

    Args:
        node_errors: What the server says.
        graph: What it was asked.
        outputs: Only what keeps one of these nodes from its output.
    """
    try:
        nodes = msgspec.convert(node_errors or {}, dict[str, _NodeFaults])
    except msgspec.ValidationError:
        return {"": "The server found faults that it describes in no known way."}
    wanted = None if outputs is None else set(outputs)
    return {
        node: " ".join(
            dict.fromkeys(
                f"{display_node_name(graph, node, faults.class_type)}: "
                f"{_explained(fault)}."
                for fault in faults.errors
            )
        )
        for node, faults in nodes.items()
        if faults.errors
        and (wanted is None or wanted & {*faults.dependent_outputs, node})
    }


def display_node_name(graph: Graph, node: str, class_type: str = "") -> str:
    """Return what a person calls the node: its title and class, or its id."""
    entry = graph.get(node, {})
    kind = class_type or str(entry.get("class_type", ""))
    meta = entry.get("_meta")
    title: object = meta.get("title") if isinstance(meta, Mapping) else None  # pyright: ignore[reportUnknownVariableType] - JSON
    if isinstance(title, str) and title and title != kind:
        return f"{_shown(title)} ({kind}, node {node})" if kind else _shown(title)
    return f"{kind} (node {node})" if kind else f"node {node}"


def _explained(fault: _Fault) -> str:
    told = _EXPLAINED.get(fault.type)
    if told is not None:
        return told(fault)
    name = fault.extra_info.input_name
    return (f"{name}: " if name else "") + (fault.message or fault.type).rstrip(".")


def _not_in_list(fault: _Fault) -> str:
    about = fault.extra_info
    choices = parse_choices(about.input_config)
    said = f"{about.input_name}: {_shown(about.received_value)} is not on this server"
    if choices is None:  # a long list is not sent
        return said
    if not choices:
        return f"{said}, which has none at all"
    shown = ", ".join(map(str, choices[:MOST_CHOICES]))
    more = len(choices) - MOST_CHOICES
    return f"{said}; it has: {shown}" + (f" and {more} more" if more > 0 else "")


def _out_of_bounds(fault: _Fault) -> str:
    about = fault.extra_info
    limits = _limits(about.input_config)
    said = f"{about.input_name}: {_shown(about.received_value)} is out of range"
    if "min" in limits and "max" in limits:
        return f"{said}; it goes from {limits['min']} to {limits['max']}"
    return said


def _wrong_type(fault: _Fault) -> str:
    about = fault.extra_info
    kind = _first(about.input_config)
    wanted = f"a value of type {kind}" if isinstance(kind, str) else "another type"
    return f"{about.input_name}: {_shown(about.received_value)} is not {wanted}"


def _missing(fault: _Fault) -> str:
    return f"{fault.extra_info.input_name or fault.details}: it is missing"


def _wrong_link(fault: _Fault) -> str:
    about = fault.extra_info
    wanted = _first(about.input_config)
    return (
        f"{about.input_name}: it is linked to a value of type "
        f"{_shown(about.received_type)}, not {wanted}"
    )


def _link_to_nowhere(fault: _Fault) -> str:
    if fault.extra_info.exception_type in {"KeyError", "IndexError"}:
        return "one of its links leads to a node or slot that is not there"
    return f"the server failed to look at it ({fault.extra_info.exception_type})"


def _custom(fault: _Fault) -> str:
    name = fault.extra_info.input_name
    details = remove_paths(fault.details)
    said = details.removeprefix(f"{name} - ") if name else details
    return f"{name}: {said}" if name else said


_EXPLAINED: Mapping[str, Callable[[_Fault], str]] = {
    "value_not_in_list": _not_in_list,
    "value_smaller_than_min": _out_of_bounds,
    "value_bigger_than_max": _out_of_bounds,
    "invalid_input_type": _wrong_type,
    "required_input_missing": _missing,
    "return_type_mismatch": _wrong_link,
    "exception_during_validation": _link_to_nowhere,
    "exception_during_inner_validation": _link_to_nowhere,
    "custom_validation_failed": _custom,
}


def _at_large(error: object, graph: Graph) -> str:
    """Explain a refusal that blames no node."""
    if isinstance(error, str):
        return f"{remove_paths(error).rstrip('.')}."
    try:
        fault = msgspec.convert(error, _Fault)
    except msgspec.ValidationError:
        return "The server does not say why."
    node = fault.details.removeprefix("Node ID '#").removesuffix("'")
    if node in graph:
        reason = remove_paths(fault.message).rstrip(".")
        return f"{display_node_name(graph, node)}: {reason}."
    if fault.type == "prompt_no_outputs":
        return "The workflow has no output node, such as SaveImage."
    if fault.type == "prompt_outputs_failed_validation":
        return "Its nodes are linked in a circle, or in another way that cannot work."
    return f"{remove_paths(fault.message or fault.type).rstrip('.')}."


def remove_paths(text: str) -> str:
    """Return one line of a server's words, its folders left out."""
    words = " ".join(text.split()).split(" ")
    return _cut(" ".join(map(_without_folders, words)))


def _without_folders(word: str) -> str:
    bare = word.lstrip("\"'([")
    if not bare.startswith(("/", "~/")) and ":\\" not in bare:
        return word
    opening = word[: len(word) - len(bare)]
    return opening + bare.replace("\\", "/").rsplit("/", maxsplit=1)[-1]


def parse_choices(config: object) -> list[object] | None:
    """Return what an input may be, as its node describes it; None: anything."""
    first = _first(config)
    if isinstance(first, list):
        return list(first)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON
    options = _limits(config).get("options")  # newer servers: ["COMBO", {"options": …}]
    return list(options) if isinstance(options, list) else None  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON


def _first(config: object) -> object:
    return config[0] if isinstance(config, list) and config else None  # pyright: ignore[reportUnknownVariableType] - JSON


def _limits(config: object) -> Mapping[str, object]:
    if isinstance(config, list) and len(config) > 1 and isinstance(config[1], dict):  # pyright: ignore[reportUnknownArgumentType] - JSON
        return config[1]  # pyright: ignore[reportUnknownVariableType] - JSON
    return {}


def _shown(value: object) -> str:
    return _cut(value if isinstance(value, str) and not value else f"{value!r}") or "''"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 3] + "..."


# Failures


class ErrorExplanation(msgspec.Struct, frozen=True):
    """A failure as a sentence, and what to do about it."""

    message: str
    hint: str = ""


def explain_failure(trouble: ErrorData, graph: Graph) -> ErrorExplanation:
    """Return what failed while running, in one sentence."""
    where = display_node_name(graph, trouble.node_id or "?", trouble.node_type or "")
    what = remove_paths(trouble.exception_message or "").rstrip(".")
    kind = (trouble.exception_type or "").rsplit(".", maxsplit=1)[-1]
    if _is_out_of_memory(kind, what):
        return ErrorExplanation(
            f"{where} ran out of memory.",
            hint="Ask for a smaller size, use a smaller model, or free the server's"
            " memory.",
        )
    told = ": ".join(filter(None, (kind, what))) or "it does not say why"
    return ErrorExplanation(f"{where} failed: {told}.")


def _is_out_of_memory(kind: str, what: str) -> bool:
    said = f"{kind} {what}".lower()
    return "outofmemory" in said or "out of memory" in said or kind == "MemoryError"
