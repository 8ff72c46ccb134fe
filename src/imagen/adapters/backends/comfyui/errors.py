"""Why a server refused a prompt or failed over it, in sentences."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from imagen.adapters.backends.comfyui.graph import ApiWorkflow
from imagen.adapters.backends.comfyui.protocol import ErrorData

MAX_CHOICES = 12
"""Names that a message lists; the rest is counted."""


_MAX_VALUE_LENGTH = 200


# Refusals


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
    """Return why a prompt was refused, as one sentence or more, without its paths."""
    try:
        refusal = msgspec.json.decode(answer, type=_ErrorResponse)
    except (msgspec.DecodeError, UnicodeError):
        return "The server does not say why."
    faults = explain_node_errors(refusal.node_errors, graph)
    return " ".join(faults.values()) or _explain_general_error(refusal.error, graph)


def explain_node_errors(
    node_errors: object, graph: ApiWorkflow, *, outputs: Iterable[str] | None = None
) -> dict[str, str]:
    """Return what is wrong with each node, in sentences.

    Args:
        node_errors: What the server says.
        graph: What it was asked.
        outputs: Only what keeps one of these nodes from its output.
    """
    try:
        nodes = msgspec.convert(node_errors or {}, dict[str, _NodeErrors])
    except msgspec.ValidationError:
        return {"": "The server found faults that it describes in no known way."}
    wanted = None if outputs is None else set(outputs)
    return {
        node: " ".join(
            dict.fromkeys(
                f"{display_node_name(graph, node, faults.class_type)}: "
                f"{_explain_error(fault)}."
                for fault in faults.errors
            )
        )
        for node, faults in nodes.items()
        if faults.errors
        and (wanted is None or wanted & {*faults.dependent_outputs, node})
    }


def display_node_name(graph: ApiWorkflow, node: str, class_type: str = "") -> str:
    """Return what a person calls the node: its title and class, or its id."""
    entry = graph.get(node, {})
    kind = class_type or str(entry.get("class_type", ""))
    meta = entry.get("_meta")
    title: object = meta.get("title") if isinstance(meta, Mapping) else None  # pyright: ignore[reportUnknownVariableType] - JSON
    if isinstance(title, str) and title and title != kind:
        return (
            f"{_display_value(title)} ({kind}, node {node})"
            if kind
            else _display_value(title)
        )
    return f"{kind} (node {node})" if kind else f"node {node}"


def _explain_error(fault: _ValidationError) -> str:
    told = _EXPLANATIONS.get(fault.type)
    if told is not None:
        return told(fault)
    name = fault.extra_info.input_name
    return (f"{name}: " if name else "") + (fault.message or fault.type).rstrip(".")


def _explain_not_in_list(fault: _ValidationError) -> str:
    about = fault.extra_info
    choices = parse_choices(about.input_config)
    said = f"{about.input_name}: {_display_value(about.received_value)} is not on this server"
    if choices is None:  # a long list is not sent
        return said
    if not choices:
        return f"{said}, which has none at all"
    shown = ", ".join(map(str, choices[:MAX_CHOICES]))
    more = len(choices) - MAX_CHOICES
    return f"{said}; it has: {shown}" + (f" and {more} more" if more > 0 else "")


def _explain_out_of_bounds(fault: _ValidationError) -> str:
    about = fault.extra_info
    limits = _input_options(about.input_config)
    said = f"{about.input_name}: {_display_value(about.received_value)} is out of range"
    if "min" in limits and "max" in limits:
        return f"{said}; it goes from {limits['min']} to {limits['max']}"
    return said


def _explain_wrong_type(fault: _ValidationError) -> str:
    about = fault.extra_info
    kind = _first_item(about.input_config)
    wanted = f"a value of type {kind}" if isinstance(kind, str) else "another type"
    return f"{about.input_name}: {_display_value(about.received_value)} is not {wanted}"


def _explain_missing_input(fault: _ValidationError) -> str:
    return f"{fault.extra_info.input_name or fault.details}: it is missing"


def _explain_wrong_link(fault: _ValidationError) -> str:
    about = fault.extra_info
    wanted = _first_item(about.input_config)
    return (
        f"{about.input_name}: it is linked to a value of type "
        f"{_display_value(about.received_type)}, not {wanted}"
    )


def _explain_broken_link(fault: _ValidationError) -> str:
    if fault.extra_info.exception_type in {"KeyError", "IndexError"}:
        return "one of its links leads to a node or slot that is not there"
    return f"the server failed to look at it ({fault.extra_info.exception_type})"


def _explain_custom(fault: _ValidationError) -> str:
    name = fault.extra_info.input_name
    details = remove_paths(fault.details)
    said = details.removeprefix(f"{name} - ") if name else details
    return f"{name}: {said}" if name else said


_EXPLANATIONS: Mapping[str, Callable[[_ValidationError], str]] = {
    "value_not_in_list": _explain_not_in_list,
    "value_smaller_than_min": _explain_out_of_bounds,
    "value_bigger_than_max": _explain_out_of_bounds,
    "invalid_input_type": _explain_wrong_type,
    "required_input_missing": _explain_missing_input,
    "return_type_mismatch": _explain_wrong_link,
    "exception_during_validation": _explain_broken_link,
    "exception_during_inner_validation": _explain_broken_link,
    "custom_validation_failed": _explain_custom,
}


def _explain_general_error(error: object, graph: ApiWorkflow) -> str:
    """Explain a refusal that blames no node."""
    if isinstance(error, str):
        return f"{remove_paths(error).rstrip('.')}."
    try:
        fault = msgspec.convert(error, _ValidationError)
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
    return _truncate(" ".join(map(_strip_folders, words)))


def _strip_folders(word: str) -> str:
    bare = word.lstrip("\"'([")
    if not bare.startswith(("/", "~/")) and ":\\" not in bare:
        return word
    opening = word[: len(word) - len(bare)]
    return opening + bare.replace("\\", "/").rsplit("/", maxsplit=1)[-1]


def parse_choices(config: object) -> list[object] | None:
    """Return what an input may be, as its node describes it; None: anything."""
    first = _first_item(config)
    if isinstance(first, list):
        return list(first)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON
    options = _input_options(config).get(
        "options"
    )  # newer servers: ["COMBO", {"options": …}]
    return list(options) if isinstance(options, list) else None  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON


def _first_item(config: object) -> object:
    return config[0] if isinstance(config, list) and config else None  # pyright: ignore[reportUnknownVariableType] - JSON


def _input_options(config: object) -> Mapping[str, object]:
    if isinstance(config, list) and len(config) > 1 and isinstance(config[1], dict):  # pyright: ignore[reportUnknownArgumentType] - JSON
        return config[1]  # pyright: ignore[reportUnknownVariableType] - JSON
    return {}


def _display_value(value: object) -> str:
    return (
        _truncate(value if isinstance(value, str) and not value else f"{value!r}")
        or "''"
    )


def _truncate(text: str) -> str:
    return (
        text
        if len(text) <= _MAX_VALUE_LENGTH
        else text[: _MAX_VALUE_LENGTH - 3] + "..."
    )


# Failures


class ErrorExplanation(msgspec.Struct, frozen=True):
    """A failure as a sentence, and what to do about it."""

    message: str
    hint: str = ""


def explain_failure(trouble: ErrorData, graph: ApiWorkflow) -> ErrorExplanation:
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
