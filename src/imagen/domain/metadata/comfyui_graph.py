"""What a ComfyUI graph says of the image that it made, followed along its links.

Its nodes may be anyone's, so nothing is known but what inputs are usually called. The
search begins at a sampler that no other one feeds, and takes the nearest value of each
kind above it.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from imagen.domain.metadata.embedded import FieldNames, Recipe, build_recipe
from imagen.domain.metadata.foreign_json import as_object

_TEXTS = ("text", "prompt", "text_g", "t5xxl", "text_l", "clip_l", "positive_prompt")
_MODELS = ("ckpt_name", "unet_name", "model_name", "gguf_name")
_PASSED_ON = ("value", "text", "string", "prompt", "int", "float", "seed", "number")
"""What the nodes call it that only hold a value."""
_NOT_WORDS = frozenset({"clip", "model", "vae", "image", "pixels", "control_net"})
_SIDES = ("width", "height")
_KEYS = FieldNames(negative=("negative",), sampler=("sampler_name",))
_MOST_SAMPLERS, _MOST_PASSES, _FARTHEST = 16, 8, 5_000


def read_graph(written: Mapping[str, object]) -> Recipe | None:
    """Return what an API graph says; None when it is none."""
    nodes = {
        name: _Node(kind=kind, inputs=as_object(node.get("inputs")))
        for name, node in ((name, as_object(node)) for name, node in written.items())
        if isinstance(kind := node.get("class_type"), str)
    }
    if not nodes:
        return None
    graph = _Graph(nodes=nodes)
    sampler = graph.leading_sampler()
    said = graph.sampled(sampler) if sampler else graph.only_text()
    return build_recipe("ComfyUI", said, _KEYS)


class _Node(msgspec.Struct, frozen=True):
    """One step of the work, and where each of its inputs comes from."""

    kind: str
    inputs: Mapping[str, object]

    @property
    def samples(self) -> bool:
        return "latent_image" in self.inputs and bool(
            self.inputs.keys() & {"positive", "guider"}
        )


class _Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes by their names."""

    nodes: Mapping[str, _Node]

    def leading_sampler(self) -> _Node | None:
        """Return a sampler that no other one feeds; of several the first."""
        samplers = [node for node in self.nodes.values() if node.samples]
        for sampler in samplers[:_MOST_SAMPLERS]:
            fed_by = self.above(sampler, ("latent_image",))
            if not any(node.samples for node in fed_by):
                return sampler
        return samplers[0] if samplers else None

    def only_text(self) -> dict[str, object]:
        """Return the prompt of a graph without samplers, if it has but one text."""
        texts = {
            text
            for node in self.nodes.values()
            for key in _TEXTS
            if isinstance(text := node.inputs.get(key), str) and text
        }
        return {"prompt": texts.pop()} if len(texts) == 1 else {}

    def sampled(self, sampler: _Node) -> dict[str, object]:
        """Return what belongs to the sampler."""
        guider = self.linked(sampler.inputs.get("guider")) or sampler
        words = "positive" if "positive" in guider.inputs else "conditioning"
        guidance = self.nearest(guider, ("guidance",), (words,))
        cfg = self.nearest(sampler, ("cfg",), ("guider",))
        schedule = ("sigmas",)
        models = list(self.above(guider, ("model",)))
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
        """Return the nearest text on the way to the words, or to the other ones."""
        without = _NOT_WORDS | {other}
        for found in self.above(node, (words,), without=without):
            if "ZeroOut" in found.kind:  # what comes from above counts for nothing
                return None
            for key in _TEXTS:
                if isinstance(text := self.value(found.inputs.get(key)), str):
                    return text
        return None

    def size(self, sampler: _Node) -> dict[str, object]:
        """Return the sides of the empty picture that the sampler began with."""
        for node in self.above(sampler, ("latent_image",)):
            sides = {side: self.value(node.inputs.get(side)) for side in _SIDES}
            if all(type(side) is int for side in sides.values()):
                return sides
        return {}

    def nearest(
        self, node: _Node, keys: Sequence[str], through: Sequence[str]
    ) -> object:
        """Return the value of the node, else the nearest above it."""
        return self.first((node, *self.above(node, through)), keys)

    def first(self, nodes: Iterable[_Node], keys: Sequence[str]) -> object:
        """Return the first value under one of the keys."""
        values = (
            self.value(node.inputs[key])
            for node in nodes
            for key in keys
            if key in node.inputs
        )
        return next((value for value in values if value is not None), None)

    def value(self, written: object) -> object:
        """Return a value, be it written there or in a node that only holds it."""
        for _ in range(_MOST_PASSES):
            node = self.linked(written)
            if node is None:
                break
            held = (node.inputs[key] for key in _PASSED_ON if key in node.inputs)
            written = next(held, None)
        return written if isinstance(written, str | int | float) else None

    def linked(self, written: object) -> _Node | None:
        """Return the node that a link leads to."""
        name = _linked_name(written)
        return None if name is None else self.nodes.get(name)

    def above(
        self, node: _Node, through: Sequence[str], *, without: Collection[str] = ()
    ) -> Iterator[_Node]:
        """Yield what feeds the inputs called so, and what feeds that; nearest first."""
        waiting = deque(node.inputs.get(name) for name in through)
        seen: set[str] = set()
        while waiting and len(seen) < _FARTHEST:
            name = _linked_name(waiting.popleft())
            found = None if name is None or name in seen else self.nodes.get(name)
            if name is None or found is None:
                continue
            seen.add(name)
            yield found
            waiting.extend(
                link for key, link in found.inputs.items() if key not in without
            )


def _linked_name(written: object) -> str | None:
    """Return the name of the node that is linked to: a name and an output's number."""
    match written:
        case [str() | int() as name, int()]:
            return str(name)
        case _:
            return None
