import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.errors import InvalidRequest
from imagen.settings.document import DEEPEST, parse, parse_scalar


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *(("16:9", "16:9"), ("on", "on"), ("no", "no"), ("yes", "yes")),
        *(("0o14", 12), ("014", 14), ("0x1F", 31), ("-7", -7), ("1_000", "1_000")),
        *(("2026-05-08", "2026-05-08"), ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0)),
        *((".inf", float("inf")), ("-.INF", float("-inf")), ("=", "=")),
        *(("true", True), ("FALSE", False), ("null", None), ("~", None), ("'1'", "1")),
        *(("tRue", "tRue"), ("+1", 1), ("0b1", "0b1"), ("!!str 1", "1")),
        *(("[1, 2]", [1, 2]), ("{a: 1}", {"a": 1}), ('{"a":[~]}', {"a": [None]})),
    ],
)
def test_words_are_typed_by_yaml_1_2(word: str, value: object) -> None:
    document = parse(f"key: {word}".encode(), source="x")

    assert document.problems == ()
    assert document.root.to_builtins() == {"key": value}
    assert parse_scalar(word) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [("", ""), ("#ff0000", "#ff0000"), ("a: b", "a: b"), (" 4 ", 4), ("@x", "@x")],
)
def test_a_word_of_the_command_line_needs_no_quotes(word: str, value: object) -> None:
    assert parse_scalar(word) == value


@pytest.mark.parametrize(
    "word",
    [
        "[1",
        "{a",
        "'x",
        '"',
        "[!x 1]",
        "[*a]",
        "\udcff",
        "\0",
        "9" * 5000,
        "[" * 100_000,
    ],
)
def test_a_broken_word_is_an_invalid_request(word: str) -> None:
    with pytest.raises(InvalidRequest, match="is not valid YAML"):
        parse_scalar(word)


def test_every_value_knows_the_line_of_its_key_and_its_path() -> None:
    root = parse(b"# x\na:\n  - 1\n  - b:\n      2\n", source="x").root

    entry = root.get("a")
    assert entry is not None
    assert (entry.line, entry.path) == (2, ("a",))
    assert isinstance(entry.value, tuple)
    inner = entry.value[1].get("b")
    assert inner is not None
    assert (inner.line, inner.path, inner.value) == (4, ("a", 1, "b"), 2)


def test_what_an_alias_stands_for_has_the_path_of_the_alias() -> None:
    text = b"a: &a {x: 1}\nb:\n- *a\nc:\n  <<: *a\n"

    root = parse(text, source="x").root

    places = [root.get("b"), root.get("c")]
    first, second = (place for place in places if place is not None)
    assert isinstance(first.value, tuple)
    aliased, merged = first.value[0].get("x"), second.get("x")
    assert aliased is not None
    assert merged is not None
    assert (aliased.path, aliased.line) == (("b", 0, "x"), 1)
    assert (merged.path, merged.line) == (("c", "x"), 1)


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"---\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_empty_config(text: bytes) -> None:
    document = parse(text, source="x")

    assert (document.root.to_builtins(), document.problems) == (None, ())


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (b"a: 1\nb: 2\na: 3", 3, "a: the key is given twice, first in line 1"),
        (b"a: !!python/name:os.system x", 1, "a: the YAML tag"),
        (b"a: !x [1]", 1, "a: the YAML tag"),
        (b"a: !!int x", 1, "a: the YAML tag"),
        (b"a: !!timestamp 2026-01-01", 1, "the YAML tag"),
        (b"1: x", 1, "not text"),
        (b"true: x", 1, "not text"),
        (b"? [a]\n: x", 1, "not text"),
        (b"a: 1\n---\nb: 1", 2, "second document"),
        (b"a: 1\nb: \xff", 2, "not UTF-8"),
        ("a: 1".encode("utf-16"), 1, "not UTF-8"),
        (b"a: 1\nb: \0", 2, "U+0000"),
        (b'a: "\\0"', 1, "a: the text contains an invalid character"),
        (b"a: *x", 1, "an alias"),
        (b"a: &x [*x]", 1, "an alias"),
        (b"<<: 3", 1, "takes a mapping"),
        (b"a: 1\nb: 'x\n\n", 4, "never closed; it begins in line 2"),
        (b"a:\n\tb: 1", 2, "a tab"),
        (b"a: b: c", 1, "a ':' is not allowed here"),
        (b"[" * 100_000, 1, "nested more than"),
        (b"{a: " * 100_000, 1, "nested more than"),
        (b"- " * 100_000, 1, "nested more than"),
        (b"a: " + b"9" * 5000, 1, "too many digits"),
    ],
)
def test_invalid_yaml_is_a_problem_with_its_line(
    text: bytes, line: int, said: str
) -> None:
    problems = parse(text, source="x.yaml").problems

    assert said in str(problems[0])
    assert problems[0].line == line


def test_aliases_cannot_stack_depth_beyond_the_limit() -> None:
    half = DEEPEST // 2 + 5
    text = f"a: &a {'[' * half}{']' * half}\nb: {'[' * half}*a{']' * half}\n"

    problems = parse(text.encode(), source="x").problems

    assert "nested" in problems[0].message


def test_anchors_and_merge_keys_are_understood() -> None:
    text = b"a: &a {x: 1, y: 2}\nb: &b {z: 3, x: 9}\nc: {x: 0, <<: [*a, *b]}\n"

    document = parse(text, source="x")

    assert document.problems == ()
    assert document.root.to_builtins() == {
        "a": {"x": 1, "y": 2},
        "b": {"z": 3, "x": 9},
        "c": {"x": 0, "y": 2, "z": 3},
    }


@given(st.binary())
def test_any_bytes_are_a_document(content: bytes) -> None:
    parse(content, source="x")


@given(st.text(alphabet="[]{}:,-?&*!|>'\"%@`#~ \n\tab1.\\\0\ud800<"))
def test_any_word_is_a_value_or_an_invalid_request(text: str) -> None:
    document = parse(text.encode("utf-8", "replace"), source="x")
    try:
        parse_scalar(text)
    except InvalidRequest:
        return
    assert document.source == "x"
