"""Follows the links of a workflow: to its samplers, and from them to each value."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from imagen.adapters.backends.comfyui.graph import Link, NodeInput, WorkflowGraph

ValueKind: TypeAlias = Literal["text", "whole", "number", "word"]


Role: TypeAlias = Literal["positive", "negative"]


POSITIVE_TEXTS = (
    *("text", "prompt", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama"),
    *("bert", "mt5xl", "user_prompt", "positive_prompt", "positive"),
)
"""What text encoders call their text: CLIPTextEncode, its SDXL, SD3, Flux, HiDream,
HunyuanDiT and Lumina2 forms, TextEncodeQwenImage*, and the loaders of node packs."""


NEGATIVE_TEXTS = ("negative_prompt", "negative")


SEEDS = ("seed", "noise_seed")


SIZE_INPUTS = (("width", "height"), ("empty_latent_width", "empty_latent_height"))


_PASSTHROUGH_INPUTS: Mapping[ValueKind, tuple[str, ...]] = {
    "text": ("value", "string", "text", "prompt"),
    "whole": ("value", "int", "number", "Number"),
    "number": ("value", "float", "number", "Number"),
    "word": ("value", "string"),
}
"""What the nodes call it that only hold or pass on a value (PrimitiveInt and such)."""


_TEXT_PART_INPUTS = frozenset(
    f"{word}{gap}{mark}"
    for word in ("text", "string", "prompt")
    for gap in ("", "_")
    for mark in "abcdefgh12345678"
)
"""What the nodes call it that join several texts (StringConcatenate and such)."""


_NOT_CONDITIONING = (
    *("clip", "model", "vae", "image", "pixels", "latent", "samples", "mask"),
    "control_net",
)


_NOT_LATENT = (
    *("clip", "model", "vae", "positive", "negative", "conditioning", "control_net"),
    *("guider", "noise", "sigmas", "sampler", "mask"),
)
"""What the inputs are called, in part, that no latent or image comes through."""


class SamplerPass(msgspec.Struct, frozen=True, kw_only=True):
    """One sampler with the nodes that its settings are on.

    Attributes:
        sampler: The node itself.
        leads: Whether no other sampler feeds it.
        guider: Has the model, the conditioning and cfg; the sampler itself in most.
        noise: Has the seed; likewise.
        schedule: Has the steps; likewise; None when it has none.
        method: Has the name of the sampling method; likewise.
    """

    sampler: str
    leading: bool
    guider: str
    noise: str
    schedule: str | None
    method: str


def trace_literal(
    graph: WorkflowGraph, place: NodeInput, kind: ValueKind
) -> NodeInput | None:
    """Return where the value is written down that reaches an input.

    None when there is no such place, or more than one.
    """
    found = trace_literals(graph, place, kind)
    return found[0] if len(found) == 1 else None


def find_output_candidates(graph: WorkflowGraph) -> list[str]:
    """Return what saves images, else what shows them, else what ends in one."""
    taking = [node for node in graph.nodes if _find_image_source(graph, node)]
    for verb in ("save", "preview"):
        found = [node for node in taking if _is_image_node(graph, node, verb)]
        if found:
            return found
    used = {link.node for node in graph.nodes for _, link in graph.links(node)}
    return [node for node in taking if node not in used]


def _is_image_node(graph: WorkflowGraph, node: str, verb: str) -> bool:
    """Whether it is a SaveImage, or what a node pack calls "Image Save"."""
    name = graph.nodes[node].class_type.lower()
    return verb in name and "image" in name


def _find_image_source(graph: WorkflowGraph, node: str) -> str | None:
    for name in ("images", "image"):
        link = graph.link(NodeInput(node, name))
        if link is not None:
            return link.node
    return None


def drop_intermediate_outputs(
    graph: WorkflowGraph, outputs: Sequence[str]
) -> tuple[str, ...]:
    """Drop the outputs whose images another one gets to work on further."""
    sources = {node: _find_image_source(graph, node) or node for node in outputs}
    earlier = graph.with_ancestors(
        {link.node for node in sources.values() for _, link in graph.links(node)}
    )
    ends = {
        source: node
        for node, source in reversed(sources.items())
        if source not in earlier
    }
    return tuple(node for node in outputs if ends.get(sources[node]) == node)


# The samplers, and the nodes around each


def is_sampler(graph: WorkflowGraph, node: str) -> bool:
    """Whether a node samples: known by its inputs, so node packs are included."""
    inputs = graph.nodes[node].inputs
    linked = {name for name, _ in graph.links(node)}
    if {"guider", "noise"} <= linked:  # SamplerCustomAdvanced
        return True
    return "positive" in linked and any(seed in inputs for seed in SEEDS)


def find_sampler_passes(
    graph: WorkflowGraph, outputs: Sequence[str]
) -> list[SamplerPass]:
    """Return the samplers that lead to the outputs, each after those that feed it."""
    reached = graph.with_ancestors(outputs)
    samplers = [n for n in graph.order if n in reached and is_sampler(graph, n)]
    drawn = graph.with_dependents(samplers)

    def leads(node: str) -> bool:
        return not any(link.node in drawn for _, link in graph.links(node))

    return [_build_pass(graph, node, leads=leads(node)) for node in samplers]


def _build_pass(graph: WorkflowGraph, node: str, *, leads: bool) -> SamplerPass:
    def around(name: str) -> str | None:
        link = graph.link(NodeInput(node, name))
        return None if link is None else _skip_passthrough(graph, link).node

    return SamplerPass(
        sampler=node,
        leading=leads,
        guider=around("guider") or node,
        noise=around("noise") or node,
        schedule=_find_schedule_node(graph, node),
        method=around("sampler") or node,
    )


def _find_schedule_node(graph: WorkflowGraph, sampler: str) -> str | None:
    """Return the node with the steps, past those that only split or flip the sigmas."""
    node = sampler
    while (link := graph.link(NodeInput(node, "sigmas"))) is not None:
        node = _skip_passthrough(graph, link).node
    return node if "steps" in graph.nodes[node].inputs else None


def _skip_passthrough(graph: WorkflowGraph, link: Link) -> Link:
    """Follow a link past switches and reroutes."""
    while (onward := _passthrough_link(graph, link)) is not None:
        link = onward
    return link


def _passthrough_link(graph: WorkflowGraph, link: Link) -> Link | None:
    """Return where a switch or a reroute has it from; None for any other node."""
    node = graph.nodes[link.node]
    branch = _selected_branch(graph, link.node)
    if branch is not None:
        return graph.link(branch)
    links = list(graph.links(link.node))
    if "reroute" in node.class_type.lower() and len(links) == 1:
        return links[0][1]
    return None


def find_text_encoders(graph: WorkflowGraph, one: SamplerPass, role: Role) -> list[str]:
    """Return the text encoders that a sampler's positive or negative comes from."""
    names = ("positive", "conditioning", "cond1", "cond2")
    found: dict[str, None] = {}
    for name in names if role == "positive" else ("negative",):
        link = graph.link(NodeInput(one.guider, name))
        if link is not None:
            for node in trace_conditioning(graph, link, role):
                if any(True for _ in list_text_inputs(graph, node, role)):
                    found[node] = None
    return list(found)


def trace_conditioning(graph: WorkflowGraph, start: Link, role: Role) -> Iterator[str]:
    """Give every node that a conditioning goes through, except what is zeroed out."""
    seen, waiting = {start}, [start]
    while waiting:
        link = waiting.pop()
        if graph.nodes[link.node].class_type == "ConditioningZeroOut":
            continue
        yield link.node
        for onward in reversed(list(_conditioning_links(graph, link, role))):
            if onward not in seen:
                seen.add(onward)
                waiting.append(onward)


def _conditioning_links(graph: WorkflowGraph, link: Link, role: Role) -> Iterator[Link]:
    through = _passthrough_link(graph, link)
    if through is not None:
        yield through
        return
    links = dict(graph.links(link.node))
    if {"positive", "negative"} <= links.keys():  # ControlNetApplyAdvanced and such
        if link.output <= 1:
            yield links["negative" if link.output else "positive"]
        return
    named = [links[name] for name in links if "cond" in name or name == "positive"]
    if named:
        yield from named
    elif not any(True for _ in list_text_inputs(graph, link.node, role)):
        for name, onward in links.items():
            if not _contains_any(name, _NOT_CONDITIONING):
                yield onward


def list_text_inputs(graph: WorkflowGraph, node: str, role: Role) -> Iterator[str]:
    """Give the inputs of an encoder that hold its text.

    Some encode both at once (TextEncodeQwenImage21); then the role tells which.
    """
    inputs = graph.nodes[node].inputs

    def texts(names: Iterable[str]) -> list[str]:
        links = {"positive", "negative"}  # as links, they are conditioning
        return [
            name
            for name in names
            if isinstance(inputs.get(name), str)
            or (name not in links and graph.link(NodeInput(node, name)) is not None)
        ]

    if role == "negative":
        own = texts(NEGATIVE_TEXTS)
        if own:
            yield from own
            return
    yield from texts(POSITIVE_TEXTS)


def trace_model(graph: WorkflowGraph, one: SamplerPass) -> Iterator[str]:
    """Give the nodes that the model comes through, down to what loads it."""
    starts = [graph.link(NodeInput(one.guider, "model"))]
    if one.schedule is not None:
        starts.append(graph.link(NodeInput(one.schedule, "model")))
    waiting = [link for link in starts if link is not None]
    seen = set(waiting)
    while waiting:
        link = waiting.pop(0)
        yield link.node
        through = _passthrough_link(graph, link)
        links = list(graph.links(link.node))
        onwards = [to for name, to in links if name.startswith("model")]
        for onward in onwards if through is None else [through]:
            if onward not in seen:
                seen.add(onward)
                waiting.append(onward)


def find_latent_nodes(graph: WorkflowGraph, sampler: str) -> Iterator[str]:
    """Give the nodes above a sampler that say how large its latent is."""
    names = ("latent_image", "latent", "samples", "optional_latent", "image", "images")
    starts = (graph.link(NodeInput(sampler, name)) for name in names)
    waiting = [link for link in starts if link is not None][:1]
    seen = set(waiting)
    while waiting:
        link = waiting.pop()
        if any(name in graph.nodes[link.node].inputs for name, _ in SIZE_INPUTS):
            yield link.node
            continue
        through = _passthrough_link(graph, link)
        links = list(graph.links(link.node))
        onwards = [to for name, to in links if not _contains_any(name, _NOT_LATENT)]
        for onward in reversed(onwards if through is None else [through]):
            if onward not in seen:
                seen.add(onward)
                waiting.append(onward)


def find_image_inputs(
    graph: WorkflowGraph, outputs: Sequence[str]
) -> tuple[NodeInput, ...]:
    """Return the inputs that name an image to load."""
    reached = graph.with_ancestors(outputs)
    return tuple(
        NodeInput(name, "image")
        for name, node in graph.nodes.items()
        if name in reached
        and node.class_type.startswith("LoadImage")
        and isinstance(node.inputs.get("image"), str)
    )


# Values


def trace_literals(
    graph: WorkflowGraph, start: NodeInput, kind: ValueKind
) -> tuple[NodeInput, ...]:
    """Return every place from which a value of that kind may reach an input."""
    found: list[NodeInput] = []
    seen, waiting = {start}, [start]
    while waiting:
        place = waiting.pop()
        link = graph.link(place)
        if link is None:
            found.extend([place] if _matches_kind(graph.value(place), kind) else [])
            continue
        for onward in reversed(_copied_inputs(graph, link, place.input, kind)):
            if onward not in seen:
                seen.add(onward)
                waiting.append(onward)
    return tuple(found)


def _copied_inputs(
    graph: WorkflowGraph, link: Link, wanted: str, kind: ValueKind
) -> list[NodeInput]:
    """Return the inputs of a node that its output may simply be a copy of."""
    node = graph.nodes[link.node]
    inputs = [NodeInput(link.node, name) for name in node.inputs]
    branch = _selected_branch(graph, link.node)
    if branch is not None:
        return [branch]
    if "reroute" in node.class_type.lower():
        return inputs if len(inputs) == 1 else []
    usable = {
        place.input: place
        for place in inputs
        if graph.link(place) is not None or _matches_kind(graph.value(place), kind)
    }
    parts = [usable[name] for name in usable if name in _TEXT_PART_INPUTS]
    if kind == "text" and len(parts) > 1:
        return parts
    for name in (wanted, *_PASSTHROUGH_INPUTS[kind]):
        if name in usable:
            return [usable[name]]
    if kind == "text":  # any other text may be a model's name: better none than that
        return []
    written = [place for place in usable.values() if graph.link(place) is None]
    return written if len(written) == 1 and len(usable) == 1 else []


def _selected_branch(graph: WorkflowGraph, node: str) -> NodeInput | None:
    """Return the input that a switch (ComfySwitchNode) lets through."""
    if not {"switch", "on_false", "on_true"} <= graph.nodes[node].inputs.keys():
        return None
    switch = NodeInput(node, "switch")
    link = graph.link(switch)  # to a PrimitiveBoolean
    on = graph.value(switch if link is None else NodeInput(link.node, "value"))
    return NodeInput(node, "on_true" if on is True else "on_false")


def _matches_kind(value: object, kind: ValueKind) -> bool:
    if kind in {"text", "word"}:
        return isinstance(value, str)
    if isinstance(value, bool):
        return False
    if isinstance(value, float) and kind == "whole":
        return value.is_integer()
    return isinstance(value, int | float)


def _contains_any(name: str, parts: Iterable[str]) -> bool:
    return any(part in name for part in parts)
