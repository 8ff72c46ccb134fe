"""Explanations of rejected and failed prompts, in sentences without server paths.

The error types and shapes were observed on ComfyUI 0.3.64.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from imagen.adapters.backends.comfyui.graph import ApiWorkflow
from imagen.adapters.backends.comfyui.protocol import ErrorData
from imagen.domain.errors import BackendError

MAX_CHOICES = 12
"""Number of choices that a message lists before it says "and N more"."""

_MAX_VALUE_LENGTH = 200
_NO_REASON = "The server does not say why."


class _ExtraInfo(msgspec.Struct, frozen=True):
    input_name: str | None = None
    input_config: object = None
    received_value: object = None
    received_type: object = None
    exception_type: str | None = None


class _ValidationError(msgspec.Struct, frozen=True):
    type: str = ""
    message: str = ""
    details: str = ""
    extra_info: _ExtraInfo = _ExtraInfo()


class _NodeErrors(msgspec.Struct, frozen=True):
    errors: tuple[_ValidationError, ...] = ()
    dependent_outputs: tuple[str, ...] = ()
    class_type: str = ""


class _ErrorResponse(msgspec.Struct, frozen=True):
    error: object = None
    node_errors: object = None


def explain_refusal(answer: bytes, graph: ApiWorkflow) -> str:
    """Return why a prompt was rejected, in one or more sentences."""
    try:
        response = msgspec.json.decode(answer, type=_ErrorResponse)
    except (msgspec.DecodeError, UnicodeError):
        return _NO_REASON
    # `error.details` is empty when a node above the output node is invalid, so the
    # node errors come first.
    errors = explain_node_errors(response.node_errors, graph)
    return " ".join(errors.values()) or _explain_general_error(response.error, graph)


def is_about_installation(answer: bytes) -> bool:
    """Return whether a prompt was rejected because a node or a file is missing."""
    return b'"value_not_in_list"' in answer or b'"invalid_prompt"' in answer


def explain_node_errors(
    node_errors: object, graph: ApiWorkflow, *, outputs: Iterable[str] | None = None
) -> dict[str, str]:
    """Return the errors of each node, in sentences, by node id.

    With `outputs`, leave out errors that affect none of these output nodes.
    """
    try:
        nodes = msgspec.convert(node_errors or {}, dict[str, _NodeErrors])
    except msgspec.ValidationError:
        return {"": "The server reported node errors in an unknown format."}
    wanted = None if outputs is None else set(outputs)
    return {
        node: " ".join(
            dict.fromkeys(
                f"{display_node_name(graph, node, found.class_type)}: "
                f"{_explain_error(error)}."
                for error in found.errors
            )
        )
        for node, found in nodes.items()
        if found.errors
        and (wanted is None or wanted & {*found.dependent_outputs, node})
    }


def display_node_name(graph: ApiWorkflow, node: str, class_type: str = "") -> str:
    """Return a node's title, class and id for a message."""
    entry = graph.get(node, {})
    kind = class_type or str(entry.get("class_type", ""))
    meta = entry.get("_meta")
    title: object = meta.get("title") if isinstance(meta, Mapping) else None  # pyright: ignore[reportUnknownVariableType] - JSON
    if isinstance(title, str) and title and title != kind:
        name = _truncate(repr(title))
        return f"{name} ({kind}, node {node})" if kind else name
    return f"{kind} (node {node})" if kind else f"node {node}"


def _explain_error(error: _ValidationError) -> str:
    info = error.extra_info
    name, kind = info.input_name, _first_item(info.input_config)
    value = _truncate(repr(info.received_value))
    match error.type:
        case "value_not_in_list":
            text = f"{name}: {value} is not on this server"
            choices = parse_choices(info.input_config)
            # The server sends up to 20 choices; for a longer list the config is null.
            if choices is None:
                return text
            some = f"it has: {join_choices(choices)}" if choices else "it has none"
            return f"{text}; {some}"
        case "value_smaller_than_min" | "value_bigger_than_max":
            text = f"{name}: {value} is out of range"
            limits = _input_options(info.input_config)
            if "min" in limits and "max" in limits:
                return f"{text} ({limits['min']} to {limits['max']})"
            return text
        case "invalid_input_type" if isinstance(kind, str):
            return f"{name}: {value} is not a value of type {kind}"
        case "invalid_input_type":
            return f"{name}: {value} has the wrong type"
        case "required_input_missing":
            return f"{name or error.details}: the input is missing"
        case "return_type_mismatch":
            received = _truncate(repr(info.received_type))
            return f"{name}: linked to a value of type {received}, not {kind}"
        case "exception_during_validation" | "exception_during_inner_validation":
            # The details are a traceback with server paths.
            if info.exception_type in {"KeyError", "IndexError"}:
                return "one of its links leads to a node or output that does not exist"
            return f"the server failed to validate it ({info.exception_type})"
        case "custom_validation_failed":
            details = remove_paths(error.details)
            # They start with the input's name: "image - Invalid image file: x.png".
            return f"{name}: {details.removeprefix(f'{name} - ')}" if name else details
        case _:
            text = (error.message or error.type).rstrip(".")
            return f"{name}: {text}" if name else text


def _explain_general_error(error: object, graph: ApiWorkflow) -> str:
    """Explain a response without node errors."""
    if isinstance(error, str):
        return f"{remove_paths(error).rstrip('.')}."
    try:
        found = msgspec.convert(error, _ValidationError)
    except msgspec.ValidationError:
        return _NO_REASON
    node = found.details.removeprefix("Node ID '#").removesuffix("'")
    if node in graph:
        reason = remove_paths(found.message).rstrip(".")
        return f"{display_node_name(graph, node)}: {reason}."
    if found.type == "prompt_no_outputs":
        return "The workflow has no output node, such as SaveImage."
    # The only known cause without node errors is a cycle (observed on 0.3.64).
    if found.type == "prompt_outputs_failed_validation":
        return "The nodes are linked in a cycle, or in another invalid way."
    return f"{remove_paths(found.message or found.type).rstrip('.')}."


def explain_failure(error: ErrorData, graph: ApiWorkflow) -> BackendError:
    """Return an error with the node that failed and its exception, in one sentence."""
    node = display_node_name(graph, error.node_id or "?", error.node_type or "")
    reason = remove_paths(error.exception_message or "").rstrip(".")
    kind = (error.exception_type or "").rsplit(".", maxsplit=1)[-1]
    text = f"{kind} {reason}".lower()
    if "outofmemory" in text or "out of memory" in text or kind == "MemoryError":
        return BackendError(
            f"{node} ran out of memory.",
            hint="Use a smaller size or a smaller model, or free memory on the server.",
        )
    if details := ": ".join(filter(None, (kind, reason))):
        return BackendError(f"{node} failed: {details}.")
    return BackendError(f"{node} failed without an error message.")


def remove_paths(text: str) -> str:
    """Return the server's text as one line, with file names instead of paths."""
    words = " ".join(text.split()).split(" ")
    return _truncate(" ".join(map(_strip_folders, words)))


def _strip_folders(word: str) -> str:
    bare = word.lstrip("\"'([")
    if not bare.startswith(("/", "~/")) and ":\\" not in bare:
        return word
    opening = word[: len(word) - len(bare)]
    return opening + bare.replace("\\", "/").rsplit("/", maxsplit=1)[-1]


def parse_choices(config: object) -> list[object] | None:
    """Return the values that an input accepts; None if it accepts any."""
    first = _first_item(config)
    if isinstance(first, list):
        return list(first)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON
    # Newer servers: ["COMBO", {"options": [...]}].
    options = _input_options(config).get("options")
    return list(options) if isinstance(options, list) else None  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON


def join_choices(choices: Sequence[object]) -> str:
    """Return the choices separated by commas, at most `MAX_CHOICES` of them."""
    listed = ", ".join(map(str, choices[:MAX_CHOICES]))
    more = len(choices) - MAX_CHOICES
    return f"{listed} and {more} more" if more > 0 else listed


def _first_item(config: object) -> object:
    return config[0] if isinstance(config, list) and config else None  # pyright: ignore[reportUnknownVariableType] - JSON


def _input_options(config: object) -> Mapping[str, object]:
    if isinstance(config, list) and len(config) > 1 and isinstance(config[1], dict):  # pyright: ignore[reportUnknownArgumentType] - JSON
        return config[1]  # pyright: ignore[reportUnknownVariableType] - JSON
    return {}


def _truncate(text: str) -> str:
    if len(text) <= _MAX_VALUE_LENGTH:
        return text
    return text[: _MAX_VALUE_LENGTH - 3] + "..."


def build_lost_error(name: str) -> BackendError:
    """Return the error of a prompt that is neither queued nor finished."""
    return BackendError(
        f"{name} no longer has the job: it was restarted, its history was"
        " cleared, or another client deleted it from the queue."
    )


def build_no_image_error(
    name: str, graph: ApiWorkflow, outputs: Iterable[str]
) -> BackendError:
    """Return the error of a prompt that finished without a requested image."""
    nodes = (display_node_name(graph, node) for node in outputs)
    return BackendError(
        f"{name} finished the job without an image from {', '.join(nodes)}.",
        hint="The workflow must end in SaveImage or PreviewImage.",
    )
