"""Metadata with any values: what is read can be written again."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nightly import examples
from tests.unit.domain.written import FOOOCUS, GRAPH, INVOKEAI, MFLUX, NOVELAI, png

from imagen.domain.metadata.embedded import EmbeddedMetadata
from imagen.domain.metadata.reader import read_embedded_metadata

WILD = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(["", "euler", "3", "-1", "512x512", "NaN", "\0", "²"]),
        st.lists(st.sampled_from(["3", "4", "x", 0, 1]), max_size=3),
    ),
    lambda inner: st.dictionaries(st.sampled_from(["a", "name", "image"]), inner),
    max_leaves=4,
)
KEYS = sorted(
    {"inputs", "class_type", "image", *GRAPH["3"]["inputs"], *INVOKEAI, *MFLUX}
    | {*FOOOCUS, *NOVELAI, "guider", "noise", "sigmas", "text", "value", "loras"}
)
SAID = st.dictionaries(st.sampled_from(KEYS), WILD, max_size=12)


@settings(max_examples=examples(25, nightly=100))
@given(
    st.sampled_from(["imagen", "invokeai_metadata", "sd-metadata", "parameters"])
    | st.sampled_from(["Comment", "prompt", "workflow"]),
    SAID,
    st.sampled_from(["", "NovelAI", "Fooocus v2"]),
)
def test_any_note_can_be_written_again(
    key: str, said: dict[str, object], software: str
) -> None:
    making = read_embedded_metadata(png(**{key: said, "Software": software}))

    assert_can_be_written(making)


@settings(max_examples=examples(25, nightly=100))
@given(
    st.dictionaries(
        st.sampled_from(["1", "2", "3", "4"]),
        st.fixed_dictionaries({"class_type": st.just("X"), "inputs": SAID}),
    )
)
def test_any_graph_can_be_written_again(graph: dict[str, object]) -> None:
    assert_can_be_written(read_embedded_metadata(png(prompt=graph)))


def assert_can_be_written(making: EmbeddedMetadata) -> None:
    assert (
        msgspec.json.decode(msgspec.json.encode(making), type=EmbeddedMetadata)
        == making
    )
