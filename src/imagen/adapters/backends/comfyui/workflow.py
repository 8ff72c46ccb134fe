"""Turns a workflow, one of ours or one of the user's, and a job into what is sent.

Nothing is sent here: a `Workflow` is read once, and `filled` gives the graph of a job.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from imagen.adapters.backends.comfyui.bindings import (
    BindingOverrides,
    Bindings,
    find_bindings,
    resolve_input,
)
from imagen.adapters.backends.comfyui.graph import (
    MAX_BYTES,
    MAX_NAME_LENGTH,
    NodeInput,
    WorkflowGraph,
    display_name,
    parse_graph,
)
from imagen.adapters.backends.comfyui.tracing import trace_literal
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest, Misconfigured
from imagen.domain.seed import LARGEST_SEED
from imagen.domain.size import LARGEST_SIDE, SMALLEST_SIDE, Size, SizeRule
from imagen.domain.suggestion import suggest_name

BUILT_IN = (
    *("sd15", "sdxl", "sd35", "flux-schnell", "flux-schnell-checkpoint", "flux-dev"),
    *("flux2-klein", "qwen-image", "z-image-turbo"),
)
"""The workflows that come with imagen, each a file in `workflows/`."""


LARGEST_BATCH = 4096
"""What ComfyUI's empty latents allow (seen on 0.3.64)."""


FILE_KEYS: Mapping[str, tuple[str, ...]] = {
    "checkpoint": ("ckpt_name",),
    "unet": ("unet_name",),
    "clip": ("clip_name", "clip_name1"),
    "clip2": ("clip_name2",),
    "clip3": ("clip_name3",),
    "vae": ("vae_name",),
    "lora": ("lora_name",),
}
"""How the config calls a model file: the inputs of the loaders that it goes into."""


_MODEL_FILE_ENDINGS = (
    *(".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".gguf"),
    *(".onnx", ".pkl"),
)


_MULTIPLE_OF_8 = {"EmptyLatentImage", "EmptyImage", "ImageScale", "LatentUpscale"}


_MULTIPLE_OF_16 = {
    "ModelSamplingFlux",
    "FluxGuidance",
    "Flux2Scheduler",
    "ModelSamplingSD3",
}


class WorkflowDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """What the workflow's file itself says.

    Attributes:
        size: None when it says none that imagen can make.
        steps: None when it says none.
        seed: None when it says none.
        files: Each model file by its key (`checkpoint`, `unet`, ...), or by its
            `node.input` where several have the same key.
    """

    size: Size | None = None
    steps: int | None = None
    seed: int | None = None
    files: Mapping[str, str] = {}


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """A graph of ComfyUI's, and the places in it that a job fills."""

    name: str
    graph: WorkflowGraph
    bindings: Bindings
    defaults: WorkflowDefaults


class RequiredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the server must have for the workflow.

    Attributes:
        place: The input that names it.
        class_type: The class of its node, whose choices are to be looked at.
        input: The name of the input.
        name: The name of the file.
    """

    place: NodeInput
    class_type: str
    input: str
    name: str


def load_workflow(
    name_or_path: str,
    *,
    files: Mapping[str, str] | None = None,
    bindings: BindingOverrides | None = None,
) -> Workflow:
    """Read a built-in workflow by its name, or any by the path of its file.

    Args:
        name_or_path: One of `BUILT_IN`, or a file in ComfyUI's API format.
        files: Model files to use instead of those in the workflow, by their key
            (`FILE_KEYS`) or `node.input`.
        bindings: Where a slot is, as `node.input` or several of them; an empty list
            says nowhere. `output` takes the id of a node.

    Raises:
        Misconfigured: there is no such workflow, it cannot be understood, or a file or
            binding does not fit it.
    """
    content = _read_built_in(name_or_path) or _read_file(name_or_path)
    source = (
        f"The built-in workflow {name_or_path}"
        if name_or_path in BUILT_IN
        else display_path(name_or_path)
    )
    graph = _replace_files(parse_graph(content, source=source), files or {})
    slots = find_bindings(graph, bindings or {})
    return Workflow(
        name=name_or_path if name_or_path in BUILT_IN else Path(name_or_path).stem,
        graph=graph,
        bindings=slots,
        defaults=WorkflowDefaults(
            size=_read_size(graph, slots),
            steps=_read_integer(graph, slots.steps),
            seed=_read_integer(graph, slots.seed),
            files=_read_files(graph),
        ),
    )


def workflow_capabilities(workflow: Workflow) -> Capabilities:
    """Return what the workflow lets a job choose.

    `--set` may name any `node.input`, so its names are not listed; `filled` refuses
    what there is not.
    """
    slots = workflow.bindings
    return Capabilities(
        model=_read_model(workflow),
        models=None if slots.model else (),
        sizes=_find_size_rule(workflow),
        largest_seed=LARGEST_SEED if slots.seed else None,
        negative=bool(slots.negative),
        steps=bool(slots.steps),
        largest_batch=LARGEST_BATCH if slots.batch else 1,
        parameters=None,
        live=True,
        may_cost=False,
    )


def list_required_nodes(workflow: Workflow) -> tuple[str, ...]:
    """Return the classes of node that the server must know."""
    return tuple(sorted({node.class_type for node in workflow.graph.nodes.values()}))


def list_required_files(workflow: Workflow) -> tuple[RequiredFile, ...]:
    """Return the model files that the server must have."""
    return tuple(_find_model_files(workflow.graph))


def find_output_nodes(workflow: Workflow) -> tuple[str, ...]:
    """Return the ids of the nodes whose images are the result.

    A workflow may show or save others on the way; those are not it.
    """
    return workflow.bindings.output


def display_path(path: str) -> str:
    """Return a path as it can stand in a message, its end if it is long."""
    short = len(path) <= MAX_NAME_LENGTH
    return display_name(path if short else "…" + path[1 - MAX_NAME_LENGTH :])


# Reading


def _read_built_in(name: str) -> bytes | None:
    if name not in BUILT_IN:
        return None
    folder = Path(__file__).with_name("workflows")  # importlib.resources costs 9 ms
    return (folder / f"{name}.json").read_bytes()


def _read_file(path: str) -> bytes:
    try:
        file = Path(path).expanduser()
        if not file.is_file():
            raise _missing_workflow_error(path, there=file.exists())
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except (OSError, RuntimeError, ValueError) as error:
        raise Misconfigured(
            f"The workflow {display_path(path)} cannot be read: {error}."
        ) from error


def _missing_workflow_error(path: str, *, there: bool) -> Misconfigured:
    if there:
        return Misconfigured(f"The workflow {display_path(path)} is not a file.")
    near = suggest_name(path, BUILT_IN)
    return Misconfigured(
        f"There is no workflow {display_path(path)}, built in or as a file.",
        hint=f"Did you mean {near}?"
        if near
        else "Built in are " + ", ".join(BUILT_IN) + "; or name the path of a file.",
    )


def _replace_files(graph: WorkflowGraph, files: Mapping[str, str]) -> WorkflowGraph:
    nodes = dict(graph.nodes)
    for key, name in files.items():
        place = _find_file_input(graph, key)
        node = nodes[place.node]
        nodes[place.node] = msgspec.structs.replace(
            node, inputs={**node.inputs, place.input: name}
        )
    return msgspec.structs.replace(graph, nodes=nodes)


def _find_file_input(graph: WorkflowGraph, key: str) -> NodeInput:
    exact = resolve_input(graph, key)
    if exact is not None:
        return trace_literal(graph, exact, "word") or exact
    places = _group_file_inputs(graph).get(key, [])
    if len(places) == 1:
        return places[0]
    if places:
        raise Misconfigured(
            f"{graph.source}: {key} could be "
            + " or ".join(graph.describe_input(place) for place in places)
            + ".",
            hint=f'Say which, as in "{places[0]}: ...".',
        )
    known = ", ".join(_group_file_inputs(graph))
    raise Misconfigured(
        f"{graph.source} loads no {key}.",
        hint=f"It loads {known}." if known else "It loads no model files.",
    )


def _group_file_inputs(graph: WorkflowGraph) -> dict[str, list[NodeInput]]:
    keyed: dict[str, list[NodeInput]] = {}
    for key, inputs in FILE_KEYS.items():
        for name, node in graph.nodes.items():
            for one in inputs:
                if isinstance(node.inputs.get(one), str):
                    keyed.setdefault(key, []).append(NodeInput(name, one))
    return keyed


def _read_files(graph: WorkflowGraph) -> dict[str, str]:
    return {
        key if len(places) == 1 else str(place): str(graph.value(place))
        for key, places in _group_file_inputs(graph).items()
        for place in places
    }


def _find_model_files(graph: WorkflowGraph) -> list[RequiredFile]:
    known = {name for names in FILE_KEYS.values() for name in names}
    return [
        RequiredFile(
            place=NodeInput(name, key),
            class_type=node.class_type,
            input=key,
            name=value,
        )
        for name, node in graph.nodes.items()
        for key, value in node.inputs.items()
        if isinstance(value, str)
        and (key in known or value.lower().endswith(_MODEL_FILE_ENDINGS))
    ]


def _read_size(graph: WorkflowGraph, slots: Bindings) -> Size | None:
    width, height = (
        _read_integer(graph, slots.width),
        _read_integer(graph, slots.height),
    )
    if width is None or height is None:
        return None
    try:
        return Size(width, height)
    except InvalidRequest:
        return None


def _read_integer(graph: WorkflowGraph, places: tuple[NodeInput, ...]) -> int | None:
    """Return the number that the file has at the first of the places."""
    for place in places[:1]:
        value = graph.value(trace_literal(graph, place, "whole") or place)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
    return None


# What it can do


def _read_model(workflow: Workflow) -> str:
    graph = workflow.graph
    for place in workflow.bindings.model[:1]:
        return str(graph.value(place))
    return ""


def _find_size_rule(workflow: Workflow) -> SizeRule:
    """Return the sizes that the latent takes.

    ComfyUI does not check the step of a latent's sides and rounds down (65 makes 64,
    seen on 0.3.64), so it is kept here: 8 pixels for each latent one, and 16 for the
    models that take two latent ones at a time (FLUX, SD3 and their kin).
    """
    slots, graph = workflow.bindings, workflow.graph
    if not slots.width:
        size = workflow.defaults.size
        return SizeRule(choices=(size,)) if size else SizeRule(choices=(Size(),))
    classes = {node.class_type for node in graph.nodes.values()}
    holders = {graph.nodes[place.node].class_type for place in slots.width}
    fine = bool(holders & _MULTIPLE_OF_8) and not classes & _MULTIPLE_OF_16
    return SizeRule(
        multiple=8 if fine else 16, smallest=SMALLEST_SIDE, largest=LARGEST_SIDE
    )
