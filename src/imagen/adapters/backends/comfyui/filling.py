"""Filling of a workflow with the values of a job."""

import math

from imagen.adapters.backends.comfyui.bindings import resolve_input
from imagen.adapters.backends.comfyui.graph import (
    NodeInput,
    display_name,
)
from imagen.adapters.backends.comfyui.uploads import assign_images
from imagen.adapters.backends.comfyui.workflow import (
    FREE_PRESET,
    PRESET,
    PRESET_SIZE,
    Workflow,
)
from imagen.domain.errors import InvalidRequest
from imagen.domain.job import ImageJob
from imagen.domain.suggestion import suggest_name

MAX_PARAMETERS_LISTED = 40

# The replacement for `--set` of an input that has a flag of its own.
_FLAGS = {
    "prompt": "the prompt",
    "negative": "--negative",
    "seed": "--seed",
    "steps": "--steps",
    "width": "--size",
    "height": "--size",
    "batch": "--count",
    "model": "--model",
}
_INTEGER_INPUTS = {"seed", "noise_seed", "steps", "width", "height", "batch_size"}


def fill_workflow(
    workflow: Workflow, job: ImageJob, *, prefix: str = ""
) -> dict[str, dict[str, object]]:
    """Return the workflow to submit for a job, in which the links are the file's own.

    Args:
        workflow: The workflow; it is not changed.
        job: The values; those that it leaves open stay as in the file.
        prefix: Prefix of the file names on the server; "" leaves that of the file.

    Raises:
        InvalidRequest: an option names no input of the workflow, or its value has the
            wrong type.
    """
    bindings, graph = workflow.bindings, workflow.graph
    values = _scale_handover_steps(workflow, job.steps)
    for targets, value in (
        (bindings.prompt, job.prompt),
        (bindings.negative, job.negative),
        (bindings.seed, job.seed),
        (bindings.steps, job.steps),
        (bindings.width, job.size.width),
        (bindings.height, job.size.height),
        (bindings.batch, None if job.count == workflow.batch else job.count),
        (bindings.model, job.model or None),
    ):
        if value is not None:
            values.update(dict.fromkeys(targets, value))
    images = assign_images(workflow, job)
    values.update(images)
    for side in bindings.width:
        preset = NodeInput(side.node, PRESET)
        if PRESET_SIZE.fullmatch(str(graph.value(preset))):
            values[preset] = FREE_PRESET
    for output in bindings.output if prefix else ():
        target = NodeInput(output, "filename_prefix")
        if graph.value(target) is not None:
            values[target] = prefix
    for name, option in job.options.items():
        for target in find_option_inputs(workflow, name):
            if target in images:
                raise InvalidRequest(
                    f"{workflow.name}: {target} is set by --image or --mask, and by"
                    f" --set {display_name(name)}.",
                    hint="Leave one of them out.",
                )
            _check_value(name, option, target=target, default=graph.value(target))
            values[target] = option
    inputs = {name: dict(node.inputs) for name, node in graph.nodes.items()}
    for target, filled in values.items():
        inputs[target.node][target.input] = filled
    filled_graph: dict[str, dict[str, object]] = {}
    for name, node in graph.nodes.items():
        filled_graph[name] = {"class_type": node.class_type, "inputs": inputs[name]}
        if node.title:
            filled_graph[name]["_meta"] = {"title": node.title}
    return filled_graph


def _scale_handover_steps(
    workflow: Workflow, steps: int | None
) -> dict[NodeInput, object]:
    """Scale the steps at which samplers hand over with the number of steps."""
    if not steps or not workflow.steps:
        return {}
    scaled: dict[NodeInput, object] = {}
    for target in workflow.bindings.handover:
        at = workflow.graph.value(target)
        if isinstance(at, int):
            scaled[target] = round(at * steps / workflow.steps)
    return scaled


def find_option_inputs(workflow: Workflow, name: str) -> tuple[NodeInput, ...]:
    """Return the inputs that an option (`--set`) sets.

    Raises:
        InvalidRequest: there are none, or a link or a flag sets them.
    """
    graph = workflow.graph
    parameters = _named_parameters(workflow)
    if name in parameters:
        return parameters[name]
    target = resolve_input(graph, name)
    if target is not None:
        _check_settable(workflow, target)
        return (target,)
    # Only what `--set` takes: no linked inputs, and none with a flag of its own.
    flagged = {to for each in _FLAGS for to in getattr(workflow.bindings, each)}
    inputs = [
        target
        for node, body in graph.nodes.items()
        for key in body.inputs
        if (target := NodeInput(node, key)) not in flagged and not graph.link(target)
    ]
    known = [*parameters, *map(str, inputs)]
    near, more = suggest_name(name, known), len(known) - MAX_PARAMETERS_LISTED
    raise InvalidRequest(
        f"{workflow.name} has no parameter {display_name(name)!r}.",
        hint=(f"Did you mean {near}? " if near else "")
        + "It has "
        + ", ".join(known[:MAX_PARAMETERS_LISTED])
        + (f" and {more} more." if more > 0 else "."),
    )


def _check_settable(workflow: Workflow, target: NodeInput) -> None:
    """Refuse to set an input that a link or a flag sets already."""
    link = workflow.graph.link(target)
    if link is not None:
        raise InvalidRequest(
            f"{workflow.name}: {target} is linked to node {display_name(link.node)}"
            f" ({workflow.graph.describe_node(link.node)}).",
            hint="Set the value there.",
        )
    # Otherwise the flag and `--set` could give it two values.
    for binding, flag in _FLAGS.items():
        if target in getattr(workflow.bindings, binding):
            raise InvalidRequest(
                f"{workflow.name}: {target} cannot be set with --set.",
                hint=f"Use {flag}.",
            )


def _named_parameters(workflow: Workflow) -> dict[str, tuple[NodeInput, ...]]:
    names = ("cfg", "guidance", "sampler", "scheduler", "denoise", "image")
    found = {name: getattr(workflow.bindings, name) for name in names}
    # Several input images have no name in common.
    return {
        name: targets
        for name, targets in found.items()
        if targets and (name != "image" or len(targets) == 1)
    }


def _check_value(
    name: str, value: object, *, target: NodeInput, default: object
) -> None:
    """Refuse a value whose type differs from the workflow's own value."""
    # ComfyUI converts what it can, and would silently make 1 of 1.5 or of true.
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest(f"{name} must be a finite number, not {value}.")
    if isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    elif target.input in _INTEGER_INPUTS or target.input.endswith("_step"):
        fits = isinstance(value, int) and not isinstance(value, bool)
        wanted = "an integer"
    elif isinstance(default, int | float):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        wanted = "a number"
    elif isinstance(default, str):
        fits, wanted = isinstance(value, str), "a string"
    else:
        return
    if not fits:
        raise InvalidRequest(f"{name} must be {wanted}, not {value!r}.")
