"""Tells from its links what a node does: pass on, select, bundle, keep roles apart."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

from imagen.adapters.backends.comfyui.graph import Link, NodeInput, WorkflowGraph

Role: TypeAlias = Literal["positive", "negative"]

POSITIVE_NAME = re.compile(r"(?<![a-z])pos(itive)?(?![a-z])")
NEGATIVE_NAME = re.compile(r"(?<![a-z])neg(ative)?(?![a-z])")
"""Parts of the names of inputs for the positive and the negative prompt."""

WHOLE_PIPE = -1
"""The output of a link through a pipe, which carries values for both roles."""

# Inputs that carry several values at once: the pipes of the packs Easy-Use, Impact and
# ttN, the contexts of rgthree, and the tuple of the Efficiency nodes.
_PIPE = re.compile(r"(\w+_)?pipe|(base_)?ctx(_\d+)?|sdxl_tuple")

# Parts of the names of inputs that never take a conditioning.
NOT_CONDITIONING = (
    *("clip", "model", "vae", "image", "pixels", "latent", "samples", "mask"),
    *("control_net", "pipe", "seed"),
)

_BRANCHES = (("on_false", "on_true"), ("if_false", "if_true"), ("false", "true"))
_SELECTORS = ("switch", "boolean", "condition", "select", "index", "input", "sel")
_NUMBERED = re.compile(r"\D*?_?0*(\d+)")


class UnclearRole(Exception):
    """The links do not tell whether an output of the node is positive or negative."""

    def __init__(self, node: str) -> None:
        super().__init__(node)
        self.node = node


def contains_any(name: str, parts: Iterable[str]) -> bool:
    """Return True if a part occurs in the name."""
    return any(part in name for part in parts)


def skip_passthrough(graph: WorkflowGraph, link: Link) -> Link | NodeInput:
    """Follow a link through reroutes and switches; to an input if that has a value."""
    while True:
        branches = find_branches(graph, link.node)
        if branches is None or len(branches) != 1:
            return link
        following = graph.link(branches[0])
        if following is None:
            return branches[0]
        link = following


def follow(graph: WorkflowGraph, link: Link) -> Link:
    """Follow a link through reroutes and switches, to the last link."""
    while (branches := find_branches(graph, link.node)) is not None:
        following = graph.link(branches[0]) if len(branches) == 1 else None
        if following is None:
            return link
        link = following
    return link


def find_branches(graph: WorkflowGraph, node: str) -> list[NodeInput] | None:
    """Return the input that a reroute or switch passes on; None for other nodes.

    All of its inputs if the selected one is computed.
    """
    body = graph.nodes[node]
    kind = body.class_type.lower()
    if "reroute" in kind:
        only = [NodeInput(node, name) for name in body.inputs]
        return only if len(only) == 1 else []
    for off, on in _BRANCHES:
        if {off, on} <= body.inputs.keys():
            selected = _read_selector(graph, node)
            names = (off, on) if selected is None else ((off, on)[bool(selected)],)
            return [NodeInput(node, name) for name in names]
    if "switch" not in kind:
        return None
    numbered = {
        name: int(found[1])
        for name in body.inputs
        if name.lower() not in _SELECTORS and (found := _NUMBERED.fullmatch(name))
    }
    if not any(name.lower() in _SELECTORS for name in body.inputs):
        linked = [n for n in numbered if graph.link(NodeInput(node, n)) is not None]
        # rgthree's switches pass on the first input that is connected.
        return (
            [NodeInput(node, min(linked, key=numbered.__getitem__))] if linked else []
        )
    selected = _read_selector(graph, node)
    chosen = [name for name in numbered if numbered[name] == selected]
    return [NodeInput(node, name) for name in chosen[:1] or numbered]


def _read_selector(graph: WorkflowGraph, node: str) -> object:
    """Return the value that selects the input of a switch; None if it is computed."""
    inputs = graph.nodes[node].inputs
    name = next((name for name in inputs if name.lower() in _SELECTORS), None)
    if name is None:
        return None
    link = graph.link(NodeInput(node, name))
    if link is None:
        return inputs[name]
    values = [v for v in graph.nodes[link.node].inputs.values() if isinstance(v, int)]
    return values[0] if len(values) == 1 else None


def list_pipes(graph: WorkflowGraph, node: str) -> Iterator[Link]:
    """Yield the nodes that a node gets a pipe from, as links to the whole pipe."""
    for name, link in graph.links(node):
        if _PIPE.fullmatch(name.lower()):
            yield Link(follow(graph, link).node, WHOLE_PIPE)


def walk_pipe(graph: WorkflowGraph, node: str) -> list[str]:
    """Return a node and those that its pipe comes from, the nearest first."""
    found = [node]
    for each in found:
        found.extend(
            link.node for link in list_pipes(graph, each) if link.node not in found
        )
    return found


def find_role(graph: WorkflowGraph, link: Link, role: Role) -> Role:
    """Return the role of an output, of a node that has outputs for both roles.

    The positive output comes directly before the negative one. Which two they are is
    told by the inputs that the outputs are connected to.

    Args:
        graph: The workflow.
        link: The output.
        role: The role in which the output reaches a sampler.

    Raises:
        UnclearRole: several pairs are possible, or the role contradicts them.
    """
    output = link.output
    if output == WHOLE_PIPE:
        return role
    conditioning, other = {output}, set[int]()
    for source, target in graph.consumers(link.node):
        if is_conditioning_name(target.input):
            conditioning.add(source)
        elif contains_any(target.input.lower(), NOT_CONDITIONING):
            other.add(source)
    possible = [
        first
        for first in (output - 1, output)
        if first >= 0
        and conditioning <= {first, first + 1}
        and not other & {first, first + 1}
    ]
    # ControlNetApplyAdvanced and the like have no other outputs before these two.
    if len(possible) > 1 and role == "negative" and output == 1:
        takes_model = any("model" in name for name, _ in graph.links(link.node))
        possible = possible if takes_model else [0]
    if len(possible) != 1:
        raise UnclearRole(link.node)
    found: Role = "positive" if output == possible[0] else "negative"
    if (role, found) == ("positive", "negative"):
        raise UnclearRole(link.node)
    return found


def is_conditioning_name(name: str) -> bool:
    """Return True for the name of an input that takes a conditioning."""
    name = name.lower()
    return bool(
        "cond" in name or POSITIVE_NAME.search(name) or NEGATIVE_NAME.search(name)
    )


def split_roles(
    names: Mapping[str, object],
) -> tuple[list[str], list[str]]:
    """Return the names of the inputs for the positive and for the negative prompt."""
    negative = [name for name in names if NEGATIVE_NAME.search(name.lower())]
    positive = [
        name
        for name in names
        if name not in negative and POSITIVE_NAME.search(name.lower())
    ]
    if negative and not positive:  # XlabsSampler: conditioning and neg_conditioning
        positive = [n for n in names if "cond" in n.lower() and n not in negative]
    return positive, negative
