"""A workflow: built in or the user's own, with its bindings, defaults and files."""

import re
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
    build_graph,
    decode_document,
    display_name,
    find_editor_document,
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
"""The built-in workflows, each a file in `workflows/`."""

PREFERRED = (
    *("flux-schnell", "flux-schnell-checkpoint", "z-image-turbo", "flux2-klein"),
    *("flux-dev", "qwen-image", "sd35", "sdxl", "sd15"),
)
"""The same, in the order in which `imagen setup` tries them: fast and recent first."""

LARGEST_BATCH = 4096
"""The limit of ComfyUI's empty latents (observed on 0.3.64)."""

FILE_KEYS: Mapping[str, tuple[str, ...]] = {
    "checkpoint": ("ckpt_name",),
    "unet": ("unet_name",),
    "clip": ("clip_name", "clip_name1"),
    "clip2": ("clip_name2",),
    "clip3": ("clip_name3",),
    "vae": ("vae_name",),
    "lora": ("lora_name",),
}
"""Inputs of model loaders by the key that the config uses for the file."""

_MODEL_FILE_SUFFIXES = (
    *(".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".gguf"),
    *(".onnx", ".pkl"),
)

PRESET, PRESET_SIZE = "resolution", re.compile(r"(\d+) x (\d+)")
FREE_PRESET = "width x height (custom)"
"""The size presets of the loaders of Easy-Use, which come before their sides."""

_MULTIPLE_OF_8 = {"EmptyLatentImage", "EmptyImage", "ImageScale", "LatentUpscale"}
_MULTIPLE_OF_16 = {
    *("ModelSamplingFlux", "FluxGuidance", "Flux2Scheduler", "ModelSamplingSD3"),
}


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow graph, the inputs of it that a job fills, and values from the file.

    Attributes:
        size: The size; None if the file has none that imagen supports.
        steps: The number of steps; None if the file has none.
        batch: The number of images of one run, as far as it is known.
    """

    name: str
    graph: WorkflowGraph
    bindings: Bindings
    size: Size | None = None
    steps: int | None = None
    batch: int = 1


class RequiredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A model file that the server must have, and the input of a node that names it."""

    class_type: str
    input: str
    name: str


class EditorWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow in the format of ComfyUI's editor, before it is converted."""

    name: str
    source: str
    document: Mapping[str, object]
    files: Mapping[str, str] = {}
    bindings: BindingOverrides = {}


def open_workflow(
    name_or_path: str,
    *,
    files: Mapping[str, str] | None = None,
    bindings: BindingOverrides | None = None,
) -> Workflow | EditorWorkflow:
    """Read a built-in workflow, or one from a file in API or the editor's format.

    Args:
        name_or_path: One of `BUILT_IN`, or a path.
        files: Model files to use instead of those in the workflow, by their key
            (`FILE_KEYS`) or `node.input`.
        bindings: See `find_bindings`.

    Raises:
        Misconfigured: the workflow does not exist or is invalid, or a file or binding
            does not fit it.
    """
    content = _read_built_in(name_or_path) or _read_file(name_or_path)
    built_in = name_or_path in BUILT_IN
    source = (
        f"The built-in workflow {name_or_path}"
        if built_in
        else display_path(name_or_path)
    )
    editor = EditorWorkflow(
        name=name_or_path if built_in else Path(name_or_path).stem,
        source=source,
        document=decode_document(content, source=source),
        files=files or {},
        bindings=bindings or {},
    )
    inner = find_editor_document(editor.document)
    if inner is not None:
        return msgspec.structs.replace(editor, document=inner)
    return build_workflow(editor, editor.document)


def build_workflow(found: EditorWorkflow, document: Mapping[str, object]) -> Workflow:
    """Return the workflow with its nodes in API format.

    Raises:
        Misconfigured: see `open_workflow`.
    """
    graph = _replace_files(build_graph(document, source=found.source), found.files)
    bindings = find_bindings(graph, found.bindings)
    return Workflow(
        name=found.name,
        graph=graph,
        bindings=bindings,
        size=_read_size(graph, bindings),
        steps=_read_integer(graph, bindings.steps),
        batch=max(1, _read_integer(graph, bindings.batch) or 1),
    )


def name_instance(error: Misconfigured, instance: str) -> Misconfigured:
    """Return the error with the name of the instance."""
    return Misconfigured(f"{instance}: {error.message}", hint=error.hint)


def workflow_capabilities(workflow: Workflow) -> Capabilities:
    """Return what a job may choose in the workflow."""
    bindings = workflow.bindings
    return Capabilities(
        model=str(workflow.graph.value(bindings.model[0])) if bindings.model else "",
        models=None if bindings.model else (),
        sizes=_find_size_rule(workflow),
        largest_seed=LARGEST_SEED if bindings.seed else None,
        negative=bool(bindings.negative),
        steps=bool(bindings.steps),
        largest_batch=LARGEST_BATCH if bindings.batch else 1,
        default_batch=workflow.batch,
        # `--set` accepts any `node.input`: `fill_workflow` refuses unknown ones.
        parameters=None,
        references=len(bindings.image),
        mask=bool(bindings.mask and bindings.image),
        live=True,
        may_cost=False,
    )


def list_required_files(workflow: Workflow) -> tuple[RequiredFile, ...]:
    """Return the model files that the server must have."""
    known = {name for names in FILE_KEYS.values() for name in names}
    return tuple(
        RequiredFile(class_type=node.class_type, input=key, name=value)
        for node in workflow.graph.nodes.values()
        for key, value in node.inputs.items()
        if isinstance(value, str)
        and (key in known or value.lower().endswith(_MODEL_FILE_SUFFIXES))
    )


def display_path(path: str) -> str:
    """Return a path for a message; of a long path only the end."""
    short = len(path) <= MAX_NAME_LENGTH
    return display_name(path if short else "…" + path[1 - MAX_NAME_LENGTH :])


def _read_built_in(name: str) -> bytes | None:
    if name not in BUILT_IN:
        return None
    # Not importlib.resources, whose import takes 9 ms.
    folder = Path(__file__).with_name("workflows")
    return (folder / f"{name}.json").read_bytes()


def _read_file(path: str) -> bytes:
    try:
        file = Path(path).expanduser()
        if not file.is_file():
            raise _missing_workflow_error(path, exists=file.exists())
        with file.open("rb") as opened:
            # One byte more than the limit, so that a larger file is noticed.
            return opened.read(MAX_BYTES + 1)
    except (OSError, RuntimeError, ValueError) as error:
        raise Misconfigured(
            f"The workflow {display_path(path)} cannot be read: {error}."
        ) from error


def _missing_workflow_error(path: str, *, exists: bool) -> Misconfigured:
    if exists:
        return Misconfigured(f"The workflow {display_path(path)} is not a file.")
    near = suggest_name(path, BUILT_IN)
    return Misconfigured(
        f"Unknown workflow {display_path(path)}: neither built in nor a file.",
        hint=f"Did you mean {near}?"
        if near
        else "Use the path of a file, or one of " + ", ".join(BUILT_IN) + ".",
    )


def _read_size(graph: WorkflowGraph, bindings: Bindings) -> Size | None:
    width = _read_integer(graph, bindings.width)
    height = _read_integer(graph, bindings.height)
    if width is None or height is None:
        return None
    holder = bindings.width[0].node
    if preset := PRESET_SIZE.fullmatch(str(graph.nodes[holder].inputs.get(PRESET))):
        width, height = int(preset[1]), int(preset[2])
    # The latents of ComfyUI round down, so the image of the file has this size.
    kind = graph.nodes[holder].class_type
    unit = 16 if "Flux2" in kind else 8 if "Latent" in kind else 1
    try:
        return Size(width // unit * unit, height // unit * unit)
    except InvalidRequest:
        return None


def _read_integer(graph: WorkflowGraph, targets: tuple[NodeInput, ...]) -> int | None:
    """Return the file's value of the first input."""
    for target in targets[:1]:
        value = graph.value(trace_literal(graph, target, "integer") or target)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
    return None


def _replace_files(graph: WorkflowGraph, files: Mapping[str, str]) -> WorkflowGraph:
    nodes = dict(graph.nodes)
    for key, name in files.items():
        target = _find_file_input(graph, key)
        node = nodes[target.node]
        nodes[target.node] = msgspec.structs.replace(
            node, inputs={**node.inputs, target.input: name}
        )
    return msgspec.structs.replace(graph, nodes=nodes)


def _find_file_input(graph: WorkflowGraph, key: str) -> NodeInput:
    exact = resolve_input(graph, key)
    if exact is not None:
        return trace_literal(graph, exact, "string") or exact
    targets = _group_file_inputs(graph).get(key, [])
    if len(targets) == 1:
        return targets[0]
    if targets:
        raise Misconfigured(
            f"{graph.source}: {key} is ambiguous, it could be "
            + " or ".join(graph.describe_input(target) for target in targets)
            + ".",
            hint=f'Name the input in the config, for example "{targets[0]}: ...".',
        )
    known = ", ".join(_group_file_inputs(graph))
    raise Misconfigured(
        f"{graph.source} loads no {key}.",
        hint=f"It loads {known}." if known else "It loads no model files.",
    )


def _group_file_inputs(graph: WorkflowGraph) -> dict[str, list[NodeInput]]:
    groups: dict[str, list[NodeInput]] = {}
    for key, inputs in FILE_KEYS.items():
        for name, node in graph.nodes.items():
            for each in inputs:
                if isinstance(node.inputs.get(each), str):
                    groups.setdefault(key, []).append(NodeInput(name, each))
    return groups


def _find_size_rule(workflow: Workflow) -> SizeRule:
    bindings, graph = workflow.bindings, workflow.graph
    if not bindings.width:
        return SizeRule(choices=(workflow.size or Size(),))
    # ComfyUI does not check the step of a latent's sides and rounds down (65 gives 64,
    # observed on 0.3.64), so imagen checks it: 8 pixels for each latent pixel, and 16
    # for models that take two latent pixels at a time (FLUX, SD3 and similar).
    classes = {node.class_type for node in graph.nodes.values()}
    latents = {graph.nodes[target.node].class_type for target in bindings.width}
    fine = bool(latents & _MULTIPLE_OF_8) and not classes & _MULTIPLE_OF_16
    return SizeRule(
        multiple=8 if fine else 16,
        smallest=SMALLEST_SIDE,
        largest=LARGEST_SIDE,
        default=workflow.size,
    )
