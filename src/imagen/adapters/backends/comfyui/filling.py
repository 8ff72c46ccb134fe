"""Fills a workflow with the values of a job."""

import copy
import math
from collections.abc import Mapping

from imagen.adapters.backends.comfyui.bindings import resolve_input
from imagen.adapters.backends.comfyui.graph import (
    NodeInput,
    WorkflowGraph,
    WorkflowNode,
    display_name,
)
from imagen.adapters.backends.comfyui.workflow import Workflow
from imagen.domain.errors import InvalidRequest
from imagen.domain.plan import ImageJob
from imagen.domain.suggestion import suggest_name

MAX_PARAMETERS_LISTED = 40


PARAMETERS: Mapping[str, str] = {
    "cfg": "how closely to follow the prompt",
    "guidance": "the same, for models such as FLUX dev",
    "sampler": "the sampling method",
    "scheduler": "the schedule of the steps",
    "denoise": "how much of the image to make anew, from 0 to 1",
}
"""What `--set` calls by a name of its own, where the workflow has it."""


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
    """Return the graph to be sent for a job, a copy that shares nothing.

    Args:
        workflow: Is not changed.
        job: What is wanted; what it leaves open stays as in the workflow.
        prefix: What the server calls the files; "" leaves it to the workflow.

    Raises:
        InvalidRequest: an option names nothing in the workflow, or its value makes no
            sense there.
    """
    slots, graph = workflow.bindings, workflow.graph
    values = _scale_handover_steps(workflow, job.steps)
    for places, value in (
        (slots.prompt, job.prompt),
        (slots.negative, job.negative),
        (slots.seed, job.seed),
        (slots.steps, job.steps),
        (slots.width, job.size.width),
        (slots.height, job.size.height),
        (slots.batch, job.count),
        (slots.model, job.model or None),
    ):
        if value is not None:
            values.update(dict.fromkeys(places, value))
    if prefix:
        values.update(_apply_prefix(workflow, prefix))
    for name, wished in job.options.items():
        values.update(_apply_option(workflow, name, wished))
    inputs = {name: dict(node.inputs) for name, node in graph.nodes.items()}
    for place, settled in values.items():
        inputs[place.node][place.input] = settled
    return {
        name: _node_to_json(node, copy.deepcopy(inputs[name]))
        for name, node in graph.nodes.items()
    }


# Filling


def _node_to_json(node: WorkflowNode, inputs: dict[str, object]) -> dict[str, object]:
    sent: dict[str, object] = {"class_type": node.class_type, "inputs": inputs}
    return {**sent, "_meta": {"title": node.title}} if node.title else sent


def _scale_handover_steps(
    workflow: Workflow, steps: int | None
) -> dict[NodeInput, object]:
    """Move the steps at which samplers take over along with the number of steps."""
    was = workflow.defaults.steps
    if not steps or not was:
        return {}
    moved: dict[NodeInput, object] = {}
    for place in workflow.bindings.handover:
        at = workflow.graph.value(place)
        if isinstance(at, int):
            moved[place] = round(at * steps / was)
    return moved


def _apply_prefix(workflow: Workflow, prefix: str) -> dict[NodeInput, object]:
    graph = workflow.graph
    places = (NodeInput(node, "filename_prefix") for node in workflow.bindings.output)
    return {place: prefix for place in places if graph.value(place) is not None}


def _apply_option(
    workflow: Workflow, name: str, value: object
) -> dict[NodeInput, object]:
    places = _find_option_inputs(workflow, name)
    for place in places:
        _check_value(name, value, place=place, was=workflow.graph.value(place))
    return dict.fromkeys(places, value)


def _find_option_inputs(workflow: Workflow, name: str) -> tuple[NodeInput, ...]:
    graph = workflow.graph
    friendly = _named_parameters(workflow)
    if name in friendly:
        return friendly[name]
    place = resolve_input(graph, name)
    if place is not None:
        _check_settable(workflow, place)
        return (place,)
    known = [*friendly, *_list_settable_inputs(graph)]
    near, more = suggest_name(name, known), len(known) - MAX_PARAMETERS_LISTED
    raise InvalidRequest(
        f"{workflow.name} has no parameter {display_name(name)!r}.",
        hint=(f"Did you mean {near}? " if near else "")
        + "It has "
        + ", ".join(known[:MAX_PARAMETERS_LISTED])
        + (f" and {more} more." if more > 0 else "."),
    )


def _check_settable(workflow: Workflow, place: NodeInput) -> None:
    """Refuse what a link or a flag decides; both ways at once could not be told."""
    link = workflow.graph.link(place)
    if link is not None:
        raise InvalidRequest(
            f"{workflow.name}: {place} is linked to node {display_name(link.node)}"
            f" ({workflow.graph.describe_node(link.node)}).",
            hint="Set the value there.",
        )
    for slot, flag in _FLAGS.items():
        if place in getattr(workflow.bindings, slot):
            raise InvalidRequest(
                f"{workflow.name}: {place} is not for --set.", hint=f"Use {flag}."
            )


def _named_parameters(workflow: Workflow) -> dict[str, tuple[NodeInput, ...]]:
    slots = workflow.bindings
    found = {
        "cfg": slots.cfg,
        "guidance": slots.guidance,
        "sampler": slots.sampler,
        "scheduler": slots.scheduler,
        "denoise": slots.denoise,
        "image": slots.image if len(slots.image) == 1 else (),
    }
    return {name: places for name, places in found.items() if places}


def _list_settable_inputs(graph: WorkflowGraph) -> list[str]:
    return [
        str(place)
        for name, node in graph.nodes.items()
        for place in (NodeInput(name, key) for key in node.inputs)
        if graph.link(place) is None
    ]


def _check_value(name: str, value: object, *, place: NodeInput, was: object) -> None:
    """Refuse a value of another type than the workflow has there.

    ComfyUI converts what it can and would silently make 1 of 1.5 or of true.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest(f"{name} cannot be {value}.")
    if isinstance(was, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    elif place.input in _INTEGER_INPUTS or place.input.endswith("_step"):
        fits = isinstance(value, int) and not isinstance(value, bool)
        wanted = "a whole number"
    elif isinstance(was, int | float):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        wanted = "a number"
    elif isinstance(was, str):
        fits, wanted = isinstance(value, str), "a word or a text"
    else:
        return
    if not fits:
        raise InvalidRequest(f"{name} is {wanted}, not {value!r}.")
