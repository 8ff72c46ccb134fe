"""Reads public_shapes.txt: workflows, and what their authors meant."""

import json
import re
from pathlib import Path

import msgspec
from tests.unit.adapters.backends.comfyui.graphs import Nodes, guided, node, stock

BASES = {"": dict, "stock": stock, "guided": guided}

_HEAD = re.compile(r"\[(.+)\] ?(\w*)")
_NODE = re.compile(r'(\S+) ("[^"]+"|\S+)(.*)')
_INPUT = re.compile(r'([^\s=]*)=(@\S+|"(?:[^"\\]|\\.)*"|\S+)')


class Shape(msgspec.Struct):
    """A workflow and what its author meant.

    Attributes:
        nodes: The workflow in API format.
        want: Inputs by binding, as `node.input` separated by spaces; "" for none.
        refused: What the error must name, instead.
    """

    nodes: Nodes
    want: dict[str, str] = {}
    refused: tuple[str, ...] = ()


def read_shapes() -> dict[str, Shape]:
    """Return the workflows by name."""
    shapes: dict[str, Shape] = {}
    text = Path(__file__).with_name("public_shapes.txt").read_text(encoding="utf-8")
    for line in text.replace("\n    ", " ").splitlines():
        if head := _HEAD.fullmatch(line):
            assert head[1] not in shapes, line
            shape = shapes[head[1]] = Shape(nodes=BASES[head[2]]())
        elif line.startswith("=> "):
            pairs = (pair.partition(":") for pair in line[3:].split(";"))
            shape.want = {name.strip(): value.strip() for name, _, value in pairs}
        elif line.startswith("refused: "):
            shape.refused = tuple(line.removeprefix("refused: ").split(" | "))
        elif line and not line.startswith("#"):
            _add_node(shape.nodes, line)
    return shapes


def _add_node(nodes: Nodes, line: str) -> None:
    found = _NODE.fullmatch(line)
    assert found, line
    name, kind, rest = found[1], found[2].strip('"'), found[3]
    inputs = {each[1]: _read_value(each[2]) for each in _INPUT.finditer(rest)}
    assert len(inputs) == len(_INPUT.sub("=", rest).split()), line
    before = nodes[name]["inputs"] if kind == "~" else {}
    assert isinstance(before, dict)
    kind = str(nodes[name]["class_type"]) if kind == "~" else kind
    nodes[name] = node(kind, **{**before, **inputs})


def _read_value(text: str) -> object:
    if text.startswith("@"):
        source, _, output = text[1:].partition(".")
        return [source, int(output or 0)]
    return json.loads(text)


SHAPES = read_shapes()
