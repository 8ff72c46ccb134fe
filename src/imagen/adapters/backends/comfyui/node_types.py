"""The types of nodes that a server has, from `/object_info`."""

from collections.abc import Iterable, Mapping

import msgspec

from imagen.adapters.remote.vendor import Exchange, HttpRequest, quote_segment

InputSpec = object
"""The description of an input: its type or its choices, and its options."""

_WIDGETS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})


class _Inputs(msgspec.Struct, frozen=True):
    required: Mapping[str, object] = {}
    optional: Mapping[str, object] = {}


class _Order(msgspec.Struct, frozen=True):
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


class DynamicChoice(msgspec.Struct, frozen=True):
    """A choice of an input that has further inputs for each choice."""

    key: object
    inputs: _Inputs = _Inputs()


class NodeType(msgspec.Struct, frozen=True):
    """A class of nodes.

    Attributes:
        input: The description of each input.
        input_order: The order of the inputs in the editor.
    """

    input: _Inputs = _Inputs()
    input_order: _Order | None = None

    def inputs(self) -> dict[str, InputSpec]:
        """Return the inputs by name, in the order of the editor."""
        found: dict[str, InputSpec] = {}
        order = self.input_order or _Order()
        for group, names in (
            (self.input.required, order.required),
            (self.input.optional, order.optional),
        ):
            known = (name for name in names if name in group)
            found.update({name: group[name] for name in (*known, *group)})
        return found


def fetch_node_types(classes: Iterable[str]) -> Exchange[dict[str, NodeType]]:
    """Yield a request for each class, and return those that the server has."""
    # One class at a time: all of them are 507 kB (0.3.64). The server answers `{}` with
    # status 200 for an unknown class.
    found: dict[str, NodeType] = {}
    for each in dict.fromkeys(classes):
        response = yield HttpRequest(path=f"object_info/{quote_segment(each)}")
        types = response.json(dict[str, NodeType])
        found.update({each: types[each]} if each in types else {})
    return found


def read_spec(spec: InputSpec) -> tuple[object, Mapping[str, object]]:
    """Return the type of an input, or its list of choices, and its options."""
    try:
        parts = msgspec.convert(spec, list[object])
        options = msgspec.convert(parts[1], dict[str, object]) if parts[1:] else {}
    except msgspec.ValidationError:
        return None, {}
    return (parts[0] if parts else None), options


def convert_choices(options: Mapping[str, object]) -> tuple[DynamicChoice, ...]:
    """Return the choices of an input that has further inputs for each choice."""
    try:
        return msgspec.convert(options.get("options", ()), tuple[DynamicChoice, ...])
    except msgspec.ValidationError:
        return ()


def is_widget(spec: InputSpec) -> bool:
    """Return True for an input whose value is edited in the node itself."""
    kind, options = read_spec(spec)
    if options.get("forceInput"):
        return False
    return isinstance(kind, list) or kind in _WIDGETS
