"""Parser of ComfyUI graphs: the settings of an image, found along the links.

The search starts at a sampler that feeds no other sampler, and takes the nearest value
of each kind upstream of it.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from imagen.domain.metadata.embedded import FieldNames, Recipe, build_recipe
from imagen.domain.metadata.foreign_json import as_object

# Nodes may come from any extension, so the parser knows no node types. It relies on the
# usual names of inputs.
_TEXTS = ("text", "prompt", "text_g", "t5xxl", "text_l", "clip_l", "positive_prompt")
_MODELS = ("ckpt_name", "unet_name", "model_name", "gguf_name")
# Input names of nodes that only hold a value.
_VALUE_INPUTS = ("value", "text", "string", "prompt", "int", "float", "seed", "number")
_NOT_TEXT = frozenset({"clip", "model", "vae", "image", "pixels", "control_net"})
_SIDES = ("width", "height")
_KEYS = FieldNames(negative=("negative",), sampler=("sampler_name",))
# Limits for hostile graphs: samplers to try, value nodes in a row, nodes in one search.
_MAX_SAMPLERS, _MAX_HOPS, _MAX_NODES = 16, 8, 5_000


def read_graph(data: Mapping[str, object]) -> Recipe | None:
    """Return the settings in a graph of the API format; None if it is not a graph."""
    nodes = {
        name: _Node(kind=kind, inputs=as_object(node.get("inputs")))
        for name, node in ((name, as_object(node)) for name, node in data.items())
        if isinstance(kind := node.get("class_type"), str)
    }
    if not nodes:
        return None
    graph = _Graph(nodes=nodes)
    sampler = graph.leading_sampler()
    settings = graph.settings(sampler) if sampler else graph.only_text()
    return build_recipe("ComfyUI", settings, _KEYS)


class _Node(msgspec.Struct, frozen=True):
    """A node of the graph. Each of its inputs is a value or a link."""

    kind: str
    inputs: Mapping[str, object]

    @property
    def is_sampler(self) -> bool:
        return "latent_image" in self.inputs and bool(
            self.inputs.keys() & {"positive", "guider"}
        )


class _Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes of a graph, by name."""

    nodes: Mapping[str, _Node]

    def leading_sampler(self) -> _Node | None:
        """Return the first sampler whose latent image comes from no other sampler."""
        samplers = [node for node in self.nodes.values() if node.is_sampler]
        for sampler in samplers[:_MAX_SAMPLERS]:
            sources = self.upstream(sampler, ("latent_image",))
            if not any(node.is_sampler for node in sources):
                return sampler
        return samplers[0] if samplers else None

    def only_text(self) -> dict[str, object]:
        """Return the prompt of a graph without samplers, if it has exactly one text."""
        texts = {
            text
            for node in self.nodes.values()
            for key in _TEXTS
            if isinstance(text := node.inputs.get(key), str) and text
        }
        return {"prompt": texts.pop()} if len(texts) == 1 else {}

    def settings(self, sampler: _Node) -> dict[str, object]:
        """Return the settings of a sampler, under ComfyUI's names."""
        guider = self.linked(sampler.inputs.get("guider")) or sampler
        words = "positive" if "positive" in guider.inputs else "conditioning"
        guidance = self.nearest(guider, ("guidance",), (words,))
        cfg = self.nearest(sampler, ("cfg",), ("guider",))
        schedule = ("sigmas",)
        models = list(self.upstream(guider, ("model",)))
        return {
            "prompt": self.text(guider, words, other="negative"),
            "negative": self.text(guider, "negative", other="positive"),
            "seed": self.nearest(sampler, ("seed", "noise_seed"), ("noise",)),
            "steps": self.nearest(sampler, ("steps",), schedule),
            "guidance": cfg if guidance is None else guidance,
            "cfg": None if guidance is None else cfg,
            "sampler_name": self.nearest(sampler, ("sampler_name",), ("sampler",)),
            "scheduler": self.nearest(sampler, ("scheduler",), schedule),
            "denoise": self.nearest(sampler, ("denoise",), schedule),
            "model": self.first(models, _MODELS),
            "loras": [n.inputs["lora_name"] for n in models if "lora_name" in n.inputs]
            or None,
            **self.size(sampler),
        }

    def text(self, node: _Node, words: str, *, other: str) -> object:
        """Return the nearest text upstream of an input, without the `other` branch."""
        without = _NOT_TEXT | {other}
        for found in self.upstream(node, (words,), without=without):
            # ConditioningZeroOut discards the text upstream of it.
            if "ZeroOut" in found.kind:
                return None
            for key in _TEXTS:
                if isinstance(text := self.value(found.inputs.get(key)), str):
                    return text
        return None

    def size(self, sampler: _Node) -> dict[str, object]:
        """Return width and height of the empty latent image."""
        for node in self.upstream(sampler, ("latent_image",)):
            sides = {side: self.value(node.inputs.get(side)) for side in _SIDES}
            if all(type(side) is int for side in sides.values()):
                return sides
        return {}

    def nearest(
        self, node: _Node, keys: Sequence[str], through: Sequence[str]
    ) -> object:
        """Return the value in the node, else the nearest one upstream."""
        return self.first((node, *self.upstream(node, through)), keys)

    def first(self, nodes: Iterable[_Node], keys: Sequence[str]) -> object:
        """Return the first value with one of the keys."""
        values = (
            self.value(node.inputs[key])
            for node in nodes
            for key in keys
            if key in node.inputs
        )
        return next((value for value in values if value is not None), None)

    def value(self, entry: object) -> object:
        """Return the value of an input, directly or through nodes that hold it."""
        for _ in range(_MAX_HOPS):
            node = self.linked(entry)
            if node is None:
                break
            held = (node.inputs[key] for key in _VALUE_INPUTS if key in node.inputs)
            entry = next(held, None)
        return entry if isinstance(entry, str | int | float) else None

    def linked(self, entry: object) -> _Node | None:
        """Return the node that a link points to; None if the input is not a link."""
        name = _linked_name(entry)
        return None if name is None else self.nodes.get(name)

    def upstream(
        self, node: _Node, through: Sequence[str], *, without: Collection[str] = ()
    ) -> Iterator[_Node]:
        """Yield all nodes upstream of the named inputs, nearest first."""
        waiting = deque(node.inputs.get(name) for name in through)
        seen: set[str] = set()
        while waiting and len(seen) < _MAX_NODES:
            name = _linked_name(waiting.popleft())
            found = None if name is None or name in seen else self.nodes.get(name)
            if name is None or found is None:
                continue
            seen.add(name)
            yield found
            waiting.extend(
                link for key, link in found.inputs.items() if key not in without
            )


def _linked_name(entry: object) -> str | None:
    """Return the name of the linked node. A link is a name and an output number."""
    match entry:
        case [str() | int() as name, int()]:
            return str(name)
        case _:
            return None
