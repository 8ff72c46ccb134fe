"""Candidate inputs for each value of a job, offered by the samplers of a workflow."""

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from imagen.adapters.backends.comfyui.graph import NodeInput, WorkflowGraph
from imagen.adapters.backends.comfyui.links import Role, UnclearRole
from imagen.adapters.backends.comfyui.texts import find_text_sources
from imagen.adapters.backends.comfyui.tracing import (
    SEEDS,
    SIZE_INPUTS,
    SamplerPass,
    ValueKind,
    find_latent_nodes,
    find_text_encoders,
    list_text_inputs,
    trace_conditioning,
    trace_literal,
    trace_model,
)

MODEL_FILES = ("ckpt_name", "unet_name", "model_name", "gguf_name", "base_ckpt_name")


class Candidate(msgspec.Struct, frozen=True):
    """Inputs that belong together, and their value in the file."""

    inputs: tuple[NodeInput, ...]
    value: object


def resolve_candidates(
    leading: Sequence[Candidate], following: Sequence[Candidate] = ()
) -> tuple[tuple[NodeInput, ...], tuple[NodeInput, ...]]:
    """Return the inputs to set, and the inputs that contradict each other.

    One of the two is empty. The leading candidates must agree; a following one joins
    them if it has the same value.
    """
    if not leading:
        return (), ()
    value = leading[0].value
    if any(candidate.value != value for candidate in leading):
        return (), _collect_inputs(leading)
    same = [candidate for candidate in following if candidate.value == value]
    return _collect_inputs([*leading, *same]), ()


def _collect_inputs(candidates: Iterable[Candidate]) -> tuple[NodeInput, ...]:
    inputs = (target for candidate in candidates for target in candidate.inputs)
    return tuple(dict.fromkeys(inputs))


def find_literal(
    graph: WorkflowGraph, node: str | None, name: str, kind: ValueKind
) -> list[Candidate]:
    """Return the input that holds the value of `node.name`, at most one."""
    if node is None:
        return []
    target = trace_literal(graph, NodeInput(node, name), kind)
    return [] if target is None else [Candidate((target,), graph.value(target))]


def find_texts(
    graph: WorkflowGraph, sampler: SamplerPass, role: Role
) -> list[Candidate]:
    """Return the texts that reach a sampler, a candidate for each encoder.

    Raises:
        UnclearRole: the links do not tell the positive from the negative.
    """
    candidates: list[Candidate] = []
    for node, its_role in find_text_encoders(graph, sampler, role):
        plain: list[NodeInput] = []
        for name in list_text_inputs(graph, node, its_role):
            sources = find_text_sources(graph, NodeInput(node, name), its_role)
            if len(sources) == 1:
                plain.extend(sources[0].inputs)
            else:  # joined from several texts, each of which may be the prompt
                candidates.extend(
                    # Not an empty text: it may be the one that takes the prompt.
                    Candidate(one.inputs, one.value or ("",))
                    for one in sources
                )
        if plain:
            texts = {text for target in plain if (text := graph.value(target))}
            value = texts.pop() if len(texts) == 1 else tuple(sorted(map(str, texts)))
            candidates.append(Candidate(tuple(dict.fromkeys(plain)), value))
    return candidates


def resolve_texts(
    leading: Sequence[Candidate], following: Sequence[Candidate]
) -> tuple[tuple[NodeInput, ...], tuple[NodeInput, ...]]:
    """Return the text inputs to set, and the inputs that contradict each other.

    Empty texts count only if no text of the leading samplers has words.
    """
    leading = [each for each in leading if each.value] or leading
    worded = any(each.value for each in leading)
    following = [each for each in following if each.value or not worded]
    every = [*leading, *following]
    inputs = _collect_inputs(every)
    # Different inputs with the same words are parts of one text, such as `text_g`.
    if len({each.value for each in every}) <= 1:
        return inputs, ()
    return (inputs, ()) if len({each.inputs for each in every}) == 1 else ((), inputs)


def find_negative_texts(graph: WorkflowGraph, sampler: SamplerPass) -> list[Candidate]:
    """Return the negative texts, or none if they would have no effect.

    Raises:
        UnclearRole: the links do not tell the positive from the negative.
    """
    # At cfg 1 ComfyUI ignores the negative (comfy/samplers.py,
    # `disable_cfg1_optimization`).
    for cfg in find_cfg(graph, sampler):
        value, dual = cfg.value, cfg.inputs[0].input == "cfg_conds"
        if isinstance(value, int | float) and math.isclose(value, 1) and not dual:
            return []
    # A negative from the prompt's own encoder, zeroed out or not, has no own text.
    positive = set(_collect_inputs(find_texts(graph, sampler, "positive")))
    candidates = find_texts(graph, sampler, "negative")
    return [each for each in candidates if positive.isdisjoint(each.inputs)]


def find_cfg(graph: WorkflowGraph, sampler: SamplerPass) -> list[Candidate]:
    """Return the guidance scale of a sampler."""
    # DualCFGGuider has a scale of its own for each of two conditionings.
    for name in ("cfg", "cfg_conds", "true_gs"):
        for node in dict.fromkeys((sampler.guider, sampler.sampler, sampler.method)):
            found = find_literal(graph, node, name, "number")
            if found:
                return found
    return []


def find_guidance(graph: WorkflowGraph, sampler: SamplerPass) -> list[Candidate]:
    """Return the guidance of a distilled model, such as FLUX dev."""
    link = graph.link(NodeInput(sampler.guider, "positive")) or graph.link(
        NodeInput(sampler.guider, "conditioning")
    )
    if link is None:
        return []
    try:
        nodes = [node for node, _ in trace_conditioning(graph, link, "positive")]
    except UnclearRole:
        return []
    return [
        each for n in nodes for each in find_literal(graph, n, "guidance", "number")
    ]


def find_seeds(graph: WorkflowGraph, sampler: SamplerPass) -> list[Candidate]:
    """Return the seed of a sampler that adds noise."""
    if graph.value(NodeInput(sampler.sampler, "add_noise")) in ("disable", False):
        return []
    for name in SEEDS:
        found = find_literal(graph, sampler.noise, name, "integer")
        if found:
            return found
    return []


def find_denoise(graph: WorkflowGraph, sampler: SamplerPass) -> list[Candidate]:
    """Return the denoise strength of a leading sampler."""
    # A second pass has a strength of its own, which a job must not change.
    if not sampler.leading:
        return []
    return find_literal(graph, sampler.schedule, "denoise", "number")


def find_handover_steps(
    graph: WorkflowGraph, passes: Sequence[SamplerPass], steps: Sequence[NodeInput]
) -> tuple[NodeInput, ...]:
    """Return the steps within the run at which one sampler hands over to the next."""
    found: list[NodeInput] = []
    for sampler in passes:
        target = trace_literal(graph, NodeInput(sampler.sampler, "steps"), "integer")
        if target is None or target not in steps:
            continue
        total = graph.value(target)
        for name in ("start_at_step", "end_at_step"):
            at = trace_literal(graph, NodeInput(sampler.sampler, name), "integer")
            value = graph.value(at) if at else None
            if at and isinstance(value, int) and isinstance(total, int | float):
                found.extend([at] if 0 < value < total else [])
    return tuple(dict.fromkeys(found))


def find_models(graph: WorkflowGraph, sampler: SamplerPass) -> list[Candidate]:
    """Return the file names of a sampler's model."""
    candidates: list[Candidate] = []
    for node in trace_model(graph, sampler):
        for name in MODEL_FILES:
            candidates.extend(find_literal(graph, node, name, "string"))
    return candidates


def find_size_pairs(graph: WorkflowGraph, node: str) -> Iterator[Candidate]:
    """Yield the inputs that hold width and height of a node."""
    for names in SIZE_INPUTS:
        width, height = (
            trace_literal(graph, NodeInput(node, name), "integer") for name in names
        )
        if width is None or height is None:
            continue
        value = (graph.value(width), graph.value(height))
        # A single value that feeds both could make squares only: set the node's own
        # inputs instead, in place of their links.
        if width == height:
            width, height = (NodeInput(node, name) for name in names)
        yield Candidate((width, height), value)


def find_size_copies(
    graph: WorkflowGraph, passes: Sequence[SamplerPass], value: object
) -> Iterator[Candidate]:
    """Yield the inputs that repeat the size.

    The shift of FLUX (ModelSamplingFlux) and its schedule (Flux2Scheduler) always; the
    conditioning of SDXL (CLIPTextEncodeSDXL) if it has the same value in the file.
    """
    for sampler in passes:
        if sampler.leading:
            for node in trace_model(graph, sampler):
                yield from find_size_pairs(graph, node)
            if sampler.schedule is not None and sampler.schedule != sampler.sampler:
                yield from find_size_pairs(graph, sampler.schedule)
        for role in ("positive", "negative"):
            for node in _list_encoders(graph, sampler, role):
                for names in (("width", "height"), ("target_width", "target_height")):
                    width, height = (
                        trace_literal(graph, NodeInput(node, name), "integer")
                        for name in names
                    )
                    if not width or not height or width == height:
                        continue
                    if (graph.value(width), graph.value(height)) == value:
                        yield Candidate((width, height), value)


def _list_encoders(graph: WorkflowGraph, sampler: SamplerPass, role: Role) -> list[str]:
    try:
        return [node for node, _ in find_text_encoders(graph, sampler, role)]
    except UnclearRole:
        return []


def find_batch_inputs(
    graph: WorkflowGraph, passes: Sequence[SamplerPass]
) -> tuple[NodeInput, ...]:
    """Return the input for the number of images; none if several latents are joined."""
    found = _collect_inputs(
        candidate
        for sampler in passes
        if sampler.leading
        for node in find_latent_nodes(graph, sampler)
        for candidate in find_literal(graph, node, "batch_size", "integer")
    )
    return found if len(found) == 1 else ()
