"""The free requests before a job is submitted: conversion, checks, and uploads."""

from collections.abc import Mapping

from imagen.adapters.backends.comfyui.errors import join_choices, parse_choices
from imagen.adapters.backends.comfyui.filling import find_option_inputs
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
from imagen.adapters.remote.vendor import Exchange
from imagen.domain.errors import InvalidRequest
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


def _check_options(workflow: Workflow, options: Mapping[str, object]) -> Exchange[None]:
    targets = [
        (name, workflow.graph.nodes[target.node].class_type, target.input)
        for name in options
        for target in find_option_inputs(workflow, name)
    ]
    types = yield from fetch_node_types(kind for _, kind, _ in targets)
    for name, kind, key in targets:
        if kind in types:
            _check_value(name, options[name], types[kind].inputs().get(key))


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
