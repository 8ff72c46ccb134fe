"""What ComfyUI decides about a graph before and while it runs, as pure functions."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Graph = Mapping[str, Mapping[str, object]]
Errors = list[dict[str, object]]

SOURCE = "/srv/comfyui/execution.py"
MANY = 20


@dataclass(frozen=True)
class Checked:
    """What validation said: an error to answer with, or the outputs that can run."""

    error: dict[str, object] | None
    node_errors: dict[str, object]
    outputs: list[str]


@dataclass(frozen=True)
class Picture:
    """What flows along a link, as far as anybody can see it: size and number."""

    width: int = 512
    height: int = 512
    count: int = 1


def is_link(value: object) -> bool:
    """Tell whether an input is `[node id, slot]`."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], (int, float))
    )


def inputs_of(graph: Graph, node: str) -> Mapping[str, object]:
    """Give the inputs of a node."""
    inputs = graph[node].get("inputs", {})
    return inputs if isinstance(inputs, Mapping) else {}


def class_of(graph: Graph, node: str) -> str:
    """Give the class of a node."""
    return str(graph[node]["class_type"])


def links_of(graph: Graph, node: str) -> Iterator[tuple[str, str, int]]:
    """List the links into a node as input name, node and slot."""
    for name, value in inputs_of(graph, node).items():
        if is_link(value):
            yield name, value[0], int(value[1])


def check(
    graph: Graph,
    nodes: Mapping[str, Mapping[str, object]],
) -> Checked:
    """Validate a graph as the server does; raises as it does on what is no graph."""
    outputs: list[str] = []
    for node in graph:
        if "class_type" not in graph[node]:
            return _refused(
                "invalid_prompt",
                "Cannot execute because a node is missing the class_type property.",
                f"Node ID '#{node}'",
            )
        schema = nodes.get(class_of(graph, node))
        if schema is None:
            return _refused(
                "invalid_prompt",
                f"Cannot execute because node {class_of(graph, node)} does not exist.",
                f"Node ID '#{node}'",
            )
        if schema["output_node"]:
            outputs.append(node)
    if not outputs:
        return _refused("prompt_no_outputs", "Prompt has no outputs", "")

    good: list[str] = []
    told: list[str] = []
    node_errors: dict[str, object] = {}
    if _has_cycle(graph, outputs):
        return _refused(
            "prompt_outputs_failed_validation", "Prompt outputs failed validation", ""
        )
    seen: dict[str, tuple[bool, Errors]] = {}
    for output in outputs:
        try:
            valid, reasons = _check_node(graph, nodes, output, seen)
        except (KeyError, IndexError) as error:
            valid, reasons = False, [_raised(error)]
            seen[output] = (False, reasons)
        if valid:
            good.append(output)
            continue
        told += [f"{reason['message']}: {reason['details']}" for reason in reasons]
        for node, (fine, faults) in seen.items():
            if fine or not faults or output not in _downstream(graph, node):
                continue
            entry = node_errors.setdefault(
                node,
                {
                    "errors": faults,
                    "dependent_outputs": [],
                    "class_type": class_of(graph, node),
                },
            )
            entry["dependent_outputs"].append(output)
    if not good:
        refused = _refused(
            "prompt_outputs_failed_validation",
            "Prompt outputs failed validation",
            "\n".join(told),
        )
        return Checked(refused.error, node_errors, [])
    return Checked(None, node_errors, good)


@dataclass
class Order:
    """Which node runs next: the ready one nearest to an output, as the server picks."""

    graph: Graph
    outputs: Sequence[str]
    nodes: Mapping[str, Mapping[str, object]]
    cached: Collection[str]
    _pending: list[str] = field(default_factory=list)
    _waits: dict[str, set[str]] = field(default_factory=dict)
    _blocks: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for output in self.outputs:
            stack = [output]
            while stack:
                node = stack.pop()
                if node in self._waits:
                    continue
                self._pending.append(node)
                self._waits[node] = set()
                self._blocks.setdefault(node, [])
                for _, source, _ in links_of(self.graph, node):
                    if source in self.cached or source not in self.graph:
                        continue
                    stack.append(source)
                    self._waits[node].add(source)
                    self._blocks.setdefault(source, []).append(node)

    def __iter__(self) -> Iterator[str]:
        while self._pending:
            node = self._pick()
            yield node
            self._pending.remove(node)
            for blocked in self._blocks[node]:
                self._waits[blocked].discard(node)

    def _pick(self) -> str:
        ready = [node for node in self._pending if not self._waits[node]]
        for node in ready:
            if self._is_output(node):
                return node
        for node in ready:
            if any(self._is_output(after) for after in self._blocks[node]):
                return node
        for node in ready:
            for after in self._blocks[node]:
                if any(self._is_output(last) for last in self._blocks[after]):
                    return node
        return ready[0]

    def _is_output(self, node: str) -> bool:
        return bool(self.nodes[class_of(self.graph, node)]["output_node"])


def signatures(graph: Graph) -> dict[str, str]:
    """Name each node by what it would make: its class, its inputs, its ancestors."""
    names: dict[str, str] = {}

    def name(node: str) -> str:
        if node not in names:
            inputs = {
                key: [name(value[0]), value[1]]
                if is_link(value) and value[0] in graph
                else value
                for key, value in sorted(inputs_of(graph, node).items())
            }
            told = json.dumps([class_of(graph, node), inputs])
            names[node] = hashlib.sha256(told.encode()).hexdigest()
        return names[node]

    return {node: name(node) for node in graph}


def picture_at(graph: Graph, node: str) -> Picture:
    """Follow the links up from a node to learn how large its pictures are."""
    inputs = inputs_of(graph, node)
    if "batch_size" in inputs:
        kind = class_of(graph, node)
        grid = 1 if kind == "EmptyImage" else 16 if "Flux2" in kind else 8
        width, height = (
            int(inputs[side]) // grid * grid for side in ("width", "height")
        )
        return Picture(width, height, int(inputs["batch_size"]))
    for name in ("latent_image", "samples", "images", "video"):
        if is_link(inputs.get(name)):
            return picture_at(graph, inputs[name][0])
    return Picture()


def steps_of(graph: Graph, node: str) -> int:
    """Count the steps that a sampler will show."""
    inputs = inputs_of(graph, node)
    if is_link(inputs.get("sigmas")):
        return steps_of(graph, inputs["sigmas"][0])
    return max(1, int(inputs.get("steps", 1)))


def _refused(kind: str, message: str, details: str) -> Checked:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return Checked(error, {}, [])


def _check_node(
    graph: Graph,
    nodes: Mapping[str, Mapping[str, object]],
    node: str,
    seen: dict[str, tuple[bool, Errors]],
) -> tuple[bool, Errors]:
    if node in seen:
        return seen[node]
    inputs: dict[str, object] = graph[node]["inputs"]
    schema = nodes[class_of(graph, node)]
    wanted: dict[str, dict[str, list[object]]] = schema["input"]
    errors: Errors = []
    valid = True
    for name, info in {**wanted["required"], **wanted.get("optional", {})}.items():
        config = [info[0], info[1] if len(info) > 1 else {}]
        if name not in inputs:
            if name in wanted["required"]:
                errors.append(
                    _fault(
                        "required_input_missing",
                        "Required input is missing",
                        name,
                        input_name=name,
                    )
                )
            continue
        value = inputs[name]
        if not isinstance(value, list):
            if (class_of(graph, node), name) != ("LoadImage", "image"):
                inputs[name], faults = _check_value(name, value, config)
                errors += faults
            elif value not in config[0]:
                errors.append(
                    _fault(
                        "custom_validation_failed",
                        "Custom validation failed for node",
                        f"image - Invalid image file: {value}",
                        input_name="image",
                    )
                )
            continue
        if len(value) != 2:
            errors.append(
                _fault(
                    "bad_linked_input",
                    "Bad linked input, must be a length-2 list of "
                    "[node_id, slot_index]",
                    name,
                    input_name=name,
                    input_config=config,
                    received_value=value,
                )
            )
            continue
        source, slot = value
        given: Sequence[str] = nodes[class_of(graph, source)]["output"]
        received = tuple(given)[slot]
        if received != config[0]:
            errors.append(
                _fault(
                    "return_type_mismatch",
                    "Return type mismatch between linked nodes",
                    f"{name}, received_type({received}) "
                    f"mismatch input_type({config[0]})",
                    input_name=name,
                    input_config=config,
                    received_type=received,
                    linked_node=value,
                )
            )
            continue
        try:
            fine, _ = _check_node(graph, nodes, source, seen)
        except (KeyError, IndexError) as error:
            seen[source] = (
                False,
                [
                    _fault(
                        "exception_during_inner_validation",
                        "Exception when validating inner node",
                        str(error),
                        input_name=name,
                        input_config=config,
                        exception_message=str(error),
                        exception_type=type(error).__name__,
                        traceback=_traceback("validate_inputs"),
                        linked_node=value,
                    )
                ],
            )
            fine = False
        valid = valid and fine
    seen[node] = (valid and not errors, errors)
    return seen[node]


def _check_value(
    name: str, value: object, config: list[object]
) -> tuple[object, Errors]:
    """Turn a value into what the node wants, as upstream does, or say why not."""
    kind, limits = config
    about = {"input_name": name, "input_config": config, "received_value": value}
    makers: dict[str, Callable[..., object]] = {
        "INT": int,
        "FLOAT": float,
        "STRING": str,
        "BOOLEAN": bool,
    }
    if isinstance(kind, list):
        if value in kind:
            return value, []
        many = len(kind) > MANY
        shown = f"(list of length {len(kind)})" if many else str(kind)
        told = f"{name}: '{value}' not in {shown}"
        about["input_config"] = None if many else config
        return value, [_fault("value_not_in_list", "Value not in list", told, **about)]
    if kind not in makers:
        return value, []
    try:
        made = makers[str(kind)](value)
    except (TypeError, ValueError) as error:
        message = f"Failed to convert an input value to a {kind} value"
        told = f"{name}, {value}, {error}"
        about["exception_message"] = str(error)
        return value, [_fault("invalid_input_type", message, told, **about)]
    least, most = limits.get("min"), limits.get("max")
    about["received_value"] = made
    if least is not None and made < least:
        message = f"Value {made} smaller than min of {least}"
        return made, [_fault("value_smaller_than_min", message, name, **about)]
    if most is not None and made > most:
        message = f"Value {made} bigger than max of {most}"
        return made, [_fault("value_bigger_than_max", message, name, **about)]
    return made, []


def _fault(kind: str, message: str, details: str, **more: object) -> dict[str, object]:
    return {"type": kind, "message": message, "details": details, "extra_info": more}


def _raised(error: Exception) -> dict[str, object]:
    told = "tuple index out of range" if isinstance(error, IndexError) else str(error)
    return {
        "type": "exception_during_validation",
        "message": "Exception when validating node",
        "details": told,
        "extra_info": {
            "exception_type": type(error).__name__,
            "traceback": _traceback("validate_prompt"),
        },
    }


def _traceback(function: str) -> list[str]:
    return [f'  File "{SOURCE}", line 700, in {function}\n    r = prompt[o_id]\n']


def _downstream(graph: Graph, node: str) -> set[str]:
    after = {node}
    grew = True
    while grew:
        more = {
            other
            for other in graph
            if other not in after
            and any(source in after for _, source, _ in links_of(graph, other))
        }
        after |= more
        grew = bool(more)
    return after


def _has_cycle(graph: Graph, outputs: Sequence[str]) -> bool:
    done: set[str] = set()
    open_: set[str] = set()

    def walk(node: str) -> bool:
        if node in done or node not in graph:
            return False
        if node in open_:
            return True
        open_.add(node)
        found = any(walk(source) for _, source, _ in links_of(graph, node))
        open_.discard(node)
        done.add(node)
        return found

    return any(walk(node) for node in outputs)
