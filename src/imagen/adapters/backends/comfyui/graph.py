"""Reads a workflow in ComfyUI's API format, and finds one's way along its links."""

from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple, TypeAlias, cast

import msgspec

from imagen.domain.errors import Misconfigured

MAX_BYTES = 8 * 1024 * 1024
MAX_NODES = 2000
MAX_DEPTH = 50
MAX_NAME_LENGTH = 60

EXPORT_HINT = "In ComfyUI, use Workflow > Export (API), and name that file."


ApiWorkflow: TypeAlias = Mapping[str, Mapping[str, object]]
"""A workflow in API form: each node's class, inputs and title, by its id."""


class Link(NamedTuple):
    """What an input is connected to: an output of another node, by its number."""

    node: str
    output: int


class NodeInput(msgspec.Struct, frozen=True, order=True):
    """One input of one node, written `node.input`."""

    node: str
    input: str

    def __str__(self) -> str:
        return f"{display_name(self.node)}.{display_name(self.input)}"


class WorkflowNode(msgspec.Struct, frozen=True):
    """A node: its class, its inputs (values and links), and the title people see."""

    class_type: str
    inputs: Mapping[str, object]
    title: str = ""


class WorkflowGraph(msgspec.Struct, frozen=True):
    """All the nodes of a workflow, in the order of the file; no link is loose.

    Attributes:
        source: The workflow's name or file, for messages.
        nodes: By their ids.
        order: The ids, each after those that it depends on.
    """

    source: str
    nodes: Mapping[str, WorkflowNode]
    order: tuple[str, ...]

    def value(self, place: NodeInput) -> object:
        """Return what the input says; None when there is no such input."""
        return self.nodes[place.node].inputs.get(place.input)

    def link(self, place: NodeInput) -> Link | None:
        """Return what the input is connected to, or None when it is not."""
        return parse_link(self.value(place))

    def links(self, node: str) -> Iterator[tuple[str, Link]]:
        """Give each connected input of a node with what it is connected to."""
        for name, value in self.nodes[node].inputs.items():
            link = parse_link(value)
            if link is not None:
                yield name, link

    def with_ancestors(self, nodes: Collection[str]) -> set[str]:
        """Return these nodes and everything that they depend on."""
        found, waiting = set(nodes), list(nodes)
        while waiting:
            for _, link in self.links(waiting.pop()):
                if link.node not in found:
                    found.add(link.node)
                    waiting.append(link.node)
        return found

    def with_dependents(self, nodes: Collection[str]) -> set[str]:
        """Return these nodes and everything that depends on them."""
        found = set(nodes)
        for node in self.order:
            if any(link.node in found for _, link in self.links(node)):
                found.add(node)
        return found

    def describe_input(self, place: NodeInput) -> str:
        """Return the place with the class and the title of its node."""
        return f"{place} ({self.describe_node(place.node)})"

    def describe_node(self, node: str) -> str:
        """Return the class and the title of a node."""
        found = self.nodes[node]
        title = (
            "" if found.title in {"", found.class_type} else display_name(found.title)
        )
        return display_name(found.class_type) + (f', "{title}"' if title else "")


def parse_link(value: object) -> Link | None:
    """Return the link that a value is, by the rule of ComfyUI's own `is_link`.

    A list of a node's id and a number; everything else is a value
    (comfy_execution/graph_utils.py).
    """
    match value:
        case [str(node), int() | float() as output]:
            return Link(node, int(output))
        case _:
            return None


def parse_graph(content: bytes, *, source: str) -> WorkflowGraph:
    """Read a workflow and check that it hangs together.

    Args:
        content: The bytes of the file.
        source: The workflow's name or file, for messages.

    Raises:
        Misconfigured: it is not a workflow in API format, or a broken one.
    """
    if len(content) > MAX_BYTES:
        raise Misconfigured(
            f"{source} is larger than {MAX_BYTES // 2**20} MiB.",
            hint="A workflow is some kilobytes of JSON; is it the right file?",
        )
    nodes = {
        node: _parse_node(body, f"{source}: node {display_name(node)}")
        for node, body in _decode_object(content, source).items()
    }
    if len(nodes) > MAX_NODES:
        raise Misconfigured(
            f"{source} has {len(nodes)} nodes; more than {MAX_NODES} are not read."
        )
    return WorkflowGraph(source=source, nodes=nodes, order=_sort_nodes(nodes, source))


def display_name(text: str) -> str:
    """Return a name from a file as it can stand in a message."""
    short = text if len(text) <= MAX_NAME_LENGTH else text[: MAX_NAME_LENGTH - 1] + "…"
    return short if short.isprintable() and short else repr(short)


def _decode_object(content: bytes, source: str) -> dict[str, object]:
    try:
        body: object = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except RecursionError as error:
        raise _too_deep_error(source) from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Misconfigured(
            f"{source} is not JSON: {error}.", hint=EXPORT_HINT
        ) from error
    if not isinstance(body, dict):
        raise Misconfigured(f"{source} is JSON, but not a workflow.", hint=EXPORT_HINT)
    if _is_editor_format(
        cast("dict[str, object]", body)
    ):  # the keys of JSON are strings
        raise Misconfigured(
            f"{source} is a workflow as ComfyUI's editor saves it, which cannot be run"
            " from outside.",
            hint=EXPORT_HINT,
        )
    if not body:
        raise Misconfigured(f"{source} is an empty workflow.", hint=EXPORT_HINT)
    return cast("dict[str, object]", body)


def _is_editor_format(body: Mapping[str, object]) -> bool:
    """Whether it is the editor's own format, which has lists of nodes and links."""
    return isinstance(body.get("nodes"), list)


def _parse_node(body: object, where: str) -> WorkflowNode:
    if not isinstance(body, dict):
        raise Misconfigured(f"{where} is not a node.", hint=EXPORT_HINT)
    fields = cast("dict[str, object]", body)  # the keys of JSON are strings
    class_type = fields.get("class_type")
    if not isinstance(class_type, str) or not class_type:
        raise Misconfigured(f"{where} has no class_type.", hint=EXPORT_HINT)
    inputs = fields.get("inputs", {})
    if not isinstance(inputs, dict):
        raise Misconfigured(
            f"{where} ({display_name(class_type)}) has no list of inputs."
        )
    named = cast("dict[str, object]", inputs)
    if _depth_exceeds(named, MAX_DEPTH):
        raise _too_deep_error(f"{where} ({display_name(class_type)})")
    return WorkflowNode(
        class_type=class_type, inputs=named, title=_read_title(fields.get("_meta"))
    )


def _read_title(meta: object) -> str:
    match meta:
        case {"title": str(title)}:
            return title
        case _:
            return ""


def _depth_exceeds(value: object, most: int) -> bool:
    level: list[object] = [value]
    for _ in range(most):
        deeper: list[object] = []
        for item in level:
            if isinstance(item, dict):
                deeper.extend(cast("dict[str, object]", item).values())
            elif isinstance(item, list):
                deeper.extend(cast("list[object]", item))
        if not deeper:
            return False
        level = deeper
    return True


def _too_deep_error(where: str) -> Misconfigured:
    return Misconfigured(f"{where} is nested too deeply to be a workflow.")


def _sort_nodes(nodes: Mapping[str, WorkflowNode], source: str) -> tuple[str, ...]:
    """Order the nodes by what they depend on.

    ComfyUI refuses a circle too, but without saying where (0.3.64).
    """
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, node in nodes.items():
        sorter.add(name)
        for key, value in node.inputs.items():
            link = parse_link(value)
            if link is None:
                continue
            if link.node not in nodes:
                place = NodeInput(name, key)
                raise Misconfigured(
                    f"{source}: {place} ({display_name(node.class_type)}) is linked to "
                    f"node {display_name(link.node)}, which is not there.",
                    hint="Export the workflow anew, or correct the link.",
                )
            sorter.add(name, link.node)
    try:
        return tuple(sorter.static_order())
    except CycleError as error:
        circle = cast("list[str]", error.args[1])  # as graphlib documents it
        raise Misconfigured(
            f"{source} goes in a circle: "
            + " → ".join(map(display_name, circle[:8]))
            + "."
        ) from error
