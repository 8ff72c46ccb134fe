from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.errors import ImagenError
from imagen.domain.size import Size
from imagen.settings.model import Settings
from imagen.settings.tree import ConfigProblem

Read = Callable[[str], Settings]
Wrong = Callable[[str], tuple[ConfigProblem, ...]]

MOCK = "backends:\n  m:\n    adapter: mock\n    "
STYLE = "styles:\n  s:\n    "


@pytest.mark.parametrize(
    ("text", "line", "key", "said"),
    [
        ("[1]", 1, "", "expected a mapping, got a list"),
        ("dir: x", 1, "dir", "unknown key (there is default_backend, output"),
        ("defaultbackend: x", 1, "defaultbackend", "did you mean default_backend?"),
        ("default_backend: x", 1, "default_backend", "no backend 'x' (there is mock)"),
        ("default_backend: mocc", 1, "default_backend", "did you mean mock?"),
        ("default_backend: [x]", 1, "default_backend", "the name of a backend, got a"),
        ("output: 3", 1, "output", "expected a mapping, got 3"),
        ("output:\n  dri: x", 2, "output.dri", "did you mean dir?"),
        ("output:\n  dir: 3", 2, "output.dir", "expected a path, got 3"),
        ("output: {dir: }", 1, "output.dir", "expected a path, got nothing"),
        ("output: {dir: $NOPE/x}", 1, "output.dir", "uses $NOPE, which is not set"),
        (
            "output: {naming: ../x}",
            1,
            "output.naming",
            "leads out of the output folder",
        ),
        ("output: {naming: /x}", 1, "output.naming", "leads out of the output folder"),
        ("output: {naming: ''}", 1, "output.naming", "text that is not empty, got ''"),
        ("output: {naming: 1}", 1, "output.naming", "got 1 (put it in quotes)"),
        ("output: {sidecar: yes}", 1, "output.sidecar", "true or false, got 'yes'"),
        ("output: {metadata: 1}", 1, "output.metadata", "true or false, got 1"),
        ("backends: 1", 1, "backends", "expected a mapping, got 1"),
        ("backends: {m: }", 1, "backends.m.adapter", "is missing"),
        ("backends: {m: 7}", 1, "backends.m", "expected a mapping, got 7"),
        ("backends: {m: {adapter: x}}", 1, "backends.m.adapter", "(there is mock)"),
        (
            "backends: {m: {adapter: 1}}",
            1,
            "backends.m.adapter",
            "expected text, got 1",
        ),
        ("backends: {a/b: {adapter: mock}}", 1, "backends.a/b", "cannot be a name"),
        ("backends: {'': {adapter: mock}}", 1, "backends.''", "cannot be a name"),
        ("backends: {' ': {adapter: mock}}", 1, "backends. ", "cannot be a name"),
        (
            'backends: {"a\\e": {adapter: mock}}',
            1,
            "backends.a\\x1b",
            "cannot be a name",
        ),
        (MOCK + "timeout: abc", 4, "backends.m.timeout", "seconds above 0, got 'abc'"),
        (MOCK + "timeout: 0", 4, "backends.m.timeout", "number of seconds above 0"),
        (MOCK + "timeout: .inf", 4, "backends.m.timeout", "got inf"),
        (MOCK + "timeout: .nan", 4, "backends.m.timeout", "got nan"),
        (MOCK + "timeout:", 4, "backends.m.timeout", "above 0, got nothing"),
        (MOCK + "concurrency: 0", 4, "backends.m.concurrency", "number not below 1"),
        (MOCK + "concurrency: true", 4, "backends.m.concurrency", "got true"),
        (MOCK + "size: 1024", 4, "backends.m.size", "such as 1536x768, got 1024"),
        (MOCK + "size: 8x8", 4, "backends.m.size", "go from 16 to 16384"),
        (MOCK + "steps: -1", 4, "backends.m.steps", "not below 0, got -1"),
        (MOCK + "steps: 1.5", 4, "backends.m.steps", "a whole number"),
        (MOCK + "price: 1", 4, "backends.m.price", "unknown key"),
        (MOCK + "dealy: 1", 4, "backends.m.dealy", "did you mean delay?"),
        (MOCK + "delay: x", 4, "backends.m.delay", "seconds not below 0, got 'x'"),
        (MOCK + "ending: refusd", 4, "backends.m.ending", "did you mean refused?"),
        (MOCK + "model: 2", 4, "backends.m.model", "put it in quotes"),
        (MOCK + "model: none", 2, "backends.m", "The model is none (name one)"),
        (MOCK + "lively: 1", 4, "backends.m.lively", "true or false"),
        (MOCK + "largest: big", 4, "backends.m.largest", "a size such as"),
        (MOCK + "loras: 3", 4, "backends.m.loras", "a list, got 3"),
        (MOCK + "loras: [{}]", 4, "backends.m.loras[0].path", "is missing"),
        (
            MOCK + "loras:\n    - path: x\n      weight: y",
            6,
            "backends.m.loras[0].weight",
            "a number, got 'y'",
        ),
        ("styles: []", 1, "styles", "expected a mapping, got a list"),
        ("styles: {s: x}", 1, "styles.s", "expected a mapping, got 'x'"),
        ("styles: {a/b: {}}", 1, "styles.a/b", "cannot be a name"),
        (STYLE + "promt: x", 3, "styles.s.promt", "did you mean prompt?"),
        (STYLE + "prompt: 1", 3, "styles.s.prompt", "expected text, got 1"),
        (STYLE + "negative: [x]", 3, "styles.s.negative", "expected text, got a list"),
        (STYLE + "size: x", 3, "styles.s.size", "expected a size"),
        (STYLE + "steps: x", 3, "styles.s.steps", "expected a whole number"),
        (STYLE + "seed: -1", 3, "styles.s.seed", "not below 0, got -1"),
        (STYLE + "seed: 18446744073709551616", 3, "styles.s.seed", "is not a seed"),
        (STYLE + "set: 3", 3, "styles.s.set", "expected a mapping, got 3"),
        (STYLE + "set: {a: 1, a: 2}", 3, "styles.s.set.a", "given twice"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_its_line_and_key(
    problems_of: Wrong, text: str, line: int, key: str, said: str
) -> None:
    (problem,) = problems_of(text)

    assert (problem.line, problem.key) == (line, key)
    assert said in str(problem)
    assert str(problem).startswith(f"imagen.yaml:{line}: ")
    assert "\n" not in str(problem)


def test_finds_everything_that_is_wrong_at_once(problems_of: Wrong) -> None:
    problems = problems_of(
        "default_backend: x\nfoo: 1\noutput: {sidecar: 3, naming: ../x}\n"
        "backends:\n  a: {adapter: nope, timeout: 0}\n  b: {adapter: mock, x: 1}\n"
        "styles:\n  s: {seed: -1, size: x, set: !y 3}\n"
    )

    assert [(each.line, each.key) for each in problems] == [
        (1, "default_backend"),
        (2, "foo"),
        (3, "output.sidecar"),
        (3, "output.naming"),
        (5, "backends.a.timeout"),
        (5, "backends.a.adapter"),
        (6, "backends.b.x"),
        (8, "styles.s.set"),
        (8, "styles.s.size"),
        (8, "styles.s.seed"),
    ]


def test_reads_every_kind_of_value(settings_of: Read) -> None:
    settings = settings_of(
        "output: {dir: ~/x}\n"
        "backends:\n  m: {adapter: mock, timeout: 5, size: 64x32, delay: 1, "
        "workflow: $PICTURES/w.json, largest: 99x99, loras: [{path: a}], "
        "api_key_env: KEY, headers_env: {X-Key: KEY}}\n"
        "styles: {s: {size: 32x16, set: {a: [1, {b: 16:9}]}}, empty: }\n"
    )

    backend = settings.backends["m"]
    assert settings.output.dir == Path("/home/ada/x")
    assert backend.instance.size == Size(64, 32)
    assert backend.instance.timeout == 5
    assert backend.options.workflow == Path("/pictures/w.json")  # type: ignore[attr-defined]
    assert backend.options.loras[0].path == "a"  # type: ignore[attr-defined]
    assert settings.styles["s"].options == {"a": [1, {"b": "16:9"}]}
    assert settings.styles["empty"].prompt == "{prompt}"


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("", "mock"),
        ("backends: {a: {adapter: mock}}", "a"),
        ("backends: {a: {adapter: mock}, b: {adapter: mock}}", "mock"),
        ("default_backend: mock\nbackends: {a: {adapter: mock}}", "mock"),
        ("default_backend:\nbackends:\nstyles:\noutput:\n", "mock"),
    ],
)
def test_the_only_instance_is_the_default_else_mock(
    settings_of: Read, text: str, chosen: str
) -> None:
    settings = settings_of(text)

    assert settings.default_backend == chosen
    assert "mock" in settings.backends


@given(st.text())
def test_random_text_is_read_or_refused(settings_of: Read, text: str) -> None:
    try:
        settings_of(text.encode("utf-8", "replace").decode())
    except ImagenError:
        return


ODD = st.recursive(
    st.sampled_from(["1", "x", "~", "true", "16:9", "'", "&a", "*a", "!!x", "<<", "-"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: "[" + ", ".join(each) + "]"),
        st.dictionaries(
            st.sampled_from(
                ["output", "backends", "styles", "mock", "adapter", "set", "size", "1"]
            ),
            inner,
            max_size=4,
        ).map(lambda each: "{" + ", ".join(f"{k}: {v}" for k, v in each.items()) + "}"),
    ),
    max_leaves=12,
)


@given(ODD)
def test_odd_configs_are_read_or_refused(settings_of: Read, text: str) -> None:
    try:
        settings_of(text)
    except ImagenError:
        return
