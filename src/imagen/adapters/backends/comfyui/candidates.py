"""The inputs that each sampler offers for a value of a job."""

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from imagen.adapters.backends.comfyui.graph import NodeInput, WorkflowGraph
from imagen.adapters.backends.comfyui.tracing import (
    SEEDS,
    SIZE_INPUTS,
    Role,
    SamplerPass,
    ValueKind,
    find_latent_nodes,
    find_text_encoders,
    list_text_inputs,
    trace_conditioning,
    trace_literal,
    trace_literals,
    trace_model,
)

MODEL_FILES = ("ckpt_name", "unet_name", "model_name", "gguf_name")


class Candidate(msgspec.Struct, frozen=True):
    """Places that belong together, and what they say in the file."""

    inputs: tuple[NodeInput, ...]
    value: object


def resolve_candidates(
    leading: Sequence[Candidate], following: Sequence[Candidate] = ()
) -> tuple[tuple[NodeInput, ...], tuple[NodeInput, ...]]:
    """Return the places that all say the same, or else those that do not."""
    if not leading:
        return (), ()
    says = leading[0].value
    if any(one.value != says for one in leading):
        return (), _deduplicate(place for one in leading for place in one.inputs)
    shared = [*leading, *(one for one in following if one.value == says)]
    return _deduplicate(place for one in shared for place in one.inputs), ()


def _deduplicate(places: Iterable[NodeInput]) -> tuple[NodeInput, ...]:
    return tuple(dict.fromkeys(places))


def prefer_nonempty(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Leave out the empty texts, unless all are empty."""
    return [one for one in candidates if one.value] or list(candidates)


def find_texts(graph: WorkflowGraph, one: SamplerPass, role: Role) -> list[Candidate]:
    """Return the texts that reach a sampler, a candidate for each encoder."""
    candidates: list[Candidate] = []
    for node in find_text_encoders(graph, one, role):
        plain: list[NodeInput] = []
        for name in list_text_inputs(graph, node, role):
            places = trace_literals(graph, NodeInput(node, name), "text")
            if len(places) == 1:
                plain.extend(places)
            else:  # joined from several: each could be the one
                candidates.extend(
                    Candidate((each,), graph.value(each) or ()) for each in places
                )
        if plain:
            said = {text for place in plain if (text := graph.value(place))}
            alone = said.pop() if len(said) == 1 else tuple(sorted(map(str, said)))
            candidates.append(Candidate(_deduplicate(plain), alone))
    return candidates


def find_negative_texts(graph: WorkflowGraph, one: SamplerPass) -> list[Candidate]:
    """Return the texts to keep out, or nothing where they would change nothing.

    At cfg 1 ComfyUI does not look at the negative (comfy/samplers.py,
    `disable_cfg1_optimization`); a negative from the prompt's own encoder, zeroed out
    or not, has no words of its own.
    """
    cfg = trace_literal(graph, NodeInput(one.guider, "cfg"), "number")
    value = graph.value(cfg) if cfg else None
    if isinstance(value, int | float) and math.isclose(value, 1):
        return []
    positive = {
        place for each in find_texts(graph, one, "positive") for place in each.inputs
    }
    candidates = find_texts(graph, one, "negative")
    return [each for each in candidates if positive.isdisjoint(each.inputs)]


def find_guidance(graph: WorkflowGraph, one: SamplerPass) -> list[Candidate]:
    """Return the guidance of a model that was distilled, such as FLUX dev."""
    link = graph.link(NodeInput(one.guider, "positive")) or graph.link(
        NodeInput(one.guider, "conditioning")
    )
    if link is None:
        return []
    nodes = trace_conditioning(graph, link, "positive")
    return [
        each for n in nodes for each in find_literal(graph, n, "guidance", "number")
    ]


def find_seeds(graph: WorkflowGraph, one: SamplerPass) -> list[Candidate]:
    """Return the seed of a sampler that adds noise."""
    if graph.value(NodeInput(one.sampler, "add_noise")) in ("disable", False):
        return []
    for name in SEEDS:
        found = find_literal(graph, one.noise, name, "whole")
        if found:
            return found
    return []


def find_denoise(graph: WorkflowGraph, one: SamplerPass) -> list[Candidate]:
    """Return how much of the image a leading sampler draws."""
    if not one.leading:  # how much a second pass makes anew is its own affair
        return []
    return find_literal(graph, one.schedule, "denoise", "number")


def find_literal(
    graph: WorkflowGraph, node: str | None, name: str, kind: ValueKind
) -> list[Candidate]:
    """Return the input that holds the value of `node.name`, at most one."""
    if node is None:
        return []
    place = trace_literal(graph, NodeInput(node, name), kind)
    return [] if place is None else [Candidate((place,), graph.value(place))]


def find_handover_steps(
    graph: WorkflowGraph, passes: Sequence[SamplerPass], steps: Sequence[NodeInput]
) -> tuple[NodeInput, ...]:
    """Return the steps within the run at which samplers start and end."""
    found: list[NodeInput] = []
    for one in passes:
        place = trace_literal(graph, NodeInput(one.sampler, "steps"), "whole")
        if place is None or place not in steps:
            continue
        most = graph.value(place)
        for name in ("start_at_step", "end_at_step"):
            at = trace_literal(graph, NodeInput(one.sampler, name), "whole")
            value = graph.value(at) if at else None
            if at and isinstance(value, int) and isinstance(most, int | float):
                found.extend([at] if 0 < value < most else [])
    return _deduplicate(found)


def find_models(graph: WorkflowGraph, one: SamplerPass) -> list[Candidate]:
    """Return the file names of the model that a sampler uses."""
    candidates: list[Candidate] = []
    for node in trace_model(graph, one):
        for name in MODEL_FILES:
            candidates.extend(find_literal(graph, node, name, "word"))
    return candidates


def deduplicate_pairs(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return each pair of inputs once."""
    return list({one.inputs: one for one in candidates}.values())


def find_size_pairs(graph: WorkflowGraph, node: str) -> Iterator[Candidate]:
    """Give width and height of a node, each where it is written.

    A single value that feeds both could only make squares, so then the node's own
    inputs are taken, in place of their links.
    """
    for sides in SIZE_INPUTS:
        wide, high = (
            trace_literal(graph, NodeInput(node, side), "whole") for side in sides
        )
        if wide is None or high is None:
            continue
        says = (graph.value(wide), graph.value(high))
        if wide == high:
            wide, high = (NodeInput(node, side) for side in sides)
        yield Candidate((wide, high), says)


def find_size_copies(
    graph: WorkflowGraph, passes: Sequence[SamplerPass], says: object
) -> Iterator[Candidate]:
    """Give the places that have the size a second time.

    The shift of FLUX (ModelSamplingFlux) and its schedule (Flux2Scheduler) always; the
    conditioning of SDXL (CLIPTextEncodeSDXL) when it is the same in the file.
    """
    for one in passes:
        if one.leading:
            for node in trace_model(graph, one):
                yield from find_size_pairs(graph, node)
            if one.schedule is not None and one.schedule != one.sampler:
                yield from find_size_pairs(graph, one.schedule)
        for role in ("positive", "negative"):
            for node in find_text_encoders(graph, one, role):
                for sides in (("width", "height"), ("target_width", "target_height")):
                    yield from _find_equal_pair(graph, node, sides, says)


def _find_equal_pair(
    graph: WorkflowGraph, node: str, sides: tuple[str, str], says: object
) -> Iterator[Candidate]:
    wide, high = (
        trace_literal(graph, NodeInput(node, side), "whole") for side in sides
    )
    if (
        wide
        and high
        and wide != high
        and (graph.value(wide), graph.value(high)) == says
    ):
        yield Candidate((wide, high), says)


def find_batch_inputs(
    graph: WorkflowGraph, passes: Sequence[SamplerPass]
) -> tuple[NodeInput, ...]:
    """Return where the number of images goes, unless several latents are joined."""
    found = _deduplicate(
        place
        for one in passes
        if one.leading
        for node in find_latent_nodes(graph, one.sampler)
        for each in find_literal(graph, node, "batch_size", "whole")
        for place in each.inputs
    )
    return found if len(found) == 1 else ()
