"""A workflow in ComfyUI's API format as a graph of nodes and links."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple, TypeAlias, cast

import msgspec

from imagen.domain.errors import Misconfigured

MAX_BYTES = 8 * 1024 * 1024
MAX_NAME_LENGTH = 60

MAX_WRAPPERS = 3
# Keys of the body of POST /prompt, of RunPod's requests, and of the editor's export.
_WRAPPERS = ("output", "prompt", "workflow", "input")

EXPORT_HINT = "In ComfyUI, use Workflow > Export (API), and use the exported file."

ApiWorkflow: TypeAlias = Mapping[str, Mapping[str, object]]
"""A workflow as it is submitted: class, inputs and title of each node, by node id."""


class Link(NamedTuple):
    """The output of a node that an input is connected to, by its index."""

    node: str
    output: int


class NodeInput(msgspec.Struct, frozen=True, order=True):
    """An input of a node, written `node.input`."""

    node: str
    input: str

    def __str__(self) -> str:
        return f"{display_name(self.node)}.{display_name(self.input)}"


class WorkflowNode(msgspec.Struct, frozen=True):
    """A node: its class, its inputs (values and links) and its title in the editor."""

    class_type: str
    inputs: Mapping[str, object]
    title: str = ""


class WorkflowGraph(msgspec.Struct, frozen=True):
    """All nodes of a workflow, in the order of the file; every link leads to a node.

    Attributes:
        source: The workflow's name or file, for messages.
        nodes: The nodes by id.
        order: The ids in topological order, each after those that it depends on.
    """

    source: str
    nodes: Mapping[str, WorkflowNode]
    order: tuple[str, ...]

    def value(self, target: NodeInput) -> object:
        """Return the input's value or link; None if the node has no such input."""
        return self.nodes[target.node].inputs.get(target.input)

    def link(self, target: NodeInput) -> Link | None:
        """Return the link of the input, or None if it has a value."""
        return parse_link(self.value(target))

    def links(self, node: str) -> Iterator[tuple[str, Link]]:
        """Yield the name and the link of each connected input of a node."""
        for name, value in self.nodes[node].inputs.items():
            link = parse_link(value)
            if link is not None:
                yield name, link

    def consumers(self, node: str) -> Iterator[tuple[int, NodeInput]]:
        """Yield each use of a node: the output, and the input that it is linked to."""
        for other in self.nodes:
            for name, link in self.links(other):
                if link.node == node:
                    yield link.output, NodeInput(other, name)

    def with_ancestors(self, nodes: Collection[str]) -> set[str]:
        """Return these nodes and all nodes that they depend on."""
        found, waiting = set(nodes), list(nodes)
        while waiting:
            for _, link in self.links(waiting.pop()):
                if link.node not in found:
                    found.add(link.node)
                    waiting.append(link.node)
        return found

    def with_dependents(self, nodes: Collection[str]) -> set[str]:
        """Return these nodes and all nodes that depend on them."""
        found = set(nodes)
        for node in self.order:
            if any(link.node in found for _, link in self.links(node)):
                found.add(node)
        return found

    def describe_input(self, target: NodeInput) -> str:
        """Return the input with the class and the title of its node."""
        return f"{target} ({self.describe_node(target.node)})"

    def describe_node(self, node: str) -> str:
        """Return the class and the title of a node."""
        found = self.nodes[node]
        title = (
            "" if found.title in {"", found.class_type} else display_name(found.title)
        )
        return display_name(found.class_type) + (f', "{title}"' if title else "")


def parse_link(value: object) -> Link | None:
    """Return the link that an input's value is, or None for any other value."""
    # The rule of ComfyUI's own `is_link` (comfy_execution/graph_utils.py): a list of a
    # node id and a number.
    match value:
        case [str(node), int() | float() as output]:
            return Link(node, int(output))
        case _:
            return None


def decode_document(content: bytes, *, source: str) -> Mapping[str, object]:
    """Decode a workflow file, and take the workflow out of a request that wraps it.

    Raises:
        Misconfigured: the content is not a JSON object.
    """
    if len(content) > MAX_BYTES:
        raise Misconfigured(
            f"{source} is larger than {MAX_BYTES // 2**20} MiB.",
            hint="A workflow is a few kilobytes of JSON. Check the path.",
        )
    body = _decode_json(content.removeprefix(b"\xef\xbb\xbf"), source)
    if not isinstance(body, dict):
        raise Misconfigured(f"{source} is JSON, but not a workflow.", hint=EXPORT_HINT)
    document = cast("dict[str, object]", body)  # the keys of JSON are strings
    if not document:
        raise Misconfigured(f"{source} is an empty workflow.", hint=EXPORT_HINT)
    return _unwrap(document, MAX_WRAPPERS) or document


def find_editor_document(document: Mapping[str, object]) -> Mapping[str, object] | None:
    """Return the workflow in the editor's format; None if it is in API format."""
    # The editor saves lists of nodes and links; in API format, keys are node ids.
    if isinstance(document.get("nodes"), list):
        return document
    inner = document.get("workflow")
    if isinstance(inner, dict) and isinstance(inner.get("nodes"), list):  # pyright: ignore[reportUnknownMemberType] - JSON
        return cast("dict[str, object]", inner)
    return None


def build_graph(document: Mapping[str, object], *, source: str) -> WorkflowGraph:
    """Return the graph of a workflow in API format.

    Raises:
        Misconfigured: it is not a workflow, or a link is broken.
    """
    nodes = {
        node: _parse_node(body, f"{source}: node {display_name(node)}")
        for node, body in document.items()
    }
    return WorkflowGraph(source=source, nodes=nodes, order=_sort_nodes(nodes, source))


def encode_graph(graph: ApiWorkflow) -> bytes:
    """Encode a workflow as ComfyUI reads it: with NaN and Infinity."""
    encoded = msgspec.json.encode(graph)
    if b"null" not in encoded:  # which msgspec writes in their place
        return encoded
    import json  # noqa: PLC0415 - for few workflows

    return json.dumps(graph).encode()


def display_name(text: str) -> str:
    """Return a name from a file for a message, shortened and escaped."""
    if len(text) > MAX_NAME_LENGTH:
        text = text[: MAX_NAME_LENGTH - 1] + "…"
    return text if text.isprintable() and text else repr(text)


def _decode_json(content: bytes, source: str) -> object:
    try:
        return msgspec.json.decode(content)
    except RecursionError as error:
        raise Misconfigured(
            f"{source} is nested too deeply to be a workflow."
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        # ComfyUI reads and writes NaN and Infinity, which are not JSON.
        import json  # noqa: PLC0415 - for few workflows

        with suppress(ValueError, RecursionError):
            return json.loads(content.decode())
        raise Misconfigured(
            f"{source} is not JSON: {error}.", hint=EXPORT_HINT
        ) from error


def _unwrap(document: Mapping[str, object], depth: int) -> Mapping[str, object] | None:
    """Return the nodes in API format inside of a request; None if it has none."""
    if any(
        isinstance(node, dict) and "class_type" in node for node in document.values()
    ):
        return document
    for name in _WRAPPERS if depth else ():
        inner = document.get(name)
        if isinstance(inner, dict):
            found = _unwrap(cast("dict[str, object]", inner), depth - 1)
            if found is not None:
                return found
    return None


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
            f"{where} ({display_name(class_type)}): inputs is not a JSON object."
        )
    match fields.get("_meta"):
        case {"title": str(title)}:
            pass
        case _:
            title = ""
    named = cast("dict[str, object]", inputs)
    return WorkflowNode(class_type=class_type, inputs=named, title=title)


def _sort_nodes(nodes: Mapping[str, WorkflowNode], source: str) -> tuple[str, ...]:
    """Return the node ids in topological order.

    Raises:
        Misconfigured: a link leads to a missing node, or the links form a cycle.
    """
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, node in nodes.items():
        sorter.add(name)
        for key, value in node.inputs.items():
            link = parse_link(value)
            if link is None:
                continue
            if link.node not in nodes:
                target = NodeInput(name, key)
                raise Misconfigured(
                    f"{source}: {target} ({display_name(node.class_type)}) is linked to"
                    f" node {display_name(link.node)}, which does not exist.",
                    hint="Export the workflow again, or correct the link.",
                )
            sorter.add(name, link.node)
    try:
        return tuple(sorter.static_order())
    except CycleError as error:
        # ComfyUI rejects a cycle too, but does not name its nodes (0.3.64).
        cycle = cast("list[str]", error.args[1])  # as graphlib documents it
        raise Misconfigured(
            f"{source} has a cycle: " + " → ".join(map(display_name, cycle[:8])) + "."
        ) from error
