"""The slot finder on workflows of the shapes that people publish: never a wrong slot.

Each workflow is either bound as its author meant it, or refused with an error that
names the candidates. At most one in ten may be refused.
"""

import pytest
from tests.unit.adapters.backends.comfyui.shapes import SHAPES

from imagen.adapters.backends.comfyui.bindings import find_bindings
from imagen.adapters.backends.comfyui.graph import build_graph
from imagen.domain.errors import Misconfigured


@pytest.mark.parametrize("name", SHAPES)
def test_each_workflow_is_bound_as_meant_or_refused(name: str) -> None:
    case = SHAPES[name]
    graph = build_graph(case.nodes, source="mine.json")

    if case.refused:
        with pytest.raises(Misconfigured) as caught:
            find_bindings(graph, {})
        said = f"{caught.value.message} {caught.value.hint}"
        assert all(words in said for words in case.refused)
    else:
        found = find_bindings(graph, {})
        bound = {key: " ".join(map(str, getattr(found, key))) for key in case.want}
        assert bound == case.want


def test_at_most_one_workflow_in_ten_is_refused() -> None:
    refused = [name for name, case in SHAPES.items() if case.refused]

    assert len(SHAPES) >= 80
    assert len(refused) <= len(SHAPES) / 10
