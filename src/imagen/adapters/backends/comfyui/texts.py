"""Traces a prompt text to the inputs that hold it, through nodes that join or edit it.

Of a joined text, the part that varies takes the prompt: an empty part, or a part that
comes from a node of its own. Fixed words beside it stay. A node that replaces a word in
a template keeps the template; the new word takes the prompt.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

from imagen.adapters.backends.comfyui.graph import Link, NodeInput, WorkflowGraph
from imagen.adapters.backends.comfyui.links import (
    Role,
    find_branches,
    skip_passthrough,
    split_roles,
)

MAX_DEPTH = 100
"""Joins within joins that are followed."""

# Inputs of nodes that only hold or pass on a text, such as PrimitiveString.
_TEXT_INPUTS = ("value", "string", "text", "prompt", "multiline_text", "source")

# Inputs of nodes that join several texts, such as StringConcatenate.
_TEXT_PART = re.compile(r"(text|string|str|prompt)_?([a-h]|\d{1,2})")

# The wildcard nodes of the Impact pack: the server copies the first to the second.
_WILDCARD_INPUTS = ("wildcard_text", "populated_text")

# A node with an image describes it; its texts are instructions.
_IMAGE_INPUT = re.compile(r"images?\d*|pixels|video")
_TEMPLATE, _SEARCHED, _REPLACEMENT = (
    ("string", "text", "value"),
    re.compile(r"(find|search|pattern|regex_pattern|old|target)\w*"),
    re.compile(r"(replace|replacement|replace_with|new)\w{0,2}"),
)


class TextSource(msgspec.Struct, frozen=True):
    """Inputs that hold one text and are set together.

    Attributes:
        inputs: The inputs.
        value: Their text in the file; a tuple if they differ.
        fixed: True for words beside other words, which are hardly the prompt.
        multiline: True for a node that holds a text of several lines.
    """

    inputs: tuple[NodeInput, ...]
    value: object
    fixed: bool = False
    multiline: bool = False


Sources = tuple[TextSource, ...]


def find_text_sources(graph: WorkflowGraph, start: NodeInput, role: Role) -> Sources:
    """Return the inputs that may hold the text that reaches `start`.

    Several if it is not clear which one takes the prompt; none if the text is computed.
    """
    return _TextTrace(graph, role).find(start, 0)


def is_text(value: object) -> bool:
    """Return True for a text of the file."""
    return isinstance(value, str)


class _TextTrace:
    """One search; remembers the texts of each node, since joins may share them."""

    def __init__(self, graph: WorkflowGraph, role: Role) -> None:
        self._graph = graph
        self._role: Role = role
        self._known: dict[tuple[Link, str], Sources] = {}

    def find(self, target: NodeInput, depth: int) -> Sources:
        """Return the sources of an input."""
        link = self._graph.link(target)
        if link is None:
            return self._literal(target)
        end = skip_passthrough(self._graph, link)
        if isinstance(end, NodeInput):
            return self._literal(end)
        key = end, target.input
        if key not in self._known:
            self._known[key] = (
                self._output(end, target.input, depth + 1) if depth < MAX_DEPTH else ()
            )
        return self._known[key]

    def _literal(self, target: NodeInput, *, multiline: bool = False) -> Sources:
        value = self._graph.value(target)
        if not is_text(value):
            return ()
        return (TextSource((target,), value, multiline=multiline),)

    def _output(self, link: Link, wanted: str, depth: int) -> Sources:
        """Return the sources of a node's output."""
        node = self._graph.nodes[link.node]
        usable = {
            name.lower(): NodeInput(link.node, name)
            for name, value in node.inputs.items()
            if is_text(value) or self._graph.link(NodeInput(link.node, name))
        }
        branches = find_branches(self._graph, link.node)
        if branches is not None:  # the selection is computed
            return _unique(s for each in branches for s in self.find(each, depth))
        if any(
            _IMAGE_INPUT.fullmatch(name) for name, _ in self._graph.links(link.node)
        ):
            return ()
        wildcard = [usable[name] for name in _WILDCARD_INPUTS if name in usable]
        if len(wildcard) > 1:
            return self._together(wildcard, depth)
        replaced = self._replaced(usable, depth)
        if replaced is not None:
            return replaced
        parts = [usable[name] for name in usable if _TEXT_PART.fullmatch(name)]
        if len(parts) > 1 and usable.keys().isdisjoint(_TEXT_INPUTS):
            return self._joined(parts, depth)
        if parts and link.output:  # "Text String" of WAS, with an output for each
            return (
                self.find(parts[link.output - 1], depth)
                if parts[link.output - 1 :]
                else ()
            )
        single = self._list_sided(usable, link.output)
        if single is None:
            names = (wanted.lower(), *_TEXT_INPUTS)
            single = [usable[name] for name in names if name in usable]
            single = single or self._list_only_text(node.class_type, usable)
        if not single:
            return ()
        if self._graph.link(single[0]) is not None:
            return self.find(single[0], depth)
        return self._literal(
            single[0], multiline="multiline" in node.class_type.lower()
        )

    def _list_sided(
        self, usable: dict[str, NodeInput], output: int
    ) -> list[NodeInput] | None:
        """Return the input for the role; None for a node without texts for a role."""
        positive, negative = split_roles(usable)
        if positive and negative:  # such as a styler, with an output for each
            if output == 0:
                return [usable[positive[0]]]
            wrong = self._role == "positive" or output > 1
            return [] if wrong else [usable[negative[0]]]
        # Such as the text nodes "easy positive" and "easy negative".
        return [usable[name] for name in (positive or negative)[:1]] or None

    def _list_only_text(
        self, class_type: str, usable: dict[str, NodeInput]
    ) -> list[NodeInput]:
        """Return the only text of a node that is named after texts."""
        named = re.search(r"text|string|prompt", class_type.lower())
        return list(usable.values()) if named and len(usable) == 1 else []

    def _together(self, targets: Sequence[NodeInput], depth: int) -> Sources:
        sources = [source for each in targets for source in self.find(each, depth)]
        inputs = tuple(dict.fromkeys(to for source in sources for to in source.inputs))
        return (TextSource(inputs, tuple(source.value for source in sources)),)

    def _replaced(self, usable: dict[str, NodeInput], depth: int) -> Sources | None:
        """Return the new word of a node that replaces words; None for other nodes."""
        template = next((usable[name] for name in _TEMPLATE if name in usable), None)
        words = [usable[name] for name in usable if _REPLACEMENT.fullmatch(name)]
        searched = [usable[name] for name in usable if _SEARCHED.fullmatch(name)]
        if template is None or not words or not searched:
            return None
        sources = self.find(template, depth)
        sought = {
            value for each in searched if is_text(value := self._graph.value(each))
        }
        # A word that the text does not have: the node cleans the text.
        text = sources[0].value if len(sources) == 1 else None
        if isinstance(text, str) and not any(
            str(word) in text for word in sought if word
        ):
            return sources
        new = _unique(source for each in words for source in self.find(each, depth))
        if self._graph.link(template) is None or any(map(self._graph.link, words)):
            return new
        return _unique([*new, *sources])

    def _joined(self, parts: Sequence[NodeInput], depth: int) -> Sources:
        """Return the part of a joined text that takes the prompt."""
        linked = [part for part in parts if self._graph.link(part) is not None]
        own = [
            s for part in parts if part not in linked for s in self.find(part, depth)
        ]
        empty = [source for source in own if not source.value]
        found = [self.find(part, depth) for part in linked]
        varying = _unique(s for sources in found for s in sources if not s.fixed)
        if varying:
            return _choose(varying, empty)
        words = _unique(s for sources in found for s in sources)
        fixed = [source for source in own if source.value]
        computed = any(not sources for sources in found)
        if empty and (computed or len(empty) == 1 or not fixed):
            return (empty[0],)
        if computed:  # the words around a text that another node makes
            return ()
        rest = _unique([*own, *words])
        if len(rest) == 1:
            return rest
        return tuple(msgspec.structs.replace(each, fixed=True) for each in rest)


def _choose(varying: Sources, empty: Sequence[TextSource]) -> Sources:
    """Return the only one of several nodes with texts that can be the prompt's."""
    if len(varying) == 1 and not empty:
        return varying
    blank = [source for source in varying if not source.value]
    if len(blank) == 1 and not empty:
        return tuple(blank)
    large = [source for source in varying if source.multiline]
    if len(large) == 1 and not empty:
        return tuple(large)
    return _unique([*varying, *empty])


def _unique(sources: Iterable[TextSource]) -> Sources:
    return tuple({source.inputs: source for source in sources}.values())
