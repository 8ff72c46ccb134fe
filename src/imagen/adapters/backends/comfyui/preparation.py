"""The free requests before a job is submitted: conversion, checks, and uploads."""

from collections.abc import Mapping, Sequence

from imagen.adapters.backends.comfyui.errors import join_choices, parse_choices
from imagen.adapters.backends.comfyui.filling import find_option_inputs
from imagen.adapters.backends.comfyui.graph import NodeInput
from imagen.adapters.backends.comfyui.node_types import (
    InputSpec,
    fetch_node_types,
    read_spec,
)
from imagen.adapters.backends.comfyui.uploads import upload_images
from imagen.adapters.backends.comfyui.workflow import (
    EditorWorkflow,
    Workflow,
    build_workflow,
)
from imagen.adapters.remote.vendor import Exchange, UnreadableResponse
from imagen.domain.errors import BackendError, InvalidRequest, Unauthorized
from imagen.domain.job import ImageJob
from imagen.domain.suggestion import suggest_name


def convert_workflow(editor: EditorWorkflow) -> Exchange[Workflow]:
    """Yield requests for the types of its nodes, and return the converted workflow.

    Raises:
        Misconfigured: it cannot be converted, or not be used.
    """
    from imagen.adapters.backends.comfyui.editor import (  # noqa: PLC0415 - rare
        convert_document,
        list_classes,
    )

    classes = list_classes(editor.document, source=editor.source)
    types = yield from fetch_node_types(classes)
    api = convert_document(editor.document, types, source=editor.source)
    return build_workflow(editor, api)


def prepare_job(workflow: Workflow, job: ImageJob) -> Exchange[None]:
    """Yield the requests that a job needs before it is submitted.

    Raises:
        InvalidRequest: the server does not accept the value of an option.
    """
    yield from _check_options(workflow, job.options)
    yield from upload_images(workflow, job)


def check_model(workflow: Workflow, model: str) -> Exchange[None]:
    """Yield a request, and check that the server has a model file; "" is accepted.

    Raises:
        InvalidRequest: it does not have the file.
    """
    targets = workflow.bindings.model if model else ()
    yield from _check_values(workflow, [("model", model, each) for each in targets])


def _check_options(workflow: Workflow, options: Mapping[str, object]) -> Exchange[None]:
    targets = [
        (name, value, target)
        for name, value in options.items()
        for target in find_option_inputs(workflow, name)
    ]
    yield from _check_values(workflow, targets)


def _check_values(
    workflow: Workflow, values: Sequence[tuple[str, object, NodeInput]]
) -> Exchange[None]:
    """Check values, each with the name for messages and the input that takes it."""
    nodes = workflow.graph.nodes
    try:
        types = yield from fetch_node_types(
            nodes[target.node].class_type for _, _, target in values
        )
    except (BackendError, Unauthorized, UnreadableResponse):
        # A proxy may let nothing but the requests of a job pass. Their types are
        # checked already, by the workflow's own values, and the server checks the rest.
        return
    for name, value, target in values:
        found = types.get(nodes[target.node].class_type)
        if found is not None:
            _check_value(name, value, found.inputs().get(target.input))


def _check_value(name: str, value: object, spec: InputSpec) -> None:
    kind, limits = read_spec(spec)
    choices = parse_choices(spec)
    # The list of LoadImage lacks the files in folders.
    uploads = any(key.endswith("_upload") for key in limits)
    if choices and value not in choices and not uploads:
        near = suggest_name(str(value), map(str, choices))
        raise InvalidRequest(
            f"{name}: {value!r} is not on this server.",
            hint=(f"Did you mean {near}? " if near else "")
            + f"It has: {join_choices(choices)}.",
        )
    least, most = limits.get("min"), limits.get("max")
    if (
        kind in ("INT", "FLOAT")
        and isinstance(value, int | float)
        and isinstance(least, int | float)
        and isinstance(most, int | float)
        and not least <= value <= most
    ):
        raise InvalidRequest(f"{name} must be {least} to {most}, not {value}.")
