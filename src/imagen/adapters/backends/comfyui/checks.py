"""Free checks of a ComfyUI server: that it answers, and has each node and file."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import msgspec

from imagen.adapters.backends.comfyui.errors import join_choices, parse_choices
from imagen.adapters.backends.comfyui.node_types import fetch_node_types
from imagen.adapters.backends.comfyui.workflow import (
    RequiredFile,
    Workflow,
    list_required_files,
)
from imagen.adapters.remote.vendor import (
    Checks,
    Exchange,
    HttpRequest,
    UnreadableResponse,
)
from imagen.ports.backend import Readiness


class _System(msgspec.Struct, frozen=True):
    comfyui_version: str | None = None


class _Stats(msgspec.Struct, frozen=True):
    system: _System


def check_server(name: str) -> Exchange[str | Checks]:
    """Return the name and the version of the server."""
    response = yield HttpRequest(path="system_stats")
    with decoding(name):
        system = msgspec.json.decode(response.content, type=_Stats).system
    return f"{name}, {system.comfyui_version or 'unknown version'}"


def check_workflow(workflow: Workflow) -> Exchange[str | Checks]:
    """Return a result for each class of nodes, and for each model file."""
    results: list[Readiness] = []
    files = list_required_files(workflow)
    kinds = sorted({node.class_type for node in workflow.graph.nodes.values()})
    types = yield from fetch_node_types(kinds)
    for kind in kinds:
        found = types.get(kind)
        note = "" if found else "unknown on the server; install it, or update ComfyUI"
        ready = found is not None
        results.append(Readiness(name=f"node {kind}", ready=ready, note=note))
        if found is not None:
            inputs = found.inputs()
            results += [
                _check_file(file, inputs) for file in files if file.class_type == kind
            ]
    return tuple(results)


@contextmanager
def decoding(name: str) -> Generator[None, None, None]:
    """Translate the error of a body that another program has sent."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise UnreadableResponse(
            f"{name}: the response is not from a ComfyUI server.",
            hint="Check base_url.",
        ) from error


def _check_file(file: RequiredFile, inputs: Mapping[str, object]) -> Readiness:
    name, choices = f"file {file.name}", parse_choices(inputs.get(file.input))
    if choices is None:
        return Readiness(name=name, ready=True, note=f"{file.input} accepts any name")
    if file.name in choices:
        return Readiness(name=name, ready=True)
    available = f"it has {join_choices(choices)}" if choices else "it has no files"
    return Readiness(
        name=name,
        ready=False,
        note=f"{file.class_type} does not have this file; {available}",
    )
