"""Finds where a workflow takes its prompt, seed, steps and size, by its links alone.

The search begins at the node that saves the images and goes up. Neither the order nor
the titles of the nodes play a part: which text is the negative one, only the sampler's
or guider's link tells.

What belongs to several samplers:

- *Leading* samplers are those that no other sampler feeds. Where there are several,
  they must agree on the prompt, the size, the seed and the steps, or it is unclear.
- *Following* samplers (a refiner, a second pass for detail) share a value when theirs
  is the same in the file, and keep their own otherwise. A different prompt is unclear,
  because the picture would silently be finished after an old one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from imagen.adapters.backends.comfyui.candidates import (
    Candidate,
    deduplicate_pairs,
    find_batch_inputs,
    find_denoise,
    find_guidance,
    find_handover_steps,
    find_literal,
    find_models,
    find_negative_texts,
    find_seeds,
    find_size_copies,
    find_size_pairs,
    find_texts,
    prefer_nonempty,
    resolve_candidates,
)
from imagen.adapters.backends.comfyui.graph import (
    EXPORT_HINT,
    NodeInput,
    WorkflowGraph,
    display_name,
)
from imagen.adapters.backends.comfyui.tracing import (
    NEGATIVE_TEXTS,
    POSITIVE_TEXTS,
    SEEDS,
    SamplerPass,
    ValueKind,
    drop_intermediate_outputs,
    find_image_inputs,
    find_latent_nodes,
    find_output_candidates,
    find_sampler_passes,
    is_sampler,
    trace_literal,
)
from imagen.domain.errors import Misconfigured
from imagen.domain.suggestion import suggest_name

BindingOverrides: TypeAlias = Mapping[str, str | Sequence[str]]


MAX_CANDIDATES = 8


SIZE = "width and height"


class Bindings(msgspec.Struct, frozen=True, kw_only=True):
    """The places of a workflow that a job fills; empty where there is none.

    Attributes:
        output: The nodes whose images are the result.
        prompt: Where the prompt goes, several for encoders with several texts.
        negative: Likewise; none where it would change nothing.
        seed: Where the seed goes.
        steps: Where the number of steps goes.
        handover: Steps at which one sampler hands over to the next; they move along.
        width: Where the width goes, FLUX has it twice.
        height: Likewise, in the same order.
        batch: Where the number of images goes.
        cfg: How closely to follow the prompt, for the sampler.
        guidance: The same for models that were distilled, such as FLUX dev.
        sampler: The name of the sampling method.
        scheduler: The name of the schedule.
        denoise: How much of the image to make anew.
        image: File names of images that it takes, on the server.
        model: The file of the main model.
    """

    output: tuple[str, ...] = ()
    prompt: tuple[NodeInput, ...] = ()
    negative: tuple[NodeInput, ...] = ()
    seed: tuple[NodeInput, ...] = ()
    steps: tuple[NodeInput, ...] = ()
    handover: tuple[NodeInput, ...] = ()
    width: tuple[NodeInput, ...] = ()
    height: tuple[NodeInput, ...] = ()
    batch: tuple[NodeInput, ...] = ()
    cfg: tuple[NodeInput, ...] = ()
    guidance: tuple[NodeInput, ...] = ()
    sampler: tuple[NodeInput, ...] = ()
    scheduler: tuple[NodeInput, ...] = ()
    denoise: tuple[NodeInput, ...] = ()
    image: tuple[NodeInput, ...] = ()
    model: tuple[NodeInput, ...] = ()


BINDING_NAMES = Bindings.__struct_fields__


BINDING_KINDS: Mapping[str, ValueKind] = {
    "prompt": "text",
    "negative": "text",
    "seed": "whole",
    "steps": "whole",
    "handover": "whole",
    "width": "whole",
    "height": "whole",
    "batch": "whole",
    "cfg": "number",
    "guidance": "number",
    "sampler": "word",
    "scheduler": "word",
    "denoise": "number",
    "image": "word",
    "model": "word",
}


def find_bindings(graph: WorkflowGraph, bindings: BindingOverrides) -> Bindings:
    """Find the places that a job fills.

    Args:
        graph: The workflow.
        bindings: Places that the user names, as `node.input`; they are not searched
            for. An empty list says that there is none.

    Raises:
        Misconfigured: a binding names nothing; it is unclear where something goes; or
            there is no prompt, or no node that saves an image.
    """
    bound = _resolve_overrides(graph, bindings)
    unclear: dict[str, Sequence[str]] = {}
    outputs = _find_outputs(graph, bindings.get("output"), unclear)
    passes = find_sampler_passes(graph, outputs)
    found = (
        _bind_samplers(graph, passes, bound, unclear)
        if passes
        else _bind_single_nodes(graph, outputs, bound, unclear)
    )
    if "image" not in bound:
        found["image"] = find_image_inputs(graph, outputs)
    if unclear:
        raise _ambiguity_error(graph, unclear)
    slots = {name: places for name, places in {**found, **bound}.items() if places}
    if "prompt" not in slots and "prompt" not in bound:
        raise _missing_prompt_error(graph)
    return msgspec.convert({"output": outputs, **slots}, Bindings)


def resolve_input(graph: WorkflowGraph, written: str) -> NodeInput | None:
    """Return the place that is written as `node.input`; None when there is none.

    Both names may contain dots themselves.
    """
    dots = (at for at, letter in enumerate(written) if letter == ".")
    for dot in dots:
        node, name = written[:dot], written[dot + 1 :]
        if node in graph.nodes and name in graph.nodes[node].inputs:
            return NodeInput(node, name)
    return None


# What the user names


def _resolve_overrides(
    graph: WorkflowGraph, bindings: BindingOverrides
) -> dict[str, tuple[NodeInput, ...]]:
    """Return the places that the bindings name, each where its value is written."""
    bound: dict[str, tuple[NodeInput, ...]] = {}
    for name, written in bindings.items():
        if name not in BINDING_NAMES:
            near = suggest_name(name, BINDING_NAMES)
            raise Misconfigured(
                f"{graph.source}: there is no binding {name!r}.",
                hint=f"Did you mean {near}?"
                if near
                else "There are " + ", ".join(BINDING_NAMES) + ".",
            )
        if name != "output":
            words = [written] if isinstance(written, str) else written
            bound[name] = tuple(_resolve_override(graph, name, word) for word in words)
    if len(bound.get("width", ())) != len(bound.get("height", ())):
        raise Misconfigured(
            f"{graph.source}: bindings for width and height come in pairs."
        )
    return bound


def _resolve_override(graph: WorkflowGraph, name: str, written: str) -> NodeInput:
    place = resolve_input(graph, written)
    if place is not None:
        return trace_literal(graph, place, BINDING_KINDS[name]) or place
    node = written.rpartition(".")[0]
    if node in graph.nodes:
        hint = (
            f"Node {display_name(node)} ({graph.describe_node(node)}) has "
            + _join_names(list(graph.nodes[node].inputs))
        )
    else:
        hint = "It has the nodes " + _join_names(
            [
                f"{display_name(node)} ({graph.describe_node(node)})"
                for node in graph.nodes
            ]
        )
    raise Misconfigured(
        f"{graph.source}: the binding of {name} names {written!r}, which is no input"
        " of a node.",
        hint=hint + ".",
    )


# Where the images come out


def _find_outputs(
    graph: WorkflowGraph,
    bound: str | Sequence[str] | None,
    unclear: dict[str, Sequence[str]],
) -> tuple[str, ...]:
    if bound is not None:
        words = [bound] if isinstance(bound, str) else bound
        return tuple(_resolve_output_override(graph, word) for word in words)
    candidates = find_output_candidates(graph)
    if not candidates:
        raise Misconfigured(
            f"{graph.source} has no node that saves or shows an image.",
            hint="Put a SaveImage at its end and export it again.",
        )
    samplers = [node for node in graph.nodes if is_sampler(graph, node)]
    fed = graph.with_dependents(samplers)
    last = drop_intermediate_outputs(
        graph, [node for node in candidates if node in fed] or candidates
    )
    if len(last) > 1:
        unclear["output"] = [
            f"{display_name(node)} ({graph.describe_node(node)})" for node in last
        ]
    return last


def _resolve_output_override(graph: WorkflowGraph, written: str) -> str:
    place = resolve_input(graph, written)
    node = place.node if place is not None else written
    if node not in graph.nodes:
        raise Misconfigured(
            f"{graph.source}: the binding of output names node {written!r}, which is"
            " not there."
        )
    return node


# What the samplers' links lead to


def _bind_samplers(
    graph: WorkflowGraph,
    passes: Sequence[SamplerPass],
    bound: Mapping[str, object],
    unclear: dict[str, Sequence[str]],
) -> dict[str, tuple[NodeInput, ...]]:
    found: dict[str, tuple[NodeInput, ...]] = {}

    def settle(name: str, of: Callable[[SamplerPass], list[Candidate]]) -> None:
        if name in bound:
            return
        leading = [each for one in passes if one.leading for each in of(one)]
        following = [each for one in passes if not one.leading for each in of(one)]
        if name in {"prompt", "negative"}:
            leading, following = prefer_nonempty([*leading, *following]), []
        places, candidates = resolve_candidates(leading, following)
        found[name] = places
        if candidates and name in {"prompt", "negative", "seed", "steps"}:
            unclear[name] = [graph.describe_input(place) for place in candidates]

    settle("prompt", lambda one: find_texts(graph, one, "positive"))
    settle("negative", lambda one: find_negative_texts(graph, one))
    settle("seed", lambda one: find_seeds(graph, one))
    settle("steps", lambda one: find_literal(graph, one.schedule, "steps", "whole"))
    settle("cfg", lambda one: find_literal(graph, one.guider, "cfg", "number"))
    settle("guidance", lambda one: find_guidance(graph, one))
    settle(
        "sampler", lambda one: find_literal(graph, one.method, "sampler_name", "word")
    )
    settle(
        "scheduler", lambda one: find_literal(graph, one.schedule, "scheduler", "word")
    )
    settle("denoise", lambda one: find_denoise(graph, one))
    settle("model", lambda one: find_models(graph, one))
    if "steps" not in bound:
        found["handover"] = find_handover_steps(graph, passes, found["steps"])
    if not {"width", "height"} & bound.keys():
        _bind_size(graph, passes, found, unclear)
    if "batch" not in bound:
        found["batch"] = find_batch_inputs(graph, passes)
    return found


# The size


def _bind_size(
    graph: WorkflowGraph,
    passes: Sequence[SamplerPass],
    found: dict[str, tuple[NodeInput, ...]],
    unclear: dict[str, Sequence[str]],
) -> None:
    """Find width and height on the leading samplers' latent, and wherever else."""
    canvases = [
        pair
        for one in passes
        if one.leading
        for node in find_latent_nodes(graph, one.sampler)
        for pair in find_size_pairs(graph, node)
    ]
    places, candidates = resolve_candidates(canvases)
    if candidates:
        unclear[SIZE] = [graph.describe_input(place) for place in candidates]
    if not places:
        return
    copies = find_size_copies(graph, passes, canvases[0].value)
    pairs = deduplicate_pairs([*canvases, *copies])
    found["width"] = tuple(pair.inputs[0] for pair in pairs)
    found["height"] = tuple(pair.inputs[1] for pair in pairs)


# Workflows without a sampler: nodes that do everything in one


def _bind_single_nodes(
    graph: WorkflowGraph,
    outputs: Sequence[str],
    bound: Mapping[str, object],
    unclear: dict[str, Sequence[str]],
) -> dict[str, tuple[NodeInput, ...]]:
    """Look at every node above the outputs, as there is no sampler to start from."""
    reached = graph.with_ancestors(outputs)
    nodes = [node for node in graph.nodes if node in reached]
    found: dict[str, tuple[NodeInput, ...]] = {}

    def settle(name: str, inputs: Iterable[str], kind: ValueKind) -> None:
        if name in bound:
            return
        candidates = [
            each
            for node in nodes
            for one in inputs
            for each in find_literal(graph, node, one, kind)
        ]
        found[name], others = resolve_candidates(
            prefer_nonempty(candidates) if kind == "text" else candidates
        )
        if others:
            unclear[name] = [graph.describe_input(place) for place in others]

    settle("prompt", POSITIVE_TEXTS, "text")
    settle("negative", NEGATIVE_TEXTS, "text")
    settle("seed", SEEDS, "whole")
    settle("steps", ["steps"], "whole")
    settle("batch", ["batch_size"], "whole")
    if not {"width", "height"} & bound.keys():
        pairs = deduplicate_pairs(
            pair for node in nodes for pair in find_size_pairs(graph, node)
        )
        places, others = resolve_candidates(pairs)
        if places:
            found["width"] = tuple(pair.inputs[0] for pair in pairs)
            found["height"] = tuple(pair.inputs[1] for pair in pairs)
        if others:
            unclear[SIZE] = [graph.describe_input(place) for place in others]
    return found


# What is said when it cannot be


def _ambiguity_error(
    graph: WorkflowGraph, unclear: Mapping[str, Sequence[str]]
) -> Misconfigured:
    sentences = [
        f"{name} could be {_join_names(candidates, 'or')}"
        for name, candidates in unclear.items()
    ]
    return Misconfigured(
        f"{graph.source}: it is unclear where things go: " + "; ".join(sentences) + ".",
        hint=_binding_hint(*next(iter(unclear.items()))),
    )


def _binding_hint(name: str, candidates: Sequence[str]) -> str:
    first, second = (each.partition(" (")[0] for each in candidates[:2])
    if name == SIZE:
        one = f'width: "{first}", height: "{second}"'
        return f"Say it in the config, such as bindings: {{{one}}}."
    one, both = f'{name}: "{first}"', f'{name}: ["{first}", "{second}"]'
    return (
        f"Say it in the config, such as bindings: {{{one}}},"
        f" or several: bindings: {{{both}}}."
    )


def _missing_prompt_error(graph: WorkflowGraph) -> Misconfigured:
    texts = [
        graph.describe_input(place)
        for node in graph.nodes
        for place in (NodeInput(node, name) for name in graph.nodes[node].inputs)
        if place.input in {*POSITIVE_TEXTS, "value", "string"}
        and isinstance(graph.value(place), str)
    ]
    return Misconfigured(
        f"{graph.source} has no place for the prompt that can be found by its links.",
        hint="Name it in the config, such as bindings: {prompt: "
        + (f'"{texts[0].partition(" (")[0]}"}}; ' if texts else '"6.text"}; ')
        + (f"it has {_join_names(texts)}." if texts else EXPORT_HINT),
    )


def _join_names(names: Sequence[str], last: str = "and") -> str:
    if len(names) > MAX_CANDIDATES:
        more = len(names) - MAX_CANDIDATES
        return ", ".join(names[:MAX_CANDIDATES]) + f" and {more} more"
    head, tail = ", ".join(names[:-1]), "".join(names[-1:])
    return f"{head} {last} {tail}" if head else tail
