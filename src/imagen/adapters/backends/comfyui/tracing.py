"""Traces links in a workflow: to outputs, samplers, text encoders, models, values."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from imagen.adapters.backends.comfyui.graph import Link, NodeInput, WorkflowGraph
from imagen.adapters.backends.comfyui.links import (
    NOT_CONDITIONING,
    Role,
    contains_any,
    find_branches,
    find_role,
    follow,
    is_conditioning_name,
    list_pipes,
    split_roles,
    walk_pipe,
)
from imagen.adapters.backends.comfyui.texts import find_text_sources

ValueKind: TypeAlias = Literal["text", "integer", "number", "string"]
"""The kind of a value: "text" is prompt text, "string" a name or a file name."""

POSITIVE_TEXTS = (
    *("text", "prompt", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama"),
    *("bert", "mt5xl", "user_prompt", "positive_prompt", "positive", "prompt_g"),
    *("prompt_l", "wildcard_text", "populated_text"),
)
"""Text inputs of encoders: CLIPTextEncode, its SDXL, SD3, Flux, HiDream, HunyuanDiT and
Lumina2 forms, TextEncodeQwenImage*, and the loaders and wildcards of node packs."""

NEGATIVE_TEXTS = ("negative_prompt", "negative")
SEEDS = ("seed", "noise_seed")
SIZE_INPUTS = (("width", "height"), ("empty_latent_width", "empty_latent_height"))

_CONDITIONING: Mapping[Role, tuple[str, ...]] = {
    "positive": ("positive", "conditioning", "cond1"),
    "negative": ("negative", "neg_conditioning"),
}
"""Inputs of samplers and guiders; DualCFGGuider calls the prompt's `cond1`."""

_IMAGES = ("latent_image", "latent", "samples", "optional_latent", "image", "images")
"""Inputs of samplers for the image to start from."""

# Inputs of nodes that only hold or pass on a value, such as PrimitiveInt.
_PASSTHROUGH_INPUTS: Mapping[ValueKind, tuple[str, ...]] = {
    "integer": ("value", "int", "number", "Number"),
    "number": ("value", "float", "number", "Number"),
    "string": ("value", "string"),
}

# Parts of the names of inputs that never lead to a latent.
_REGROUPS = (
    *("anim", "batch", "collage", "combine", "concan", "concat", "gif", "grid", "list"),
    *("merge", "montage", "pick", "select", "stitch", "video"),
)
"""Parts of the classes of nodes that make other images of a batch than one for each."""

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
    if kind == "text":
        sources = find_text_sources(graph, start, "positive")
        single = len(sources) == 1 and len(sources[0].inputs) == 1
        return sources[0].inputs[0] if single else None
    target = start
    while (link := graph.link(target)) is not None:
        source = _copied_input(graph, link, target.input, kind)
        if source is None:
            return None
        target = source
    return target if _matches_kind(graph.value(target), kind) else None


def _copied_input(
    graph: WorkflowGraph, link: Link, wanted: str, kind: ValueKind
) -> NodeInput | None:
    """Return the input of a node that its output is a copy of."""
    node = graph.nodes[link.node]
    branches = find_branches(graph, link.node)
    if branches is not None:
        return branches[0] if len(branches) == 1 else None
    usable = {
        name: NodeInput(link.node, name)
        for name, value in node.inputs.items()
        if graph.link(NodeInput(link.node, name)) or _matches_kind(value, kind)
    }
    # A choice such as "1:1 square" decides in place of the numbers beside it.
    if wanted in {"width", "height"} and any(
        _is_preset(name, value) for name, value in node.inputs.items()
    ):
        return None
    for name in (wanted, *_PASSTHROUGH_INPUTS[kind]):
        if name in usable:
            return usable[name]
    single = next(iter(usable.values())) if len(usable) == 1 else None
    return None if single is None or graph.link(single) else single


def _is_preset(name: str, value: object) -> bool:
    return (
        isinstance(value, str)
        and bool(re.search(r"ratio|resolution|preset|dimension", name))
        and "custom" not in value.lower()
    )


def _matches_kind(value: object, kind: ValueKind) -> bool:
    if kind == "string":
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
    # Samplers of the pack Easy-Use save or show their image themselves.
    showing = [
        name
        for name, node in graph.nodes.items()
        if node.inputs.get("image_output", "Hide") != "Hide"
    ]
    return [node for node in receivers if node not in used] or showing


def _find_image_source(graph: WorkflowGraph, node: str) -> str | None:
    for name in ("images", "image"):
        link = graph.link(NodeInput(node, name))
        if link is not None:
            return link.node
    return None


def rank_outputs(
    graph: WorkflowGraph, outputs: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sort outputs into those with final images and those with earlier stages.

    An output shows an earlier stage if its image, or its samplers alone, lead to the
    image of another one. Of two outputs of one image, the first is kept.
    """
    sources = {
        source: node
        for node in reversed(outputs)
        if (source := _find_image_source(graph, node) or node)
    }
    above = {source: graph.with_ancestors([source]) for source in sources}
    samplers = {
        source: {node for node in nodes if is_sampler(graph, node)}
        for source, nodes in above.items()
    }

    def is_earlier(one: str) -> bool:
        return any(
            one in above[other] or samplers[one] < samplers[other]
            for other in sources
            if other != one and other not in above[one]
        )

    early = {node for source, node in sources.items() if is_earlier(source)}
    order = {node: len(samplers[source]) for source, node in sources.items()}
    kept = [node for node in outputs if node in order]
    stages = sorted((node for node in kept if node in early), key=lambda n: -order[n])
    return tuple(node for node in kept if node not in early), tuple(stages)


def keeps_batch(graph: WorkflowGraph, node: str, output: str) -> bool:
    """Return True if an output has an image for each one in the batch of a node.

    False in doubt: if a node between them makes a grid, an animation or another batch.
    """
    after = graph.with_dependents([node])
    between = after & graph.with_ancestors([output]) - {node}
    kinds = [graph.nodes[each].class_type.lower() for each in between]
    return output in after and not any(contains_any(kind, _REGROUPS) for kind in kinds)


def find_image_inputs(
    graph: WorkflowGraph, outputs: Sequence[str]
) -> tuple[tuple[NodeInput, ...], tuple[NodeInput, ...]]:
    """Return the inputs that name image files to load, and the one for the mask.

    The input for the mask is among those for images if one file has both: the mask is
    then its transparency. None if several inputs may take the mask.
    """
    reached = graph.with_ancestors(outputs)
    images: list[NodeInput] = []
    masks: list[NodeInput] = []
    masked: list[NodeInput] = []
    for name, node in graph.nodes.items():
        kind = node.class_type.lower()
        target = NodeInput(name, "image")
        loads = "load" in kind and "image" in kind and "base64" not in kind
        if name not in reached or not loads or not isinstance(graph.value(target), str):
            continue
        uses = {
            output for output, user in graph.consumers(name) if user.node in reached
        }
        if "mask" in kind or uses == {1}:
            masks.append(target)
        else:
            images.append(target)
            masked.extend([target] if 1 in uses else [])
    found = masks or masked
    return tuple(images), tuple(found) if len(found) == 1 else ()


def is_sampler(graph: WorkflowGraph, node: str) -> bool:
    """Return True for a node that samples."""
    # By its inputs and not by its class, so that samplers of node packs count.
    inputs = graph.nodes[node].inputs
    linked = {name for name, _ in graph.links(node)}
    if {"guider", "noise"} <= linked:  # SamplerCustomAdvanced
        return True
    seeded = any(seed in inputs for seed in SEEDS)
    if linked & {"positive", "conditioning"}:
        return seeded
    kind = graph.nodes[node].class_type.lower()
    return (seeded or "sampler" in kind) and any(True for _ in list_pipes(graph, node))


def is_detailer(graph: WorkflowGraph, node: str) -> bool:
    """Return True for a sampler that repaints parts, such as faces."""
    body = graph.nodes[node]
    return "detailer" in body.class_type.lower() or "segs" in body.inputs


def find_sampler_passes(
    graph: WorkflowGraph, outputs: Sequence[str]
) -> list[SamplerPass]:
    """Return the samplers that lead to the outputs, each after those that feed it."""
    reached = graph.with_ancestors(outputs)
    samplers = [n for n in graph.order if n in reached and is_sampler(graph, n)]
    sampled = graph.with_dependents(samplers)
    fed = {
        node
        for node in reached
        if any(link.node in sampled for _, link in graph.links(node))
    }

    def is_leading(node: str) -> bool:
        if node in fed:
            return False
        if any(name in graph.nodes[node].inputs for name in _IMAGES):
            return True
        # A node that only configures a sampler, such as PixelKSampleUpscalerProvider,
        # has no image of its own: the node that takes it has.
        users = graph.with_dependents([node]) & reached
        others = graph.with_dependents([n for n in samplers if n not in users])
        return not users & others

    return [_build_pass(graph, node, leading=is_leading(node)) for node in samplers]


def _build_pass(graph: WorkflowGraph, node: str, *, leading: bool) -> SamplerPass:
    pipe = walk_pipe(graph, node)

    def find_holder(link_name: str, inputs: Iterable[str]) -> str:
        link = graph.link(NodeInput(node, link_name))
        if link is not None:
            return follow(graph, link).node
        holders = (
            n for n in pipe if not graph.nodes[n].inputs.keys().isdisjoint(inputs)
        )
        return next(holders, node)

    return SamplerPass(
        sampler=node,
        leading=leading,
        guider=find_holder("guider", _CONDITIONING["positive"]),
        noise=find_holder("noise", SEEDS),
        schedule=_find_schedule_node(graph, pipe),
        method=find_holder("sampler", ["sampler_name"]),
    )


def _find_schedule_node(graph: WorkflowGraph, pipe: Sequence[str]) -> str | None:
    # Nodes that only split or flip the sigmas have `sigmas` as an input themselves.
    node = pipe[0]
    while (link := graph.link(NodeInput(node, "sigmas"))) is not None:
        node = follow(graph, link).node
    nodes = [node, *pipe[1:]]
    return next((each for each in nodes if "steps" in graph.nodes[each].inputs), None)


def find_text_encoders(
    graph: WorkflowGraph, sampler: SamplerPass, role: Role
) -> list[tuple[str, Role]]:
    """Return the text encoders that a sampler's conditioning comes from.

    Each with the role of its text: a negative conditioning may be made of the positive
    prompt.

    Raises:
        UnclearRole: the links do not tell the positive from the negative.
    """
    found: dict[tuple[str, Role], None] = {}
    starts = [
        link
        for name in _CONDITIONING[role]
        if (link := graph.link(NodeInput(sampler.guider, name))) is not None
    ]
    if not starts and any(True for _ in list_text_inputs(graph, sampler.guider, role)):
        return [(sampler.guider, role)]  # a loader with a pipe, which has the texts
    if not starts:
        starts = list(list_pipes(graph, sampler.guider))
    for start in starts:
        for node, its_role in trace_conditioning(graph, start, role):
            if any(True for _ in list_text_inputs(graph, node, its_role)):
                found[node, its_role] = None
    return list(found)


def trace_conditioning(
    graph: WorkflowGraph, start: Link, role: Role
) -> Iterator[tuple[str, Role]]:
    """Yield every node that a conditioning passes, except for zeroed-out branches.

    Raises:
        UnclearRole: the links do not tell the positive from the negative.
    """
    waiting: list[tuple[Link, Role]] = [(start, role)]
    seen = set(waiting)
    while waiting:
        link, its_role = waiting.pop()
        if graph.nodes[link.node].class_type == "ConditioningZeroOut":
            continue
        sources, its_role = _find_conditioning_links(graph, link, its_role)
        yield link.node, its_role
        for source in reversed(sources):
            if (source, its_role) not in seen:
                seen.add((source, its_role))
                waiting.append((source, its_role))


def _find_conditioning_links(
    graph: WorkflowGraph, link: Link, role: Role
) -> tuple[list[Link], Role]:
    """Return the links that the conditioning of an output comes from, and its role."""
    branches = find_branches(graph, link.node)
    if branches is not None:
        return [found for each in branches if (found := graph.link(each))], role
    links = dict(graph.links(link.node))
    positive, negative = split_roles(links)
    pipes = list(list_pipes(graph, link.node))
    # ControlNetApplyAdvanced and such have an output for each role.
    texts = any(True for _ in list_text_inputs(graph, link.node, role))
    bare = not texts and not any(map(is_conditioning_name, links))
    if (positive and negative) or (pipes and (positive or negative or bare)):
        role = find_role(graph, link, role)
        names = negative if role == "negative" else positive
        return [links[name] for name in names] or pipes, role
    if texts and not graph.nodes[link.node].inputs.keys().isdisjoint(NEGATIVE_TEXTS):
        role = find_role(graph, link, role)  # an encoder of both texts
    named = [links[name] for name in links if "cond" in name or name in positive]
    if named or texts:
        return named, role
    others = [
        to for name, to in links.items() if not contains_any(name, NOT_CONDITIONING)
    ]
    return others, role


def list_text_inputs(graph: WorkflowGraph, node: str, role: Role) -> Iterator[str]:
    """Yield the inputs of an encoder that hold its text."""
    inputs = graph.nodes[node].inputs

    def texts(names: Iterable[str]) -> list[str]:
        return [
            name
            for name in names
            if isinstance(inputs.get(name), str) or _takes_text(graph, node, name)
        ]

    # TextEncodeQwenImage21 encodes both texts, so the role decides.
    if role == "negative":
        negative = texts(NEGATIVE_TEXTS)
        if negative:
            yield from negative
            return
    yield from texts(POSITIVE_TEXTS)


def _takes_text(graph: WorkflowGraph, node: str, name: str) -> bool:
    """Return True for an input that is linked to a text."""
    target = NodeInput(node, name)
    link = graph.link(target)
    if link is None or name not in {"positive", "negative"}:
        return link is not None
    # As links, these are conditioning; only the loaders of packs take texts there.
    source = graph.nodes[follow(graph, link).node].inputs
    return not any("clip" in each or "cond" in each for each in source) and bool(
        find_text_sources(
            graph, target, "negative" if name == "negative" else "positive"
        )
    )


def trace_model(graph: WorkflowGraph, sampler: SamplerPass) -> Iterator[str]:
    """Yield the nodes that a sampler's model passes, from the sampler to the loader."""
    starts = [_find_model_links(graph, sampler.guider)]
    if sampler.schedule is not None:
        starts.append(_find_model_links(graph, sampler.schedule))
    waiting = [link for links in starts for link in links]
    if not waiting and sampler.guider != sampler.sampler:
        yield sampler.guider  # a loader with a pipe, which names the file itself
    seen = set(waiting)
    while waiting:
        link = waiting.pop(0)
        yield link.node
        for source in _find_model_links(graph, link.node):
            if source not in seen:
                seen.add(source)
                waiting.append(source)


def _find_model_links(graph: WorkflowGraph, node: str) -> list[Link]:
    branches = find_branches(graph, node)
    if branches is not None:
        return [link for each in branches if (link := graph.link(each))]
    named = [link for name, link in graph.links(node) if name.startswith("model")]
    return named or list(list_pipes(graph, node))


def find_latent_nodes(graph: WorkflowGraph, sampler: SamplerPass) -> Iterator[str]:
    """Yield the nodes that set the size of a sampler's latent."""
    starts = (graph.link(NodeInput(sampler.sampler, name)) for name in _IMAGES)
    waiting = [link for link in starts if link is not None][:1]
    waiting = waiting or list(list_pipes(graph, sampler.sampler))
    seen = set(waiting)
    while waiting:
        link = waiting.pop()
        if any(name in graph.nodes[link.node].inputs for name, _ in SIZE_INPUTS):
            yield link.node
            continue
        branches = find_branches(graph, link.node)
        if branches is None:
            links = graph.links(link.node)
            sources = [to for name, to in links if not contains_any(name, _NOT_LATENT)]
        else:
            sources = [to for each in branches if (to := graph.link(each))]
        for source in reversed(sources):
            if source not in seen:
                seen.add(source)
                waiting.append(source)
