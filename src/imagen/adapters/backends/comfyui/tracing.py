"""Traces links in a workflow: to outputs, samplers, text encoders, models, values."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from imagen.adapters.backends.comfyui.graph import Link, NodeInput, WorkflowGraph

ValueKind: TypeAlias = Literal["text", "integer", "number", "string"]
"""The kind of a value: "text" is prompt text, "string" a name or a file name."""

Role: TypeAlias = Literal["positive", "negative"]

POSITIVE_TEXTS = (
    *("text", "prompt", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama"),
    *("bert", "mt5xl", "user_prompt", "positive_prompt", "positive"),
)
"""Text inputs of encoders: CLIPTextEncode, its SDXL, SD3, Flux, HiDream, HunyuanDiT and
Lumina2 forms, TextEncodeQwenImage*, and the loaders of node packs."""

NEGATIVE_TEXTS = ("negative_prompt", "negative")
SEEDS = ("seed", "noise_seed")
SIZE_INPUTS = (("width", "height"), ("empty_latent_width", "empty_latent_height"))

# Inputs of nodes that only hold or pass on a value, such as PrimitiveInt.
_PASSTHROUGH_INPUTS: Mapping[ValueKind, tuple[str, ...]] = {
    "text": ("value", "string", "text", "prompt"),
    "integer": ("value", "int", "number", "Number"),
    "number": ("value", "float", "number", "Number"),
    "string": ("value", "string"),
}

# Inputs of nodes that join several texts, such as StringConcatenate.
_TEXT_PART_INPUTS = frozenset(
    f"{word}{gap}{mark}"
    for word in ("text", "string", "prompt")
    for gap in ("", "_")
    for mark in "abcdefgh12345678"
)

# Parts of the names of inputs that never lead to a conditioning, or to a latent.
_NOT_CONDITIONING = (
    *("clip", "model", "vae", "image", "pixels", "latent", "samples", "mask"),
    "control_net",
)
_NOT_LATENT = (
    *("clip", "model", "vae", "positive", "negative", "conditioning", "control_net"),
    *("guider", "noise", "sigmas", "sampler", "mask"),
)


class SamplerPass(msgspec.Struct, frozen=True, kw_only=True):
    """A sampler, and the nodes that hold its settings.

    Most samplers hold all settings themselves; SamplerCustomAdvanced has a node each.

    Attributes:
        sampler: The sampler node.
        leading: True if no other sampler feeds it.
        guider: The node with the model, the conditioning and cfg.
        noise: The node with the seed.
        schedule: The node with the steps; None if there is none.
        method: The node with the name of the sampling method.
    """

    sampler: str
    leading: bool
    guider: str
    noise: str
    schedule: str | None
    method: str


def trace_literal(
    graph: WorkflowGraph, start: NodeInput, kind: ValueKind
) -> NodeInput | None:
    """Return the input that holds the value which reaches `start`.

    None if several inputs may hold it, or none does.
    """
    found = trace_literals(graph, start, kind)
    return found[0] if len(found) == 1 else None


def trace_literals(
    graph: WorkflowGraph, start: NodeInput, kind: ValueKind
) -> tuple[NodeInput, ...]:
    """Return every input whose value of that kind may reach `start`."""
    found: list[NodeInput] = []
    seen, waiting = {start}, [start]
    while waiting:
        target = waiting.pop()
        link = graph.link(target)
        if link is None:
            found.extend([target] if _matches_kind(graph.value(target), kind) else [])
            continue
        for source in reversed(_copied_inputs(graph, link, target.input, kind)):
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    return tuple(found)


def _copied_inputs(
    graph: WorkflowGraph, link: Link, wanted: str, kind: ValueKind
) -> list[NodeInput]:
    """Return the inputs of a node that its output may be a copy of."""
    node = graph.nodes[link.node]
    inputs = [NodeInput(link.node, name) for name in node.inputs]
    branch = _selected_branch(graph, link.node)
    if branch is not None:
        return [branch]
    if "reroute" in node.class_type.lower():
        return inputs if len(inputs) == 1 else []
    usable = {
        source.input: source
        for source in inputs
        if graph.link(source) is not None or _matches_kind(graph.value(source), kind)
    }
    parts = [usable[name] for name in usable if name in _TEXT_PART_INPUTS]
    if kind == "text" and len(parts) > 1:
        return parts
    for name in (wanted, *_PASSTHROUGH_INPUTS[kind]):
        if name in usable:
            return [usable[name]]
    # Any other text may be the name of a model, which a prompt must not replace.
    if kind == "text":
        return []
    literals = [source for source in usable.values() if graph.link(source) is None]
    return literals if len(literals) == 1 and len(usable) == 1 else []


def _selected_branch(graph: WorkflowGraph, node: str) -> NodeInput | None:
    """Return the selected input of a switch (ComfySwitchNode); None for other nodes."""
    if not {"switch", "on_false", "on_true"} <= graph.nodes[node].inputs.keys():
        return None
    switch = NodeInput(node, "switch")
    link = graph.link(switch)  # to a PrimitiveBoolean
    on = graph.value(switch if link is None else NodeInput(link.node, "value"))
    return NodeInput(node, "on_true" if on is True else "on_false")


def _matches_kind(value: object, kind: ValueKind) -> bool:
    if kind in {"text", "string"}:
        return isinstance(value, str)
    if isinstance(value, bool):
        return False
    if isinstance(value, float) and kind == "integer":
        return value.is_integer()
    return isinstance(value, int | float)


def find_output_candidates(graph: WorkflowGraph) -> list[str]:
    """Return the nodes that save images; else those that preview or receive them."""
    receivers = [node for node in graph.nodes if _find_image_source(graph, node)]
    # By parts of the name, as node packs call their SaveImage "Image Save".
    names = {node: graph.nodes[node].class_type.lower() for node in receivers}
    for verb in ("save", "preview"):
        found = [
            node for node, name in names.items() if verb in name and "image" in name
        ]
        if found:
            return found
    used = {link.node for node in graph.nodes for _, link in graph.links(node)}
    return [node for node in receivers if node not in used]


def _find_image_source(graph: WorkflowGraph, node: str) -> str | None:
    for name in ("images", "image"):
        link = graph.link(NodeInput(node, name))
        if link is not None:
            return link.node
    return None


def drop_intermediate_outputs(
    graph: WorkflowGraph, outputs: Sequence[str]
) -> tuple[str, ...]:
    """Drop the outputs whose images are processed further for another output."""
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


def find_image_inputs(
    graph: WorkflowGraph, outputs: Sequence[str]
) -> tuple[NodeInput, ...]:
    """Return the inputs that name an image file to load."""
    reached = graph.with_ancestors(outputs)
    return tuple(
        NodeInput(name, "image")
        for name, node in graph.nodes.items()
        if name in reached
        and node.class_type.startswith("LoadImage")
        and isinstance(node.inputs.get("image"), str)
    )


def is_sampler(graph: WorkflowGraph, node: str) -> bool:
    """Return True for a node that samples."""
    # By its inputs and not by its class, so that samplers of node packs count.
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
    sampled = graph.with_dependents(samplers)

    def is_leading(node: str) -> bool:
        return not any(link.node in sampled for _, link in graph.links(node))

    return [_build_pass(graph, node, leading=is_leading(node)) for node in samplers]


def _build_pass(graph: WorkflowGraph, node: str, *, leading: bool) -> SamplerPass:
    def linked_node(name: str) -> str | None:
        link = graph.link(NodeInput(node, name))
        return None if link is None else _skip_passthrough(graph, link).node

    return SamplerPass(
        sampler=node,
        leading=leading,
        guider=linked_node("guider") or node,
        noise=linked_node("noise") or node,
        schedule=_find_schedule_node(graph, node),
        method=linked_node("sampler") or node,
    )


def _find_schedule_node(graph: WorkflowGraph, sampler: str) -> str | None:
    # Nodes that only split or flip the sigmas have `sigmas` as an input themselves.
    node = sampler
    while (link := graph.link(NodeInput(node, "sigmas"))) is not None:
        node = _skip_passthrough(graph, link).node
    return node if "steps" in graph.nodes[node].inputs else None


def _skip_passthrough(graph: WorkflowGraph, link: Link) -> Link:
    """Follow a link through switches and reroutes."""
    while (source := _passthrough_link(graph, link)) is not None:
        link = source
    return link


def _passthrough_link(graph: WorkflowGraph, link: Link) -> Link | None:
    """Return the link that a switch or a reroute passes on; None for other nodes."""
    node = graph.nodes[link.node]
    branch = _selected_branch(graph, link.node)
    if branch is not None:
        return graph.link(branch)
    links = list(graph.links(link.node))
    if "reroute" in node.class_type.lower() and len(links) == 1:
        return links[0][1]
    return None


def find_text_encoders(
    graph: WorkflowGraph, sampler: SamplerPass, role: Role
) -> list[str]:
    """Return the text encoders that a sampler's conditioning comes from."""
    names = ("positive", "conditioning", "cond1", "cond2")
    found: dict[str, None] = {}
    for name in names if role == "positive" else ("negative",):
        link = graph.link(NodeInput(sampler.guider, name))
        if link is not None:
            for node in trace_conditioning(graph, link, role):
                if any(True for _ in list_text_inputs(graph, node, role)):
                    found[node] = None
    return list(found)


def trace_conditioning(graph: WorkflowGraph, start: Link, role: Role) -> Iterator[str]:
    """Yield every node that a conditioning passes, except for zeroed-out branches."""
    seen, waiting = {start}, [start]
    while waiting:
        link = waiting.pop()
        if graph.nodes[link.node].class_type == "ConditioningZeroOut":
            continue
        yield link.node
        for source in reversed(list(_conditioning_links(graph, link, role))):
            if source not in seen:
                seen.add(source)
                waiting.append(source)


def _conditioning_links(graph: WorkflowGraph, link: Link, role: Role) -> Iterator[Link]:
    passthrough = _passthrough_link(graph, link)
    if passthrough is not None:
        yield passthrough
        return
    links = dict(graph.links(link.node))
    # ControlNetApplyAdvanced and such: output 0 is the positive, 1 the negative.
    if {"positive", "negative"} <= links.keys():
        if link.output <= 1:
            yield links["negative" if link.output else "positive"]
        return
    named = [links[name] for name in links if "cond" in name or name == "positive"]
    if named:
        yield from named
    elif not any(True for _ in list_text_inputs(graph, link.node, role)):
        for name, source in links.items():
            if not _contains_any(name, _NOT_CONDITIONING):
                yield source


def list_text_inputs(graph: WorkflowGraph, node: str, role: Role) -> Iterator[str]:
    """Yield the inputs of an encoder that hold its text."""
    inputs = graph.nodes[node].inputs

    def texts(names: Iterable[str]) -> list[str]:
        links = {"positive", "negative"}  # as links, they are conditioning
        return [
            name
            for name in names
            if isinstance(inputs.get(name), str)
            or (name not in links and graph.link(NodeInput(node, name)) is not None)
        ]

    # TextEncodeQwenImage21 encodes both texts, so the role decides.
    if role == "negative":
        negative = texts(NEGATIVE_TEXTS)
        if negative:
            yield from negative
            return
    yield from texts(POSITIVE_TEXTS)


def trace_model(graph: WorkflowGraph, sampler: SamplerPass) -> Iterator[str]:
    """Yield the nodes that a sampler's model passes, from the sampler to the loader."""
    starts = [graph.link(NodeInput(sampler.guider, "model"))]
    if sampler.schedule is not None:
        starts.append(graph.link(NodeInput(sampler.schedule, "model")))
    waiting = [link for link in starts if link is not None]
    seen = set(waiting)
    while waiting:
        link = waiting.pop(0)
        yield link.node
        passthrough = _passthrough_link(graph, link)
        links = list(graph.links(link.node))
        sources = [source for name, source in links if name.startswith("model")]
        for source in sources if passthrough is None else [passthrough]:
            if source not in seen:
                seen.add(source)
                waiting.append(source)


def find_latent_nodes(graph: WorkflowGraph, sampler: SamplerPass) -> Iterator[str]:
    """Yield the nodes that set the size of a sampler's latent."""
    names = ("latent_image", "latent", "samples", "optional_latent", "image", "images")
    starts = (graph.link(NodeInput(sampler.sampler, name)) for name in names)
    waiting = [link for link in starts if link is not None][:1]
    seen = set(waiting)
    while waiting:
        link = waiting.pop()
        if any(name in graph.nodes[link.node].inputs for name, _ in SIZE_INPUTS):
            yield link.node
            continue
        passthrough = _passthrough_link(graph, link)
        links = list(graph.links(link.node))
        sources = [to for name, to in links if not _contains_any(name, _NOT_LATENT)]
        for source in reversed(sources if passthrough is None else [passthrough]):
            if source not in seen:
                seen.add(source)
                waiting.append(source)


def _contains_any(name: str, parts: Iterable[str]) -> bool:
    return any(part in name for part in parts)
