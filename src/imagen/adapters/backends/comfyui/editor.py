"""Converts a workflow from the format of ComfyUI's editor into API format.

The editor saves the values of a node as a list, in the order of its inputs on the
server. For the API it leaves out disabled nodes, passes through bypassed ones, and
replaces reroutes, primitives and subgraphs by what they stand for; so does this module.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from imagen.adapters.backends.comfyui.errors import parse_choices
from imagen.adapters.backends.comfyui.graph import EXPORT_HINT, display_name
from imagen.adapters.backends.comfyui.node_types import (
    InputSpec,
    NodeType,
    convert_choices,
    is_widget,
    read_spec,
)
from imagen.domain.errors import Misconfigured

MAX_DEPTH = 100
"""Reroutes, bypassed nodes and subgraphs that one link may pass."""

MAX_NODES = 20_000

_MUTED, _BYPASSED = 2, 4
_FROM_OUTSIDE, _TO_OUTSIDE = "-10", "-20"
"""The ids of the inputs and the outputs of a subgraph, inside of it."""

_NOTES = frozenset({"Note", "MarkdownNote"})
_VIRTUAL = _NOTES | {"PrimitiveNode", "Reroute", "SetNode", "GetNode"}
"""Nodes that exist in the editor only."""

_DYNAMIC = "COMFY_DYNAMICCOMBO_V3"

# The editor adds this value behind that of a seed.
_CONTROL = ("fixed", "randomize", "increment", "decrement")


class _Slot(msgspec.Struct, frozen=True):
    name: str
    type: object = None
    link: int | str | None = None
    widget: object = None


class _Properties(msgspec.Struct, frozen=True):
    # Node and input of each value that a subgraph shows.
    proxies: tuple[tuple[int | str, str], ...] | None = msgspec.field(
        default=None, name="proxyWidgets"
    )


class _Node(msgspec.Struct, frozen=True):
    id: int | str
    type: str
    mode: int = 0
    title: str | None = None
    inputs: tuple[_Slot, ...] | None = None
    widgets_values: list[object] | dict[str, object] | None = None
    properties: _Properties | None = None

    @property
    def active(self) -> bool:
        return self.mode not in {_MUTED, _BYPASSED}

    @property
    def slots(self) -> tuple[_Slot, ...]:
        return self.inputs or ()

    @property
    def values(self) -> Sequence[object]:
        return self.widgets_values if isinstance(self.widgets_values, list) else ()


class _LinkFields(msgspec.Struct, frozen=True):
    id: int | str
    origin_id: int | str
    origin_slot: int
    target_id: int | str
    target_slot: int
    type: object = None


class _Port(msgspec.Struct, frozen=True):
    name: str
    type: object = None


class _Subgraph(msgspec.Struct, frozen=True):
    id: str
    nodes: tuple[_Node, ...] = ()
    links: tuple[_LinkFields | tuple[object, ...], ...] = ()
    inputs: tuple[_Port, ...] = ()


class _Definitions(msgspec.Struct, frozen=True):
    subgraphs: tuple[_Subgraph, ...] = ()


class _Document(msgspec.Struct, frozen=True):
    nodes: tuple[_Node, ...] = ()
    links: tuple[_LinkFields | tuple[object, ...], ...] = ()
    definitions: _Definitions | None = None

    @property
    def subgraphs(self) -> dict[str, _Subgraph]:
        found = self.definitions.subgraphs if self.definitions else ()
        return {each.id: each for each in found}


class _Link(NamedTuple):
    node: str
    output: int
    target: str
    slot: int
    type: object


class _Value(NamedTuple):
    """A value in place of a link."""

    value: object


ApiLink: TypeAlias = list[object]


def list_classes(document: Mapping[str, object], *, source: str) -> list[str]:
    """Return the classes of nodes whose types a conversion needs.

    Raises:
        Misconfigured: the document is not a workflow in the editor's format.
    """
    found = _parse(document, source)
    subgraphs = found.subgraphs
    groups = (found.nodes, *(each.nodes for each in subgraphs.values()))
    return sorted(
        {
            node.type
            for nodes in groups
            for node in nodes
            if node.active and node.type not in _VIRTUAL and node.type not in subgraphs
        }
    )


def convert_document(
    document: Mapping[str, object], types: Mapping[str, NodeType], *, source: str
) -> dict[str, object]:
    """Return the workflow in API format.

    Args:
        document: The workflow in the editor's format.
        types: The types of its nodes on the server.
        source: The workflow's name or file, for messages.

    Raises:
        Misconfigured: the server lacks a node, or the values of a node do not fit its
            type on the server.
    """
    parsed = _parse(document, source)
    missing = [
        each for each in list_classes(document, source=source) if each not in types
    ]
    missing = [each for each in missing if "reroute" not in each.lower()]
    if missing:
        names = ", ".join(map(display_name, missing[:8]))
        raise Misconfigured(
            f"{source} needs nodes that the server does not have: {names}.",
            hint="Install their node packs there, or update ComfyUI.",
        )
    scope = _Scope(parsed.nodes, parsed.links, parsed.subgraphs, source=source)
    api: dict[str, object] = {}
    for name, body in scope.convert(types):
        api[name] = body
        if len(api) > MAX_NODES:
            raise Misconfigured(f"{source} has more than {MAX_NODES} nodes.")
    return api


def _parse(document: Mapping[str, object], source: str) -> _Document:
    try:
        return msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise Misconfigured(
            f"{source} is not a workflow of ComfyUI's editor: {error}.",
            hint=EXPORT_HINT,
        ) from error


class _Scope:
    """The nodes and links of the workflow, or of one use of a subgraph in it."""

    def __init__(
        self,
        nodes: Iterable[_Node],
        links: Iterable[_LinkFields | tuple[object, ...]],
        subgraphs: Mapping[str, _Subgraph],
        *,
        source: str,
        parent: "_Scope | None" = None,
        instance: _Node | None = None,
    ) -> None:
        self._nodes = {str(node.id): node for node in nodes}
        self.links = dict(filter(None, map(_read_link, links)))
        self._subgraphs = subgraphs
        self._source = source
        self._parent = parent
        self._instance = instance
        self.prefix: str = ""
        self._inner: dict[str, _Scope] = {}
        self._given: dict[object, object] = {}
        if parent is not None and instance is not None:
            self.prefix = f"{parent.prefix}{instance.id}:"
            self._given = _read_given(instance, subgraphs[instance.type])
        if self.prefix.count(":") > MAX_DEPTH // 5:
            raise Misconfigured(f"{source}: its subgraphs are nested too deeply.")

    def convert(
        self, types: Mapping[str, NodeType]
    ) -> Iterator[tuple[str, dict[str, object]]]:
        """Yield each node that runs, with its id in the API."""
        for name, node in self._nodes.items():
            if not node.active or node.type in _VIRTUAL:
                continue
            if node.type in self._subgraphs:
                yield from self._enter(node).convert(types)
            elif node.type in types:
                body: dict[str, object] = {
                    "class_type": node.type,
                    "inputs": self._convert_inputs(node, types[node.type]),
                }
                if node.title:
                    body["_meta"] = {"title": node.title}
                yield f"{self.prefix}{name}", body

    def _convert_inputs(self, node: _Node, kind: NodeType) -> dict[str, object]:
        linked = {
            slot.name: found
            for slot in node.slots
            if slot.link is not None
            and (found := self.follow(slot.link, 0)) is not None
        }
        inputs: dict[str, object] = {}
        values = node.widgets_values
        read = self._read_named if isinstance(values, dict) else self._read_values
        for name, value, spec in read(node, kind, linked):
            inputs[name] = value
            outside: object = linked.pop(name, None)
            if isinstance(outside, _Value):
                outside = outside.value if _fits(outside.value, spec) else None
            given = self._given.get((str(node.id), name))
            if outside is not None:
                inputs[name] = outside
            # A list of values can be out of order; the value inside is right then.
            elif given is not None and _fits(given, spec):
                inputs[name] = given
        for name, found in linked.items():
            inputs[name] = found.value if isinstance(found, _Value) else found
        return inputs

    def _read_named(
        self, node: _Node, kind: NodeType, _: Mapping[str, object]
    ) -> Iterator[tuple[str, object, InputSpec]]:
        values = node.widgets_values
        assert isinstance(values, dict)  # noqa: S101 - for mypy
        for name, spec in kind.inputs().items():
            if name in values and is_widget(spec):
                yield name, values[name], spec

    def _read_values(
        self, node: _Node, kind: NodeType, linked: Mapping[str, object]
    ) -> Iterator[tuple[str, object, InputSpec]]:
        """Yield the name, value and description of each input edited in the node."""
        waiting = list(kind.inputs().items())
        values = list(node.values)
        while waiting:
            name, spec = waiting.pop(0)
            kind_of_input, options = read_spec(spec)
            dynamic = kind_of_input == _DYNAMIC
            if not (dynamic or is_widget(spec)):
                continue
            if values:
                value = values.pop(0)
                free = dynamic or name in linked or _fits(value, spec)
                if not free:
                    raise self._mismatch_error(node, name, value)
            else:
                choices = [] if dynamic else parse_choices(spec)
                value = options.get("default", choices[0] if choices else None)
            if value is not None:
                yield name, value, spec
            if dynamic:  # has inputs of its own for each choice
                waiting[:0] = self._list_dynamic(node, name, value, options)
            controlled = options.get("control_after_generate") or "seed" in name
            if controlled and values and values[0] in _CONTROL:
                values.pop(0)

    def _list_dynamic(
        self, node: _Node, name: str, value: object, options: Mapping[str, object]
    ) -> list[tuple[str, InputSpec]]:
        """Return the inputs that belong to one choice, such as `resize_type.width`."""
        for choice in convert_choices(options):
            if choice.key == value:
                inputs = NodeType(input=choice.inputs).inputs()
                return [(f"{name}.{each}", spec) for each, spec in inputs.items()]
        raise self._mismatch_error(node, name, value)

    def _mismatch_error(self, node: _Node, name: str, value: object) -> Misconfigured:
        return Misconfigured(
            f"{self._source} cannot be converted: node {node.id}"
            f" ({display_name(node.type)}) has {display_name(repr(value))} for {name},"
            " which is of another type on the server.",
            hint=EXPORT_HINT,
        )

    def _enter(self, instance: _Node) -> "_Scope":
        """Return the scope of one use of a subgraph."""
        name = str(instance.id)
        if name not in self._inner:
            subgraph = self._subgraphs[instance.type]
            self._inner[name] = _Scope(
                subgraph.nodes,
                subgraph.links,
                self._subgraphs,
                source=self._source,
                parent=self,
                instance=instance,
            )
        return self._inner[name]

    def follow(self, link_id: int | str | None, depth: int) -> ApiLink | _Value | None:
        """Return the output or value that a link leads to; None if it has none."""
        link = None if link_id is None else self.links.get(str(link_id))
        if link is None:
            return None
        return self.find_output(link.node, link.output, link.type, depth + 1)

    def find_output(
        self, name: str, output: int, kind: object, depth: int
    ) -> ApiLink | _Value | None:
        """Return the output or value that an output of the editor stands for."""
        if depth > MAX_DEPTH:
            raise Misconfigured(
                f"{self._source} has a link through more than {MAX_DEPTH} nodes."
            )
        if name == _FROM_OUTSIDE and self._parent and self._instance:
            return self._find_outside(output, depth)
        node = self._nodes.get(name)
        if node is None or node.mode == _MUTED or node.type in _NOTES:
            return None
        if node.mode == _BYPASSED:
            slots = [*node.slots[output : output + 1], *node.slots]
            same = (
                slot for slot in slots if slot.type == kind or "*" in (slot.type, kind)
            )
            through = next(same, None)
            return self.follow(through.link, depth) if through else None
        if node.type in self._subgraphs:
            inner = self._enter(node)
            ends = (
                link
                for link in inner.links.values()
                if (link.target, link.slot) == (_TO_OUTSIDE, output)
            )
            end = next(ends, None)
            if end is None:
                return None
            return inner.find_output(end.node, end.output, end.type, depth + 1)
        if node.type == "PrimitiveNode":
            return _Value(node.values[0]) if node.values else None
        if node.type == "GetNode":
            return self.find_set(node, depth)
        if "reroute" in node.type.lower():
            return self.follow(node.slots[0].link, depth) if node.slots else None
        return [f"{self.prefix}{name}", output]

    def find_set(self, getter: _Node, depth: int) -> ApiLink | _Value | None:
        """Return what the SetNode with the name of a GetNode is connected to."""
        for node in self._nodes.values():
            same = list(node.values[:1]) == list(getter.values[:1])
            if node.type == "SetNode" and same and node.slots and node.mode != _MUTED:
                return self.follow(node.slots[0].link, depth)
        return self._parent.find_set(getter, depth) if self._parent else None

    def _find_outside(self, position: int, depth: int) -> ApiLink | _Value | None:
        """Return what an input of the subgraph is connected to, or its value."""
        assert self._parent is not None  # noqa: S101 - for mypy
        assert self._instance is not None  # noqa: S101 - for mypy
        ports = self._subgraphs[self._instance.type].inputs
        name = ports[position].name if position < len(ports) else ""
        for slot in self._instance.slots:
            if slot.name == name and slot.link is not None:
                return self._parent.follow(slot.link, depth)
        return _Value(self._given[name]) if name in self._given else None


def _read_given(instance: _Node, subgraph: _Subgraph) -> dict[object, object]:
    """Return the values that one use of a subgraph has of its own.

    By the name of the subgraph's input, or by node and input inside of it.
    """
    values = instance.values
    promoted = instance.properties.proxies if instance.properties else None
    keys: list[object] = [
        port.name for port in subgraph.inputs if is_widget([port.type])
    ]
    if promoted is not None:
        keys = [
            name if str(node) == "-1" else (str(node), name) for node, name in promoted
        ]
    # Lists of different lengths cannot be matched; the values inside are right then.
    if len(keys) != len(values):
        return {}
    pairs = zip(keys, values, strict=True)
    return {key: value for key, value in pairs if value is not None}


def _read_link(
    link: _LinkFields | tuple[object, ...],
) -> tuple[str, _Link] | None:
    if isinstance(link, _LinkFields):
        ends = str(link.origin_id), link.origin_slot, str(link.target_id)
        return str(link.id), _Link(*ends, link.target_slot, link.type)
    match link:
        case (id_, node, int(output), target, int(slot), *rest):
            kind = rest[0] if rest else None
            return str(id_), _Link(str(node), output, str(target), slot, kind)
        case _:
            return None


def _fits(value: object, spec: InputSpec) -> bool:
    """Return False for a value that cannot be of the type of the input."""
    choices = parse_choices(spec)
    if value is None:
        return True
    if choices is not None:
        kinds = set(map(type, choices))
        return value in choices or not kinds or type(value) in kinds
    match read_spec(spec)[0]:
        case "INT" | "FLOAT":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "BOOLEAN":
            return isinstance(value, bool)
        case "STRING":
            return isinstance(value, str)
        case _:
            return True
