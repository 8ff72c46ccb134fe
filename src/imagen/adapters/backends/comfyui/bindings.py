"""Bindings: the inputs of a workflow that a job's values go into.

They are found by links alone, from the node that saves the images upwards. Neither the
order nor the titles of the nodes count: only the link of the sampler or guider tells
which text is the negative one.

With several samplers:

- *Leading* samplers are those that no other sampler feeds. If there are several, they
  must agree on the prompt, the size, the seed and the steps, or the binding is
  ambiguous.
- *Following* samplers (a refiner, a second pass for detail) share a value if theirs is
  the same in the file, and keep their own otherwise. A different prompt is ambiguous,
  because the image would silently be finished with the prompt from the file. Only a
  node that repaints faces and the like keeps a prompt of its own.

If a workflow saves several images, the last pass has the requested one.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from imagen.adapters.backends.comfyui.binding_errors import (
    SIZE,
    ambiguity_error,
    join_names,
    list_texts_above,
    missing_prompt_error,
    refuse_other_media,
    refuse_placeholders,
)
from imagen.adapters.backends.comfyui.candidates import (
    Candidate,
    find_batch_inputs,
    find_cfg,
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
    resolve_candidates,
    resolve_texts,
)
from imagen.adapters.backends.comfyui.graph import (
    NodeInput,
    WorkflowGraph,
    display_name,
)
from imagen.adapters.backends.comfyui.links import UnclearRole
from imagen.adapters.backends.comfyui.tracing import (
    NEGATIVE_TEXTS,
    POSITIVE_TEXTS,
    SEEDS,
    SamplerPass,
    ValueKind,
    find_image_inputs,
    find_latent_nodes,
    find_output_candidates,
    find_sampler_passes,
    is_detailer,
    is_sampler,
    keeps_batch,
    rank_outputs,
    trace_literal,
)
from imagen.domain.errors import Misconfigured
from imagen.domain.suggestion import suggest_name

BindingOverrides: TypeAlias = Mapping[str, str | Sequence[str]]
"""Bindings from the config: one or several `node.input` by the binding's name."""


class Bindings(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a workflow that a job fills; empty if the workflow has none.

    Attributes:
        output: The nodes whose images are the result, the requested image first.
        prompt: The prompt; several inputs for encoders with several texts.
        negative: The negative prompt; empty if it would have no effect.
        seed: The seed.
        steps: The number of steps.
        handover: Steps at which one sampler hands over to the next; they are scaled
            with the number of steps.
        width: The width; FLUX has it twice.
        height: The height, in the same order as the widths.
        batch: The number of images; empty if it is not the number of files.
        cfg: The guidance scale of the sampler.
        guidance: The guidance of distilled models, such as FLUX dev.
        sampler: The name of the sampling method.
        scheduler: The name of the schedule.
        denoise: The fraction of the image that is made new.
        image: File names of input images on the server.
        mask: File name of the mask, which may be that of an image.
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
    mask: tuple[NodeInput, ...] = ()
    model: tuple[NodeInput, ...] = ()


BINDING_NAMES = Bindings.__struct_fields__
BINDING_KINDS: Mapping[str, ValueKind] = {
    "prompt": "text",
    "negative": "text",
    "seed": "integer",
    "steps": "integer",
    "handover": "integer",
    "width": "integer",
    "height": "integer",
    "batch": "integer",
    "cfg": "number",
    "guidance": "number",
    "sampler": "string",
    "scheduler": "string",
    "denoise": "number",
    "image": "string",
    "mask": "string",
    "model": "string",
}


def find_bindings(graph: WorkflowGraph, overrides: BindingOverrides) -> Bindings:
    """Find the inputs that a job fills.

    Args:
        graph: The workflow.
        overrides: Bindings from the config, which are not searched for. An empty list
            says that the workflow has no such input.

    Raises:
        Misconfigured: an override names no input; a binding is ambiguous; or the
            workflow has no prompt or no node that saves an image.
    """
    bound = _resolve_overrides(graph, overrides)
    ambiguous: dict[str, Sequence[str]] = {}
    final, earlier = _find_outputs(graph, overrides.get("output"))
    passes = find_sampler_passes(graph, final)
    found = (
        _bind_samplers(graph, passes, graph.with_ancestors(final[:1]), bound, ambiguous)
        if passes
        else _bind_single_nodes(graph, final, bound, ambiguous)
    )
    if not all(keeps_batch(graph, to.node, final[0]) for to in found.get("batch", ())):
        del found["batch"]
    refuse_other_media(graph, [*final, *earlier])
    found["image"], found["mask"] = find_image_inputs(graph, final)
    if ambiguous:
        if len(final) > 1:  # independent images: choosing one may settle the rest
            names = [_display_node(graph, node) for node in final]
            ambiguous = {"output": names, **ambiguous}
        raise ambiguity_error(graph, ambiguous)
    inputs = {name: targets for name, targets in {**found, **bound}.items() if targets}
    refuse_placeholders(graph, [*inputs.get("prompt", ()), *inputs.get("negative", ())])
    if "prompt" not in inputs and "prompt" not in bound:
        raise missing_prompt_error(graph, passes)
    return msgspec.convert({"output": [*final, *earlier], **inputs}, Bindings)


def resolve_input(graph: WorkflowGraph, text: str) -> NodeInput | None:
    """Parse `node.input`; None if the workflow has no such input."""
    # Node ids and input names may contain dots themselves, so each dot is tried.
    dots = (index for index, letter in enumerate(text) if letter == ".")
    for dot in dots:
        node, name = text[:dot], text[dot + 1 :]
        if node in graph.nodes and name in graph.nodes[node].inputs:
            return NodeInput(node, name)
    return None


def _resolve_overrides(
    graph: WorkflowGraph, overrides: BindingOverrides
) -> dict[str, tuple[NodeInput, ...]]:
    """Return the inputs that the overrides name, traced to their values."""
    bound: dict[str, tuple[NodeInput, ...]] = {}
    for name, value in overrides.items():
        if name not in BINDING_NAMES:
            near = suggest_name(name, BINDING_NAMES)
            raise Misconfigured(
                f"{graph.source}: unknown binding {name!r}.",
                hint=f"Did you mean {near}?"
                if near
                else "The bindings are " + ", ".join(BINDING_NAMES) + ".",
            )
        if name != "output":
            texts = [value] if isinstance(value, str) else value
            bound[name] = tuple(_resolve_override(graph, name, text) for text in texts)
    if len(bound.get("width", ())) != len(bound.get("height", ())):
        raise Misconfigured(
            f"{graph.source}: bindings for width and height must come in pairs."
        )
    return bound


def _resolve_override(graph: WorkflowGraph, name: str, text: str) -> NodeInput:
    target = resolve_input(graph, text)
    if target is not None:
        return trace_literal(graph, target, BINDING_KINDS[name]) or target
    node = text.rpartition(".")[0]
    if node in graph.nodes:
        inputs = join_names(list(graph.nodes[node].inputs))
        hint = f"Node {_display_node(graph, node)} has {inputs}."
    else:
        nodes = [_display_node(graph, each) for each in graph.nodes]
        hint = f"It has the nodes {join_names(nodes)}."
    raise Misconfigured(
        f"{graph.source}: binding {name}: {text!r} is not an input of a node.",
        hint=hint,
    )


def _display_node(graph: WorkflowGraph, node: str) -> str:
    return f"{display_name(node)} ({graph.describe_node(node)})"


def _find_outputs(
    graph: WorkflowGraph, override: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the nodes that save the final images, and those that save earlier ones."""
    if override is not None:
        texts = [override] if isinstance(override, str) else override
        targets = {text: resolve_input(graph, text) for text in texts}
        nodes = tuple(to.node if to else text for text, to in targets.items())
        for node in nodes:
            if node not in graph.nodes:
                raise Misconfigured(
                    f"{graph.source}: binding output: node {node!r} does not exist."
                )
        return nodes, ()
    candidates = find_output_candidates(graph)
    if not candidates:
        used = {link.node for node in graph.nodes for _, link in graph.links(node)}
        refuse_other_media(graph, [node for node in graph.nodes if node not in used])
        raise Misconfigured(
            f"{graph.source} has no node that saves or shows an image.",
            hint="Add a SaveImage node at the end, and export it again.",
        )
    samplers = [node for node in graph.nodes if is_sampler(graph, node)]
    sampled = graph.with_dependents(samplers)
    final, earlier = rank_outputs(
        graph, [node for node in candidates if node in sampled] or candidates
    )
    # Previews of earlier stages are for the editor.
    saved = [n for n in earlier if "save" in graph.nodes[n].class_type.lower()]
    return final, tuple(saved)


def _bind_samplers(
    graph: WorkflowGraph,
    passes: Sequence[SamplerPass],
    requested: Collection[str],
    bound: Mapping[str, object],
    ambiguous: dict[str, Sequence[str]],
) -> dict[str, tuple[NodeInput, ...]]:
    """Find what the samplers take; `requested` are the nodes of the first output."""
    found: dict[str, tuple[NodeInput, ...]] = {}

    def bind(name: str, find: Callable[[SamplerPass], list[Candidate]]) -> None:
        if name in bound:
            return
        main = [one for one in passes if one.leading and one.sampler in requested]
        leading = [each for one in main for each in find(one)]
        following = [each for one in passes if one not in main for each in find(one)]
        found[name], conflicting = resolve_candidates(leading, following)
        # Samplers may well differ in any other value; then it is not bound.
        if conflicting and name in {"seed", "steps"}:
            ambiguous[name] = [graph.describe_input(target) for target in conflicting]

    def bind_text(
        name: str, find: Callable[[WorkflowGraph, SamplerPass], list[Candidate]]
    ) -> None:
        if name in bound:
            return
        try:
            texts = {one.sampler: find(graph, one) for one in passes}
        except UnclearRole as unclear:
            # A workflow runs without a place for the negative, not for the prompt.
            if "prompt" not in bound and not found.get("prompt"):
                ambiguous["prompt"] = list_texts_above(graph, unclear.node)
            return
        main = [one for one in passes if one.leading] or passes[:1]
        leading = [each for one in main for each in texts[one.sampler]]
        values = {each.value for each in leading}
        following = [
            each
            for one in passes
            if one not in main
            for each in texts[one.sampler]
            if each.value in values or not is_detailer(graph, one.sampler)
        ]
        found[name], conflicting = resolve_texts(leading, following)
        if conflicting:
            ambiguous[name] = [graph.describe_input(target) for target in conflicting]

    bind_text("prompt", lambda graph, one: find_texts(graph, one, "positive"))
    bind_text("negative", find_negative_texts)
    bind("seed", lambda one: find_seeds(graph, one))
    bind("steps", lambda one: find_literal(graph, one.schedule, "steps", "integer"))
    bind("cfg", lambda one: find_cfg(graph, one))
    bind("guidance", lambda one: find_guidance(graph, one))
    bind(
        "sampler", lambda one: find_literal(graph, one.method, "sampler_name", "string")
    )
    bind(
        "scheduler",
        lambda one: find_literal(graph, one.schedule, "scheduler", "string"),
    )
    bind("denoise", lambda one: find_denoise(graph, one))
    bind("model", lambda one: find_models(graph, one))
    if "steps" not in bound:
        found["handover"] = find_handover_steps(graph, passes, found["steps"])
    if not {"width", "height"} & bound.keys():
        latents = [
            pair
            for one in passes
            if one.leading
            for node in find_latent_nodes(graph, one)
            for pair in find_size_pairs(graph, node)
        ]
        if _bind_size(graph, latents, found, ambiguous):
            copies = find_size_copies(graph, passes, latents[0].value)
            _store_size([*latents, *copies], found)
    if "batch" not in bound:
        found["batch"] = find_batch_inputs(graph, passes)
    return found


def _bind_size(
    graph: WorkflowGraph,
    pairs: Sequence[Candidate],
    found: dict[str, tuple[NodeInput, ...]],
    ambiguous: dict[str, Sequence[str]],
) -> bool:
    """Bind width and height if all pairs agree; return True if they are bound."""
    targets, conflicting = resolve_candidates(pairs)
    if conflicting:
        ambiguous[SIZE] = [graph.describe_input(target) for target in conflicting]
    if targets:
        _store_size(pairs, found)
    return bool(targets)


def _store_size(
    pairs: Iterable[Candidate], found: dict[str, tuple[NodeInput, ...]]
) -> None:
    unique = {pair.inputs: pair for pair in pairs}.values()
    found["width"] = tuple(pair.inputs[0] for pair in unique)
    found["height"] = tuple(pair.inputs[1] for pair in unique)


# Workflows without a sampler, such as a node that calls a remote model


def _bind_single_nodes(
    graph: WorkflowGraph,
    outputs: Sequence[str],
    bound: Mapping[str, object],
    ambiguous: dict[str, Sequence[str]],
) -> dict[str, tuple[NodeInput, ...]]:
    """Search every node above the outputs, without a sampler to start from."""
    reached = graph.with_ancestors(outputs)
    nodes = [node for node in graph.nodes if node in reached]
    found: dict[str, tuple[NodeInput, ...]] = {}

    def bind(name: str, inputs: Iterable[str], kind: ValueKind) -> None:
        if name in bound:
            return
        candidates = [
            candidate
            for node in nodes
            for each in inputs
            for candidate in find_literal(graph, node, each, kind)
        ]
        resolve = resolve_texts if kind == "text" else resolve_candidates
        found[name], conflicting = resolve(candidates, [])
        if conflicting:
            ambiguous[name] = [graph.describe_input(target) for target in conflicting]

    bind("prompt", POSITIVE_TEXTS, "text")
    bind("negative", NEGATIVE_TEXTS, "text")
    bind("seed", SEEDS, "integer")
    bind("steps", ["steps", "num_inference_steps"], "integer")
    bind("batch", ["batch_size"], "integer")
    if not {"width", "height"} & bound.keys():
        pairs = [pair for node in nodes for pair in find_size_pairs(graph, node)]
        _bind_size(graph, pairs, found, ambiguous)
    return found
