"""Finds where a workflow takes its prompt, seed, steps and size, by its links alone.

The search begins at the node that saves the images and goes up. Neither the order nor
the titles of the nodes play a part: which text is the negative one, only the sampler's
or guider's link tells.

What belongs to several samplers:

- *Leading* samplers are those that no other sampler feeds. Where there are several,
  they must agree on the prompt, the size, the seed and the steps, or it is unclear.
- *Following* samplers (a refiner, a second pass for detail) share a value when theirs
  is the same in the file, and keep their own otherwise. A different prompt is unclear,
  because the picture would silently be finished after an old one.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from imagen.adapters.backends.comfyui.graph import (
    EXPORT,
    Link,
    NodeInput,
    WorkflowGraph,
    display_name,
)
from imagen.domain.errors import Misconfigured
from imagen.domain.suggestion import suggest_name

Kind: TypeAlias = Literal["text", "whole", "number", "word"]
Role: TypeAlias = Literal["positive", "negative"]
BindingOverrides: TypeAlias = Mapping[str, str | Sequence[str]]

MOST_CANDIDATES = 8

POSITIVE_TEXTS = (
    *("text", "prompt", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama"),
    *("bert", "mt5xl", "user_prompt", "positive_prompt", "positive"),
)
"""What text encoders call their text: CLIPTextEncode, its SDXL, SD3, Flux, HiDream,
HunyuanDiT and Lumina2 forms, TextEncodeQwenImage*, and the loaders of node packs."""

SIZE = "width and height"
NEGATIVE_TEXTS = ("negative_prompt", "negative")
SEEDS = ("seed", "noise_seed")
SIDES = (("width", "height"), ("empty_latent_width", "empty_latent_height"))
MODEL_FILES = ("ckpt_name", "unet_name", "model_name", "gguf_name")

_PASSED_ON: Mapping[Kind, tuple[str, ...]] = {
    "text": ("value", "string", "text", "prompt"),
    "whole": ("value", "int", "number", "Number"),
    "number": ("value", "float", "number", "Number"),
    "word": ("value", "string"),
}
"""What the nodes call it that only hold or pass on a value (PrimitiveInt and such)."""

_PARTS = frozenset(
    f"{word}{gap}{mark}"
    for word in ("text", "string", "prompt")
    for gap in ("", "_")
    for mark in "abcdefgh12345678"
)
"""What the nodes call it that join several texts (StringConcatenate and such)."""

_NO_CONDITIONING = (
    *("clip", "model", "vae", "image", "pixels", "latent", "samples", "mask"),
    "control_net",
)
_NO_LATENT = (
    *("clip", "model", "vae", "positive", "negative", "conditioning", "control_net"),
    *("guider", "noise", "sigmas", "sampler", "mask"),
)
"""What the inputs are called, in part, that no latent or image comes through."""


class Bindings(msgspec.Struct, frozen=True, kw_only=True):
    """The places of a workflow that a job fills; empty where there is none.

    Attributes:
        output: The nodes whose images are the result.
        prompt: Where the prompt goes, several for encoders with several texts.
        negative: Likewise; none where it would change nothing.
        seed: Where the seed goes.
        steps: Where the number of steps goes.
        handover: Steps at which one sampler hands over to the next; they move along.
        width: Where the width goes, FLUX has it twice.
        height: Likewise, in the same order.
        batch: Where the number of images goes.
        cfg: How closely to follow the prompt, for the sampler.
        guidance: The same for models that were distilled, such as FLUX dev.
        sampler: The name of the sampling method.
        scheduler: The name of the schedule.
        denoise: How much of the image to make anew.
        image: File names of images that it takes, on the server.
        model: The file of the main model.
    """

    output: tuple[str, ...] = ()
    prompt: tuple[NodeInput, ...] = ()
    negative: tuple[NodeInput, ...] = ()
    seed: tuple[NodeInput, ...] = ()
    steps: tuple[NodeInput, ...] = ()
    handover: tuple[NodeInput, ...] = ()
    width: tuple[NodeInput, ...] = ()
    height: tuple[NodeInput, ...] = ()
    batch: tuple[NodeInput, ...] = ()
    cfg: tuple[NodeInput, ...] = ()
    guidance: tuple[NodeInput, ...] = ()
    sampler: tuple[NodeInput, ...] = ()
    scheduler: tuple[NodeInput, ...] = ()
    denoise: tuple[NodeInput, ...] = ()
    image: tuple[NodeInput, ...] = ()
    model: tuple[NodeInput, ...] = ()


BINDING_NAMES = Bindings.__struct_fields__
KINDS: Mapping[str, Kind] = {
    "prompt": "text",
    "negative": "text",
    "seed": "whole",
    "steps": "whole",
    "handover": "whole",
    "width": "whole",
    "height": "whole",
    "batch": "whole",
    "cfg": "number",
    "guidance": "number",
    "sampler": "word",
    "scheduler": "word",
    "denoise": "number",
    "image": "word",
    "model": "word",
}


class _Candidate(msgspec.Struct, frozen=True):
    """Places that belong together, and what they say in the file."""

    places: tuple[NodeInput, ...]
    says: object


class _Pass(msgspec.Struct, frozen=True, kw_only=True):
    """One sampler with the nodes that its settings are on.

    Attributes:
        sampler: The node itself.
        leads: Whether no other sampler feeds it.
        guider: Has the model, the conditioning and cfg; the sampler itself in most.
        noise: Has the seed; likewise.
        schedule: Has the steps; likewise; None when it has none.
        method: Has the name of the sampling method; likewise.
    """

    sampler: str
    leads: bool
    guider: str
    noise: str
    schedule: str | None
    method: str


def find_bindings(graph: WorkflowGraph, bindings: BindingOverrides) -> Bindings:
    """Find the places that a job fills.

    Args:
        graph: The workflow.
        bindings: Places that the user names, as `node.input`; they are not searched
            for. An empty list says that there is none.

    Raises:
        Misconfigured: a binding names nothing; it is unclear where something goes; or
            there is no prompt, or no node that saves an image.
    """
    bound = _bound(graph, bindings)
    unclear: dict[str, Sequence[str]] = {}
    outputs = _outputs(graph, bindings.get("output"), unclear)
    passes = _passes(graph, outputs)
    found = (
        _of_passes(graph, passes, bound, unclear)
        if passes
        else _of_nodes(graph, outputs, bound, unclear)
    )
    if "image" not in bound:
        found["image"] = _pictures(graph, outputs)
    if unclear:
        raise _unclear(graph, unclear)
    slots = {name: places for name, places in {**found, **bound}.items() if places}
    if "prompt" not in slots and "prompt" not in bound:
        raise _no_prompt(graph)
    return msgspec.convert({"output": outputs, **slots}, Bindings)


def resolve_input(graph: WorkflowGraph, written: str) -> NodeInput | None:
    """Return the place that is written as `node.input`; None when there is none.

    Both names may contain dots themselves.
    """
    dots = (at for at, letter in enumerate(written) if letter == ".")
    for dot in dots:
        node, name = written[:dot], written[dot + 1 :]
        if node in graph.nodes and name in graph.nodes[node].inputs:
            return NodeInput(node, name)
    return None


def trace_literal(
    graph: WorkflowGraph, place: NodeInput, kind: Kind
) -> NodeInput | None:
    """Return where the value is written down that reaches an input.

    None when there is no such place, or more than one.
    """
    found = _literals(graph, place, kind)
    return found[0] if len(found) == 1 else None


# What the user names


def _bound(
    graph: WorkflowGraph, bindings: BindingOverrides
) -> dict[str, tuple[NodeInput, ...]]:
    """Return the places that the bindings name, each where its value is written."""
    bound: dict[str, tuple[NodeInput, ...]] = {}
    for name, written in bindings.items():
        if name not in BINDING_NAMES:
            near = suggest_name(name, BINDING_NAMES)
            raise Misconfigured(
                f"{graph.source}: there is no binding {name!r}.",
                hint=f"Did you mean {near}?"
                if near
                else "There are " + ", ".join(BINDING_NAMES) + ".",
            )
        if name != "output":
            words = [written] if isinstance(written, str) else written
            bound[name] = tuple(_bind(graph, name, word) for word in words)
    if len(bound.get("width", ())) != len(bound.get("height", ())):
        raise Misconfigured(
            f"{graph.source}: bindings for width and height come in pairs."
        )
    return bound


def _bind(graph: WorkflowGraph, name: str, written: str) -> NodeInput:
    place = resolve_input(graph, written)
    if place is not None:
        return trace_literal(graph, place, KINDS[name]) or place
    node = written.rpartition(".")[0]
    if node in graph.nodes:
        hint = f"Node {display_name(node)} ({graph.named(node)}) has " + _listed(
            list(graph.nodes[node].inputs)
        )
    else:
        hint = "It has the nodes " + _listed(
            [f"{display_name(node)} ({graph.named(node)})" for node in graph.nodes]
        )
    raise Misconfigured(
        f"{graph.source}: the binding of {name} names {written!r}, which is no input"
        " of a node.",
        hint=hint + ".",
    )


# Where the images come out


def _outputs(
    graph: WorkflowGraph,
    bound: str | Sequence[str] | None,
    unclear: dict[str, Sequence[str]],
) -> tuple[str, ...]:
    if bound is not None:
        words = [bound] if isinstance(bound, str) else bound
        return tuple(_bound_output(graph, word) for word in words)
    candidates = _output_candidates(graph)
    if not candidates:
        raise Misconfigured(
            f"{graph.source} has no node that saves or shows an image.",
            hint="Put a SaveImage at its end and export it again.",
        )
    samplers = [node for node in graph.nodes if _is_sampler(graph, node)]
    fed = graph.below(samplers)
    last = _last(graph, [node for node in candidates if node in fed] or candidates)
    if len(last) > 1:
        unclear["output"] = [
            f"{display_name(node)} ({graph.named(node)})" for node in last
        ]
    return last


def _bound_output(graph: WorkflowGraph, written: str) -> str:
    place = resolve_input(graph, written)
    node = place.node if place is not None else written
    if node not in graph.nodes:
        raise Misconfigured(
            f"{graph.source}: the binding of output names node {written!r}, which is"
            " not there."
        )
    return node


def _output_candidates(graph: WorkflowGraph) -> list[str]:
    """Return what saves images, else what shows them, else what ends in one."""
    taking = [node for node in graph.nodes if _image_source(graph, node)]
    for verb in ("save", "preview"):
        found = [node for node in taking if _is_named(graph, node, verb)]
        if found:
            return found
    used = {link.node for node in graph.nodes for _, link in graph.links(node)}
    return [node for node in taking if node not in used]


def _is_named(graph: WorkflowGraph, node: str, verb: str) -> bool:
    """Whether it is a SaveImage, or what a node pack calls "Image Save"."""
    name = graph.nodes[node].class_type.lower()
    return verb in name and "image" in name


def _image_source(graph: WorkflowGraph, node: str) -> str | None:
    for name in ("images", "image"):
        link = graph.link(NodeInput(node, name))
        if link is not None:
            return link.node
    return None


def _last(graph: WorkflowGraph, outputs: Sequence[str]) -> tuple[str, ...]:
    """Drop the outputs whose images another one gets to work on further."""
    sources = {node: _image_source(graph, node) or node for node in outputs}
    earlier = graph.above(
        {link.node for node in sources.values() for _, link in graph.links(node)}
    )
    ends = {
        source: node
        for node, source in reversed(sources.items())
        if source not in earlier
    }
    return tuple(node for node in outputs if ends.get(sources[node]) == node)


# The samplers, and the nodes around each


def _is_sampler(graph: WorkflowGraph, node: str) -> bool:
    """Whether a node samples: known by its inputs, so node packs are included."""
    inputs = graph.nodes[node].inputs
    linked = {name for name, _ in graph.links(node)}
    if {"guider", "noise"} <= linked:  # SamplerCustomAdvanced
        return True
    return "positive" in linked and any(seed in inputs for seed in SEEDS)


def _passes(graph: WorkflowGraph, outputs: Sequence[str]) -> list[_Pass]:
    """Return the samplers that lead to the outputs, each after those that feed it."""
    reached = graph.above(outputs)
    samplers = [n for n in graph.order if n in reached and _is_sampler(graph, n)]
    drawn = graph.below(samplers)

    def leads(node: str) -> bool:
        return not any(link.node in drawn for _, link in graph.links(node))

    return [_pass(graph, node, leads=leads(node)) for node in samplers]


def _pass(graph: WorkflowGraph, node: str, *, leads: bool) -> _Pass:
    def around(name: str) -> str | None:
        link = graph.link(NodeInput(node, name))
        return None if link is None else _effective(graph, link).node

    return _Pass(
        sampler=node,
        leads=leads,
        guider=around("guider") or node,
        noise=around("noise") or node,
        schedule=_schedule(graph, node),
        method=around("sampler") or node,
    )


def _schedule(graph: WorkflowGraph, sampler: str) -> str | None:
    """Return the node with the steps, past those that only split or flip the sigmas."""
    node = sampler
    while (link := graph.link(NodeInput(node, "sigmas"))) is not None:
        node = _effective(graph, link).node
    return node if "steps" in graph.nodes[node].inputs else None


def _effective(graph: WorkflowGraph, link: Link) -> Link:
    """Follow a link past switches and reroutes."""
    while (onward := _through(graph, link)) is not None:
        link = onward
    return link


def _through(graph: WorkflowGraph, link: Link) -> Link | None:
    """Return where a switch or a reroute has it from; None for any other node."""
    node = graph.nodes[link.node]
    branch = _branch(graph, link.node)
    if branch is not None:
        return graph.link(branch)
    links = list(graph.links(link.node))
    if "reroute" in node.class_type.lower() and len(links) == 1:
        return links[0][1]
    return None


# What the samplers' links lead to


def _of_passes(
    graph: WorkflowGraph,
    passes: Sequence[_Pass],
    bound: Mapping[str, object],
    unclear: dict[str, Sequence[str]],
) -> dict[str, tuple[NodeInput, ...]]:
    found: dict[str, tuple[NodeInput, ...]] = {}

    def settle(name: str, of: Callable[[_Pass], list[_Candidate]]) -> None:
        if name in bound:
            return
        leading = [each for one in passes if one.leads for each in of(one)]
        following = [each for one in passes if not one.leads for each in of(one)]
        if name in {"prompt", "negative"}:
            leading, following = _spoken([*leading, *following]), []
        places, candidates = _agreed(leading, following)
        found[name] = places
        if candidates and name in {"prompt", "negative", "seed", "steps"}:
            unclear[name] = [graph.described(place) for place in candidates]

    settle("prompt", lambda one: _texts(graph, one, "positive"))
    settle("negative", lambda one: _negatives(graph, one))
    settle("seed", lambda one: _seeds(graph, one))
    settle("steps", lambda one: _written(graph, one.schedule, "steps", "whole"))
    settle("cfg", lambda one: _written(graph, one.guider, "cfg", "number"))
    settle("guidance", lambda one: _guidance(graph, one))
    settle("sampler", lambda one: _written(graph, one.method, "sampler_name", "word"))
    settle("scheduler", lambda one: _written(graph, one.schedule, "scheduler", "word"))
    settle("denoise", lambda one: _denoise(graph, one))
    settle("model", lambda one: _models(graph, one))
    if "steps" not in bound:
        found["handover"] = _handovers(graph, passes, found["steps"])
    if not {"width", "height"} & bound.keys():
        _settle_size(graph, passes, found, unclear)
    if "batch" not in bound:
        found["batch"] = _batches(graph, passes)
    return found


def _agreed(
    leading: Sequence[_Candidate], following: Sequence[_Candidate] = ()
) -> tuple[tuple[NodeInput, ...], tuple[NodeInput, ...]]:
    """Return the places that all say the same, or else those that do not."""
    if not leading:
        return (), ()
    says = leading[0].says
    if any(one.says != says for one in leading):
        return (), _once(place for one in leading for place in one.places)
    shared = [*leading, *(one for one in following if one.says == says)]
    return _once(place for one in shared for place in one.places), ()


def _once(places: Iterable[NodeInput]) -> tuple[NodeInput, ...]:
    return tuple(dict.fromkeys(places))


def _spoken(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Leave out the empty texts, unless all are empty."""
    return [one for one in candidates if one.says] or list(candidates)


def _texts(graph: WorkflowGraph, one: _Pass, role: Role) -> list[_Candidate]:
    """Return the texts that reach a sampler, a candidate for each encoder."""
    candidates: list[_Candidate] = []
    for node in _encoders(graph, one, role):
        plain: list[NodeInput] = []
        for name in _text_inputs(graph, node, role):
            places = _literals(graph, NodeInput(node, name), "text")
            if len(places) == 1:
                plain.extend(places)
            else:  # joined from several: each could be the one
                candidates.extend(
                    _Candidate((each,), graph.value(each) or ()) for each in places
                )
        if plain:
            said = {text for place in plain if (text := graph.value(place))}
            alone = said.pop() if len(said) == 1 else tuple(sorted(map(str, said)))
            candidates.append(_Candidate(_once(plain), alone))
    return candidates


def _negatives(graph: WorkflowGraph, one: _Pass) -> list[_Candidate]:
    """Return the texts to keep out, or nothing where they would change nothing.

    At cfg 1 ComfyUI does not look at the negative (comfy/samplers.py,
    `disable_cfg1_optimization`); a negative from the prompt's own encoder, zeroed out
    or not, has no words of its own.
    """
    cfg = trace_literal(graph, NodeInput(one.guider, "cfg"), "number")
    value = graph.value(cfg) if cfg else None
    if isinstance(value, int | float) and math.isclose(value, 1):
        return []
    positive = {
        place for each in _texts(graph, one, "positive") for place in each.places
    }
    candidates = _texts(graph, one, "negative")
    return [each for each in candidates if positive.isdisjoint(each.places)]


def _encoders(graph: WorkflowGraph, one: _Pass, role: Role) -> list[str]:
    """Return the text encoders that a sampler's positive or negative comes from."""
    names = ("positive", "conditioning", "cond1", "cond2")
    found: dict[str, None] = {}
    for name in names if role == "positive" else ("negative",):
        link = graph.link(NodeInput(one.guider, name))
        if link is not None:
            for node in _conditioning(graph, link, role):
                if any(True for _ in _text_inputs(graph, node, role)):
                    found[node] = None
    return list(found)


def _conditioning(graph: WorkflowGraph, start: Link, role: Role) -> Iterator[str]:
    """Give every node that a conditioning goes through, except what is zeroed out."""
    seen, waiting = {start}, [start]
    while waiting:
        link = waiting.pop()
        if graph.nodes[link.node].class_type == "ConditioningZeroOut":
            continue
        yield link.node
        for onward in reversed(list(_conditioned_by(graph, link, role))):
            if onward not in seen:
                seen.add(onward)
                waiting.append(onward)


def _conditioned_by(graph: WorkflowGraph, link: Link, role: Role) -> Iterator[Link]:
    through = _through(graph, link)
    if through is not None:
        yield through
        return
    links = dict(graph.links(link.node))
    if {"positive", "negative"} <= links.keys():  # ControlNetApplyAdvanced and such
        if link.output <= 1:
            yield links["negative" if link.output else "positive"]
        return
    named = [links[name] for name in links if "cond" in name or name == "positive"]
    if named:
        yield from named
    elif not any(True for _ in _text_inputs(graph, link.node, role)):
        for name, onward in links.items():
            if not _says(name, _NO_CONDITIONING):
                yield onward


def _text_inputs(graph: WorkflowGraph, node: str, role: Role) -> Iterator[str]:
    """Give the inputs of an encoder that hold its text.

    Some encode both at once (TextEncodeQwenImage21); then the role tells which.
    """
    inputs = graph.nodes[node].inputs

    def texts(names: Iterable[str]) -> list[str]:
        links = {"positive", "negative"}  # as links, they are conditioning
        return [
            name
            for name in names
            if isinstance(inputs.get(name), str)
            or (name not in links and graph.link(NodeInput(node, name)) is not None)
        ]

    if role == "negative":
        own = texts(NEGATIVE_TEXTS)
        if own:
            yield from own
            return
    yield from texts(POSITIVE_TEXTS)


def _guidance(graph: WorkflowGraph, one: _Pass) -> list[_Candidate]:
    link = graph.link(NodeInput(one.guider, "positive")) or graph.link(
        NodeInput(one.guider, "conditioning")
    )
    if link is None:
        return []
    nodes = _conditioning(graph, link, "positive")
    return [each for n in nodes for each in _written(graph, n, "guidance", "number")]


def _seeds(graph: WorkflowGraph, one: _Pass) -> list[_Candidate]:
    """Return the seed of a sampler that adds noise."""
    if graph.value(NodeInput(one.sampler, "add_noise")) in ("disable", False):
        return []
    for name in SEEDS:
        found = _written(graph, one.noise, name, "whole")
        if found:
            return found
    return []


def _denoise(graph: WorkflowGraph, one: _Pass) -> list[_Candidate]:
    if not one.leads:  # how much a second pass makes anew is its own affair
        return []
    return _written(graph, one.schedule, "denoise", "number")


def _written(
    graph: WorkflowGraph, node: str | None, name: str, kind: Kind
) -> list[_Candidate]:
    if node is None:
        return []
    place = trace_literal(graph, NodeInput(node, name), kind)
    return [] if place is None else [_Candidate((place,), graph.value(place))]


def _handovers(
    graph: WorkflowGraph, passes: Sequence[_Pass], steps: Sequence[NodeInput]
) -> tuple[NodeInput, ...]:
    """Return the steps within the run at which samplers start and end."""
    found: list[NodeInput] = []
    for one in passes:
        place = trace_literal(graph, NodeInput(one.sampler, "steps"), "whole")
        if place is None or place not in steps:
            continue
        most = graph.value(place)
        for name in ("start_at_step", "end_at_step"):
            at = trace_literal(graph, NodeInput(one.sampler, name), "whole")
            value = graph.value(at) if at else None
            if at and isinstance(value, int) and isinstance(most, int | float):
                found.extend([at] if 0 < value < most else [])
    return _once(found)


def _models(graph: WorkflowGraph, one: _Pass) -> list[_Candidate]:
    candidates: list[_Candidate] = []
    for node in _model_chain(graph, one):
        for name in MODEL_FILES:
            candidates.extend(_written(graph, node, name, "word"))
    return candidates


def _model_chain(graph: WorkflowGraph, one: _Pass) -> Iterator[str]:
    """Give the nodes that the model comes through, down to what loads it."""
    starts = [graph.link(NodeInput(one.guider, "model"))]
    if one.schedule is not None:
        starts.append(graph.link(NodeInput(one.schedule, "model")))
    waiting = [link for link in starts if link is not None]
    seen = set(waiting)
    while waiting:
        link = waiting.pop(0)
        yield link.node
        through = _through(graph, link)
        links = list(graph.links(link.node))
        onwards = [to for name, to in links if name.startswith("model")]
        for onward in onwards if through is None else [through]:
            if onward not in seen:
                seen.add(onward)
                waiting.append(onward)


# The size


def _settle_size(
    graph: WorkflowGraph,
    passes: Sequence[_Pass],
    found: dict[str, tuple[NodeInput, ...]],
    unclear: dict[str, Sequence[str]],
) -> None:
    """Find width and height on the leading samplers' latent, and wherever else."""
    canvases = [
        pair
        for one in passes
        if one.leads
        for node in _canvases(graph, one.sampler)
        for pair in _pairs(graph, node)
    ]
    places, candidates = _agreed(canvases)
    if candidates:
        unclear[SIZE] = [graph.described(place) for place in candidates]
    if not places:
        return
    copies = _size_copies(graph, passes, canvases[0].says)
    pairs = _paired([*canvases, *copies])
    found["width"] = tuple(pair.places[0] for pair in pairs)
    found["height"] = tuple(pair.places[1] for pair in pairs)


def _paired(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    return list({one.places: one for one in candidates}.values())


def _canvases(graph: WorkflowGraph, sampler: str) -> Iterator[str]:
    """Give the nodes above a sampler that say how large its latent is."""
    names = ("latent_image", "latent", "samples", "optional_latent", "image", "images")
    starts = (graph.link(NodeInput(sampler, name)) for name in names)
    waiting = [link for link in starts if link is not None][:1]
    seen = set(waiting)
    while waiting:
        link = waiting.pop()
        if any(name in graph.nodes[link.node].inputs for name, _ in SIDES):
            yield link.node
            continue
        through = _through(graph, link)
        links = list(graph.links(link.node))
        onwards = [to for name, to in links if not _says(name, _NO_LATENT)]
        for onward in reversed(onwards if through is None else [through]):
            if onward not in seen:
                seen.add(onward)
                waiting.append(onward)


def _pairs(graph: WorkflowGraph, node: str) -> Iterator[_Candidate]:
    """Give width and height of a node, each where it is written.

    A single value that feeds both could only make squares, so then the node's own
    inputs are taken, in place of their links.
    """
    for sides in SIDES:
        wide, high = (
            trace_literal(graph, NodeInput(node, side), "whole") for side in sides
        )
        if wide is None or high is None:
            continue
        says = (graph.value(wide), graph.value(high))
        if wide == high:
            wide, high = (NodeInput(node, side) for side in sides)
        yield _Candidate((wide, high), says)


def _size_copies(
    graph: WorkflowGraph, passes: Sequence[_Pass], says: object
) -> Iterator[_Candidate]:
    """Give the places that have the size a second time.

    The shift of FLUX (ModelSamplingFlux) and its schedule (Flux2Scheduler) always; the
    conditioning of SDXL (CLIPTextEncodeSDXL) when it is the same in the file.
    """
    for one in passes:
        if one.leads:
            for node in _model_chain(graph, one):
                yield from _pairs(graph, node)
            if one.schedule is not None and one.schedule != one.sampler:
                yield from _pairs(graph, one.schedule)
        for role in ("positive", "negative"):
            for node in _encoders(graph, one, role):
                for sides in (("width", "height"), ("target_width", "target_height")):
                    yield from _same_pair(graph, node, sides, says)


def _same_pair(
    graph: WorkflowGraph, node: str, sides: tuple[str, str], says: object
) -> Iterator[_Candidate]:
    wide, high = (
        trace_literal(graph, NodeInput(node, side), "whole") for side in sides
    )
    if (
        wide
        and high
        and wide != high
        and (graph.value(wide), graph.value(high)) == says
    ):
        yield _Candidate((wide, high), says)


def _batches(graph: WorkflowGraph, passes: Sequence[_Pass]) -> tuple[NodeInput, ...]:
    """Return where the number of images goes, unless several latents are joined."""
    found = _once(
        place
        for one in passes
        if one.leads
        for node in _canvases(graph, one.sampler)
        for each in _written(graph, node, "batch_size", "whole")
        for place in each.places
    )
    return found if len(found) == 1 else ()


# Workflows without a sampler: nodes that do everything in one


def _of_nodes(
    graph: WorkflowGraph,
    outputs: Sequence[str],
    bound: Mapping[str, object],
    unclear: dict[str, Sequence[str]],
) -> dict[str, tuple[NodeInput, ...]]:
    """Look at every node above the outputs, as there is no sampler to start from."""
    reached = graph.above(outputs)
    nodes = [node for node in graph.nodes if node in reached]
    found: dict[str, tuple[NodeInput, ...]] = {}

    def settle(name: str, inputs: Iterable[str], kind: Kind) -> None:
        if name in bound:
            return
        candidates = [
            each
            for node in nodes
            for one in inputs
            for each in _written(graph, node, one, kind)
        ]
        found[name], others = _agreed(
            _spoken(candidates) if kind == "text" else candidates
        )
        if others:
            unclear[name] = [graph.described(place) for place in others]

    settle("prompt", POSITIVE_TEXTS, "text")
    settle("negative", NEGATIVE_TEXTS, "text")
    settle("seed", SEEDS, "whole")
    settle("steps", ["steps"], "whole")
    settle("batch", ["batch_size"], "whole")
    if not {"width", "height"} & bound.keys():
        pairs = _paired(pair for node in nodes for pair in _pairs(graph, node))
        places, others = _agreed(pairs)
        if places:
            found["width"] = tuple(pair.places[0] for pair in pairs)
            found["height"] = tuple(pair.places[1] for pair in pairs)
        if others:
            unclear[SIZE] = [graph.described(place) for place in others]
    return found


def _pictures(graph: WorkflowGraph, outputs: Sequence[str]) -> tuple[NodeInput, ...]:
    reached = graph.above(outputs)
    return tuple(
        NodeInput(name, "image")
        for name, node in graph.nodes.items()
        if name in reached
        and node.class_type.startswith("LoadImage")
        and isinstance(node.inputs.get("image"), str)
    )


# Values


def _literals(
    graph: WorkflowGraph, start: NodeInput, kind: Kind
) -> tuple[NodeInput, ...]:
    """Return every place from which a value of that kind may reach an input."""
    found: list[NodeInput] = []
    seen, waiting = {start}, [start]
    while waiting:
        place = waiting.pop()
        link = graph.link(place)
        if link is None:
            found.extend([place] if _fits(graph.value(place), kind) else [])
            continue
        for onward in reversed(_sources(graph, link, place.input, kind)):
            if onward not in seen:
                seen.add(onward)
                waiting.append(onward)
    return tuple(found)


def _sources(
    graph: WorkflowGraph, link: Link, wanted: str, kind: Kind
) -> list[NodeInput]:
    """Return the inputs of a node that its output may simply be a copy of."""
    node = graph.nodes[link.node]
    inputs = [NodeInput(link.node, name) for name in node.inputs]
    branch = _branch(graph, link.node)
    if branch is not None:
        return [branch]
    if "reroute" in node.class_type.lower():
        return inputs if len(inputs) == 1 else []
    usable = {
        place.input: place
        for place in inputs
        if graph.link(place) is not None or _fits(graph.value(place), kind)
    }
    parts = [usable[name] for name in usable if name in _PARTS]
    if kind == "text" and len(parts) > 1:
        return parts
    for name in (wanted, *_PASSED_ON[kind]):
        if name in usable:
            return [usable[name]]
    if kind == "text":  # any other text may be a model's name: better none than that
        return []
    written = [place for place in usable.values() if graph.link(place) is None]
    return written if len(written) == 1 and len(usable) == 1 else []


def _branch(graph: WorkflowGraph, node: str) -> NodeInput | None:
    """Return the input that a switch (ComfySwitchNode) lets through."""
    if not {"switch", "on_false", "on_true"} <= graph.nodes[node].inputs.keys():
        return None
    switch = NodeInput(node, "switch")
    link = graph.link(switch)  # to a PrimitiveBoolean
    on = graph.value(switch if link is None else NodeInput(link.node, "value"))
    return NodeInput(node, "on_true" if on is True else "on_false")


def _fits(value: object, kind: Kind) -> bool:
    if kind in {"text", "word"}:
        return isinstance(value, str)
    if isinstance(value, bool):
        return False
    if isinstance(value, float) and kind == "whole":
        return value.is_integer()
    return isinstance(value, int | float)


def _says(name: str, parts: Iterable[str]) -> bool:
    return any(part in name for part in parts)


# What is said when it cannot be


def _unclear(
    graph: WorkflowGraph, unclear: Mapping[str, Sequence[str]]
) -> Misconfigured:
    sentences = [
        f"{name} could be {_listed(candidates, 'or')}"
        for name, candidates in unclear.items()
    ]
    return Misconfigured(
        f"{graph.source}: it is unclear where things go: " + "; ".join(sentences) + ".",
        hint=_how_to_bind(*next(iter(unclear.items()))),
    )


def _how_to_bind(name: str, candidates: Sequence[str]) -> str:
    first, second = (each.partition(" (")[0] for each in candidates[:2])
    if name == SIZE:
        one = f'width: "{first}", height: "{second}"'
        return f"Say it in the config, such as bindings: {{{one}}}."
    one, both = f'{name}: "{first}"', f'{name}: ["{first}", "{second}"]'
    return (
        f"Say it in the config, such as bindings: {{{one}}},"
        f" or several: bindings: {{{both}}}."
    )


def _no_prompt(graph: WorkflowGraph) -> Misconfigured:
    texts = [
        graph.described(place)
        for node in graph.nodes
        for place in (NodeInput(node, name) for name in graph.nodes[node].inputs)
        if place.input in {*POSITIVE_TEXTS, "value", "string"}
        and isinstance(graph.value(place), str)
    ]
    return Misconfigured(
        f"{graph.source} has no place for the prompt that can be found by its links.",
        hint="Name it in the config, such as bindings: {prompt: "
        + (f'"{texts[0].partition(" (")[0]}"}}; ' if texts else '"6.text"}; ')
        + (f"it has {_listed(texts)}." if texts else EXPORT),
    )


def _listed(names: Sequence[str], last: str = "and") -> str:
    if len(names) > MOST_CANDIDATES:
        more = len(names) - MOST_CANDIDATES
        return ", ".join(names[:MOST_CANDIDATES]) + f" and {more} more"
    head, tail = ", ".join(names[:-1]), "".join(names[-1:])
    return f"{head} {last} {tail}" if head else tail
