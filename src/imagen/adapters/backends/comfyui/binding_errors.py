"""Errors of a workflow whose inputs for a job cannot be found, with the candidates."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from imagen.adapters.backends.comfyui.graph import NodeInput, WorkflowGraph
from imagen.adapters.backends.comfyui.links import Role, UnclearRole
from imagen.adapters.backends.comfyui.texts import find_text_sources
from imagen.adapters.backends.comfyui.tracing import (
    NEGATIVE_TEXTS,
    POSITIVE_TEXTS,
    SamplerPass,
    find_text_encoders,
    list_text_inputs,
)
from imagen.domain.errors import Misconfigured

MAX_CANDIDATES = 8
SIZE = "width and height"

_OTHER_MEDIA = {
    "video": "a video",
    "webm": "a video",
    "audio": "a sound",
    "3d": "a 3D model",
    "glb": "a 3D model",
    "mesh": "a 3D model",
}
"""What a node makes in place of an image, by a part of its class."""

_PLACEHOLDER = re.compile(r"%[a-z_]+%|\{\{\s*\w+\s*\}\}")


def refuse_placeholders(graph: WorkflowGraph, filled: Collection[NodeInput]) -> None:
    """Refuse values such as `%seed%`, which another program would replace."""
    found = [
        f"{target} is {value}"
        for node, body in graph.nodes.items()
        for name, value in body.inputs.items()
        for target in (NodeInput(node, name),)
        if isinstance(value, str) and _PLACEHOLDER.fullmatch(value)
        if target not in filled
    ]
    if found:
        raise Misconfigured(
            f"{graph.source} has placeholders of another program: {join_names(found)}.",
            hint="Write the values that ComfyUI's editor shows; imagen finds the inputs"
            " by the links.",
        )


def refuse_other_media(graph: WorkflowGraph, outputs: Iterable[str]) -> None:
    """Refuse a workflow if one of these nodes makes no image, before it is rendered.

    Raises:
        Misconfigured: a node makes a video, a sound or a 3D model.
    """
    for name in outputs:
        node = graph.nodes[name]
        # VHS_VideoCombine makes a GIF or WebP if its format is image/gif or image/webp.
        if str(node.inputs.get("format")).startswith("image/"):
            continue
        kind = node.class_type.lower()
        made = next(
            (kind_of for part, kind_of in _OTHER_MEDIA.items() if part in kind), ""
        )
        if made:
            raise Misconfigured(
                f"{graph.source}: {graph.describe_node(name)} makes {made}, and imagen"
                " stores images.",
                hint="Add a SaveImage node, or choose another node under bindings:"
                " output.",
            )


def ambiguity_error(
    graph: WorkflowGraph, ambiguous: Mapping[str, Sequence[str]]
) -> Misconfigured:
    """Return the error for bindings with several candidates each."""
    reasons = [
        f"{name} could be {join_names(candidates, 'or')}"
        for name, candidates in ambiguous.items()
    ]
    return Misconfigured(
        f"{graph.source}: ambiguous bindings: " + "; ".join(reasons) + ".",
        hint=_binding_hint(*next(iter(ambiguous.items()))),
    )


def _binding_hint(name: str, candidates: Sequence[str]) -> str:
    first, second = (each.partition(" (")[0] for each in candidates[:2])
    if name == SIZE:
        single = f'width: "{first}", height: "{second}"'
        return f"Choose in the config, for example bindings: {{{single}}}."
    single, both = f'{name}: "{first}"', f'{name}: ["{first}", "{second}"]'
    return (
        f"Choose in the config, for example bindings: {{{single}}},"
        f" or several: bindings: {{{both}}}."
    )


def missing_prompt_error(
    graph: WorkflowGraph, passes: Sequence[SamplerPass]
) -> Misconfigured:
    """Return the error for a workflow without an input for the prompt."""
    negatives = _find_texts(graph, passes, "negative")
    texts = dict.fromkeys(
        graph.describe_input(target)
        for target in (
            *_find_texts(graph, passes, "positive"),
            *_list_texts(graph, graph.nodes),
        )
        if target not in negatives
    )
    hint = (
        "If it needs no prompt, as for enlarging an image or removing a background, say"
        " so in the config: bindings: {prompt: []}."
    )
    if texts:
        example = next(iter(texts)).partition(" (")[0]
        hint = (
            f'Name it in the config, for example bindings: {{prompt: "{example}"}}. It'
            f" has {join_names(list(texts))}. {hint}"
        )
    return Misconfigured(
        f"{graph.source}: no input for the prompt was found by following the links.",
        hint=hint,
    )


def _find_texts(
    graph: WorkflowGraph, passes: Sequence[SamplerPass], role: Role
) -> list[NodeInput]:
    """Return the inputs whose texts reach a sampler in a role, linked ones included."""
    try:
        return [
            target
            for one in passes
            for node, its_role in find_text_encoders(graph, one, role)
            for name in list_text_inputs(graph, node, its_role)
            for each in (NodeInput(node, name),)
            for source in (None, *find_text_sources(graph, each, its_role))
            for target in ((each,) if source is None else source.inputs)
        ]
    except UnclearRole:
        return []


def _list_texts(graph: WorkflowGraph, nodes: Iterable[str]) -> list[NodeInput]:
    """Return the inputs of nodes that hold a text."""
    names = {*POSITIVE_TEXTS, *NEGATIVE_TEXTS, "value", "string"}
    return [
        NodeInput(node, name)
        for node in nodes
        for name, value in graph.nodes[node].inputs.items()
        if isinstance(value, str)
        and (name in names or name.startswith(("text", "string", "prompt")))
    ]


def list_texts_above(graph: WorkflowGraph, node: str) -> list[str]:
    """Return the texts that a node and those before it hold, for a message."""
    above = graph.with_ancestors([node])
    texts = _list_texts(graph, [each for each in graph.nodes if each in above])
    return [graph.describe_input(target) for target in texts]


def join_names(names: Sequence[str], last: str = "and") -> str:
    """Return the names as a list in words, at most `MAX_CANDIDATES` of them."""
    if len(names) > MAX_CANDIDATES:
        more = len(names) - MAX_CANDIDATES
        return ", ".join(names[:MAX_CANDIDATES]) + f" and {more} more"
    head, tail = ", ".join(names[:-1]), "".join(names[-1:])
    return f"{head} {last} {tail}" if head else tail
