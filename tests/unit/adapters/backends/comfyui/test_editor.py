"""Workflows in the editor's format become what the editor itself would submit."""

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nightly import examples
from tests.unit.adapters.backends.comfyui.editors import Document, draw, types_of
from tests.unit.adapters.backends.comfyui.graphs import node, stock
from tests.unit.adapters.backends.comfyui.shapes import SHAPES

from imagen.adapters.backends.comfyui.bindings import find_bindings
from imagen.adapters.backends.comfyui.editor import convert_document, list_classes
from imagen.adapters.backends.comfyui.graph import build_graph
from imagen.adapters.backends.comfyui.node_types import NodeType
from imagen.domain.errors import Misconfigured

STOCK = stock()
TYPES = types_of(STOCK, {"1": node("Other", images=["8", 0], strength=1.0)})


def converted(document: Mapping[str, object]) -> dict[str, Any]:
    return convert_document(document, TYPES, source="mine.json")


def plain(nodes: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    return {name: (body["class_type"], body["inputs"]) for name, body in nodes.items()}


def drawn(**changes: dict[str, object]) -> Document:
    return draw(stock(**changes), TYPES)


def of(document: Document, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        node for node in document["nodes"] if str(node["id"]) == name
    )
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_each_public_shape_is_the_same_from_the_editor(name: str) -> None:
    case = SHAPES[name]
    types = types_of(case.nodes)

    api = convert_document(draw(case.nodes, types), types, source="mine.json")

    rerouted = "Reroute" in str(case.nodes)
    for node_id, body in () if rerouted else case.nodes.items():
        assert body["inputs"].items() <= api[node_id]["inputs"].items()  # type: ignore[attr-defined, index]
    if not case.refused:
        found = find_bindings(build_graph(api, source="mine.json"), {})
        bound = {key: " ".join(map(str, getattr(found, key))) for key in case.want}
        assert bound == dict(case.want)


def test_the_value_behind_a_seed_is_passed_over() -> None:
    sampler = of(drawn(), "3")
    assert sampler["widgets_values"][:3] == [1, "randomize", 20]

    assert converted(drawn())["3"]["inputs"] == STOCK["3"]["inputs"]


def test_a_seed_that_the_server_does_not_mark_is_understood() -> None:
    specs = {**TYPES["KSampler"].inputs(), "seed": ["INT", {}]}
    unmarked = msgspec.convert({"input": {"required": specs}}, NodeType)

    api = convert_document(drawn(), {**TYPES, "KSampler": unmarked}, source="mine.json")

    assert plain(api) == plain(STOCK)  # type: ignore[arg-type]


def test_a_disabled_node_is_left_out_with_its_links() -> None:
    document = drawn(n20=node("Other", images=["8", 0], strength=1.0))
    of(document, "20")["mode"] = 2

    assert "20" not in converted(document)
    of(document, "7")["mode"] = 2
    assert "negative" not in converted(document)["3"]["inputs"]


def test_a_bypassed_node_passes_on_the_input_of_its_type() -> None:
    document = drawn(
        n9=node("SaveImage", filename_prefix="x", images=["20", 0]),
        n20=node("Other", images=["8", 0], strength=1.0),
    )
    of(document, "20")["mode"] = 4

    api = converted(document)

    assert "20" not in api
    assert api["9"]["inputs"]["images"] == ["8", 0]


def test_a_bypass_without_an_input_of_that_type_has_no_link() -> None:
    document = drawn(
        n9=node("SaveImage", filename_prefix="x", images=["20", 0]),
        n20=node("Other", images=["8", 0], strength=1.0),
    )
    of(document, "20")["mode"] = 4
    of(document, "20")["inputs"][0]["type"] = "LATENT"

    assert "images" not in converted(document)["9"]["inputs"]


def insert(document: Document, name: str, before: str, **fields: object) -> None:
    """Put a node of the editor between an input named text or images and its source."""
    link = document["links"]
    target = of(document, before)
    slot = next(s for s in target["inputs"] if s["name"] in {"text", "images"})
    old = next(each for each in link if each[0] == slot["link"])
    number = 900 + len(link)
    link.append([number, name, 0, before, old[4], old[5]])
    old[3:5] = [name, 0]
    inputs = [{"name": "", "type": "*", "link": old[0]}]
    document["nodes"].append({"id": name, "inputs": inputs, **fields})
    slot["link"] = number


@pytest.mark.parametrize("kind", ["Reroute", "Reroute (rgthree)"])
def test_reroutes_are_replaced_by_their_source(kind: str) -> None:
    document = drawn()
    insert(document, "50", "9", type=kind)
    insert(document, "51", "9", type=kind)

    assert plain(converted(document)) == plain(STOCK)


def test_set_and_get_are_replaced_by_their_source() -> None:
    document = drawn()
    insert(document, "50", "9", type="GetNode", widgets_values=["image"])
    get = of(document, "50")
    setter = {
        **get,
        "id": "51",
        "type": "SetNode",
        "inputs": [{**get["inputs"][0], "type": "IMAGE"}],
    }
    document["nodes"].append(setter)
    get["inputs"] = []

    assert plain(converted(document)) == plain(STOCK)


def test_a_primitive_gives_its_value() -> None:
    document = drawn()
    document["nodes"].append(
        {"id": 60, "type": "PrimitiveNode", "widgets_values": ["a dog", "fixed"]}
    )
    document["links"].append([70, 60, 0, "6", 9, "STRING"])
    of(document, "6")["inputs"].append({"name": "text", "type": "STRING", "link": 70})

    assert converted(document)["6"]["inputs"]["text"] == "a dog"


def test_notes_are_left_out() -> None:
    document = drawn()
    document["nodes"].append(
        {"id": 60, "type": "MarkdownNote", "widgets_values": ["a"]}
    )

    assert plain(converted(document)) == plain(STOCK)
    assert "MarkdownNote" not in list_classes(document, source="mine.json")


def test_values_by_name_are_read() -> None:
    document = drawn()
    of(document, "5")["widgets_values"] = {"width": 640, "height": 384, "batch_size": 2}

    assert converted(document)["5"]["inputs"]["width"] == 640


def test_a_value_that_the_file_lacks_is_the_default() -> None:
    document = drawn()
    of(document, "3")["widgets_values"] = [7, "fixed", 9]

    inputs = converted(document)["3"]["inputs"]

    assert (inputs["seed"], inputs["steps"]) == (7, 9)
    assert inputs["sampler_name"] == "euler"


def test_inputs_of_a_choice_are_read_with_it() -> None:
    sides = {"required": {"width": ["INT", {}], "height": ["INT", {}]}}
    choices = [{"key": "sides", "inputs": sides}, {"key": "factor", "inputs": {}}]
    specs = {
        "input": ["COMFY_MATCHTYPE_V3", {}],
        "resize_type": ["COMFY_DYNAMICCOMBO_V3", {"options": choices}],
        "method": ["COMBO", {"options": ["area", "lanczos"]}],
    }
    kind = msgspec.convert({"input": {"required": specs}}, NodeType)
    resize = {"id": 1, "type": "Resize", "widgets_values": ["sides", 64, 48, "area"]}

    api: Any = convert_document(
        {"nodes": [resize]}, {"Resize": kind}, source="mine.json"
    )

    assert api["1"]["inputs"] == {
        "resize_type": "sides",
        "resize_type.width": 64,
        "resize_type.height": 48,
        "method": "area",
    }
    resize["widgets_values"] = ["gone", 64]
    with pytest.raises(Misconfigured, match="'gone' for resize_type"):
        convert_document({"nodes": [resize]}, {"Resize": kind}, source="mine.json")


class TestSubgraphs:
    def wrapped(self, *, text: object = None, proxies: object = None) -> Document:
        """The stock workflow with its positive text inside of a subgraph."""
        document = drawn()
        encoder = of(document, "6")
        document["nodes"].remove(encoder)
        encoder["inputs"].append({"name": "text", "type": "STRING", "link": 2})
        encoder["inputs"][0]["link"] = 1
        clip = next(each for each in document["links"] if each[3] == "6")
        clip[3:5] = ["57", 0]
        out = next(each for each in document["links"] if each[1] == "6")
        out[1] = "57"
        document["nodes"].append(
            {
                "id": "57",
                "type": "uuid-1",
                "inputs": [{"name": "clip", "type": "ANY", "link": clip[0]}],
                "widgets_values": [] if text is None else [text],
                "properties": {} if proxies is None else {"proxyWidgets": proxies},
            }
        )
        inner = {
            "id": "uuid-1",
            "nodes": [encoder],
            "links": [
                _link(1, -10, 0, "6", 0),
                _link(2, -10, 1, "6", 1),
                _link(3, "6", 0, -20, 0),
            ],
            "inputs": [
                {"name": "clip", "type": "ANY"},
                {"name": "text", "type": "STRING"},
            ],
        }
        document["definitions"] = {"subgraphs": [inner]}
        return document

    def test_its_nodes_have_the_ids_of_the_editor(self) -> None:
        api = converted(self.wrapped())

        assert api["57:6"]["inputs"] == {"text": "a cat", "clip": ["4", 1]}
        assert api["3"]["inputs"]["positive"] == ["57:6", 0]

    def test_a_value_of_the_outside_comes_before_that_inside(self) -> None:
        assert (
            converted(self.wrapped(text="a dog"))["57:6"]["inputs"]["text"] == "a dog"
        )

    @pytest.mark.parametrize("proxy", [["6", "text"], ["-1", "text"]])
    def test_a_promoted_value_is_read(self, proxy: list[str]) -> None:
        document = self.wrapped(text="a dog", proxies=[proxy])

        assert converted(document)["57:6"]["inputs"]["text"] == "a dog"

    def test_promoted_values_that_cannot_be_matched_stay(self) -> None:
        document = self.wrapped(text="a dog", proxies=[["6", "text"], ["6", "x"]])

        assert converted(document)["57:6"]["inputs"]["text"] == "a cat"

    def test_a_value_of_another_type_is_not_taken(self) -> None:
        assert converted(self.wrapped(text=7))["57:6"]["inputs"]["text"] == "a cat"

    def test_a_bypassed_one_is_passed(self) -> None:
        document = self.wrapped()
        of(document, "57")["mode"] = 4

        api = converted(document)

        assert "57:6" not in api
        assert api["3"]["inputs"]["positive"] == ["4", 1]

    def test_one_that_contains_itself_is_told(self) -> None:
        document = self.wrapped()
        document["definitions"]["subgraphs"][0]["nodes"].append(of(document, "57"))

        with pytest.raises(Misconfigured, match="nested too deeply"):
            converted(document)


def _link(number: int, *ends: object) -> dict[str, object]:
    names = ("origin_id", "origin_slot", "target_id", "target_slot")
    return {"id": number, **dict(zip(names, ends, strict=True)), "type": "ANY"}


class TestRefusals:
    def test_nodes_that_the_server_lacks_are_named(self) -> None:
        document = drawn()
        of(document, "8")["type"] = "MyDecoder"

        with pytest.raises(Misconfigured, match="does not have: MyDecoder") as caught:
            converted(document)

        assert "Install" in caught.value.hint

    def test_values_of_another_version_are_not_guessed(self) -> None:
        document = drawn()
        of(document, "3")["widgets_values"].insert(1, "new choice")

        with pytest.raises(
            Misconfigured, match=r"3 .KSampler. has .* for steps"
        ) as caught:
            converted(document)

        assert "Export (API)" in caught.value.hint

    def test_reroutes_in_a_circle_are_told(self) -> None:
        document = drawn()
        insert(document, "50", "9", type="Reroute")
        document["links"].append([901, "50", 0, "50", 0, "*"])
        of(document, "50")["inputs"][0]["link"] = 901

        with pytest.raises(Misconfigured, match="through more than 100 nodes"):
            converted(document)

    @settings(max_examples=examples(40, nightly=500))
    @given(st.data())
    def test_a_damaged_file_is_converted_or_told(self, data: st.DataObject) -> None:
        document = TestSubgraphs().wrapped(text="a dog")
        odd = st.none() | st.integers() | st.text() | st.lists(st.integers())
        for _ in range(data.draw(st.integers(1, 4))):
            place: Any = document
            while isinstance(place, dict | list) and place:
                keys = list(place) if isinstance(place, dict) else range(len(place))
                key = data.draw(st.sampled_from(list(keys)))
                if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
                    place[key] = data.draw(odd)
                    break
                place = place[key]
        with contextlib.suppress(Misconfigured):
            converted(document)
