"""Workflows in the format of ComfyUI's editor, made of workflows in API format."""

from collections.abc import Mapping
from typing import Any

import msgspec

from imagen.adapters.backends.comfyui.node_types import (
    NodeType,
    is_widget,
    read_spec,
)

Document = dict[str, Any]

LINK: list[object] = ["ANY", {}]


def is_link(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def types_of(*workflows: Mapping[str, Mapping[str, Any]]) -> dict[str, NodeType]:
    """Return the types that the nodes of workflows in API format seem to have."""
    specs: dict[str, dict[str, object]] = {}
    for body in (body for nodes in workflows for body in nodes.values()):
        inputs = specs.setdefault(body["class_type"], {})
        for name, value in body["inputs"].items():
            if name not in inputs or inputs[name] == LINK:
                inputs[name] = spec_of(name, value)
    return {
        name: msgspec.convert({"input": {"required": inputs}}, NodeType)
        for name, inputs in specs.items()
    }


def spec_of(name: str, value: object) -> list[object]:
    if is_link(value):
        return LINK
    if isinstance(value, bool):
        return ["BOOLEAN", {}]
    if isinstance(value, int | float):
        control = {"control_after_generate": True} if "seed" in name else {}
        return ["FLOAT" if isinstance(value, float) else "INT", control]
    return ["STRING", {}] if name in {"text", "prompt"} else [[value, "other"], {}]


def draw(
    nodes: Mapping[str, Mapping[str, Any]], types: Mapping[str, NodeType]
) -> Document:
    """Return what the editor saves for a workflow in API format."""
    drawn: list[dict[str, Any]] = []
    links: list[list[object]] = []
    for name, body in nodes.items():
        inputs = []
        for key, value in body["inputs"].items():
            if is_link(value):
                number = len(links) + 1
                links.append([number, value[0], value[1], name, len(inputs), "ANY"])
                inputs.append({"name": key, "type": "ANY", "link": number})
        values: list[object] = []
        for key, spec in types[body["class_type"]].inputs().items():
            if not is_widget(spec):
                continue
            _, options = read_spec(spec)
            value = body["inputs"].get(key)
            values.append("old" if is_link(value) else value)
            if options.get("control_after_generate"):
                values.append("randomize")
        drawn.append(
            {
                "id": name,
                "type": body["class_type"],
                "title": body["_meta"]["title"],
                "mode": 0,
                "inputs": inputs,
                "widgets_values": values,
            }
        )
    return {"nodes": drawn, "links": links, "version": 0.4}
