from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.domain.errors import ImagenError
from imagen.domain.money.budget import Budget
from imagen.domain.money.price import Rate
from imagen.domain.size import Size
from imagen.settings.model import Settings
from imagen.settings.tree import ConfigProblem
from imagen.settings.validate import InvalidConfig

Read = Callable[[str], Settings]
Wrong = Callable[[str], tuple[ConfigProblem, ...]]

MOCK = "backends:\n  m:\n    adapter: mock\n    "
PRICE = "backends.m.price"
STYLE = "styles:\n  s:\n    "


@pytest.mark.parametrize(
    ("text", "line", "key", "said"),
    [
        ("[1]", 1, "", "expected a mapping, got a list"),
        ("dir: x", 1, "dir", "unknown key (use one of default_backend, owner_user_id"),
        ("owner_user_id: me", 1, "owner_user_id", "expected a UUID, got 'me'"),
        (
            "output: {cloud_sync: yes}",
            1,
            "output.cloud_sync",
            "expected one of auto, on, off, got 'yes'",
        ),
        ("defaultbackend: x", 1, "defaultbackend", "did you mean default_backend?"),
        ("default_backend: x", 1, "default_backend", "unknown backend 'x' (use mock)"),
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
            "points outside of the output folder",
        ),
        (
            "output: {naming: /x}",
            1,
            "output.naming",
            "points outside of the output folder",
        ),
        ("output: {naming: ''}", 1, "output.naming", "text that is not empty, got ''"),
        ("output: {naming: 1}", 1, "output.naming", "got 1 (put it in quotes)"),
        ("output: {sidecar: yes}", 1, "output.sidecar", "true or false, got 'yes'"),
        ("output: {metadata: 1}", 1, "output.metadata", "true or false, got 1"),
        ("backends: 1", 1, "backends", "expected a mapping, got 1"),
        ("backends: {m: }", 1, "backends.m.adapter", "is missing"),
        ("backends: {m: {adaptor: mock}}", 1, "backends.m.adaptor", "mean adapter?"),
        ("backends: {m: {Adapter: mock}}", 1, "backends.m.Adapter", "mean adapter?"),
        ("backends: {m: 7}", 1, "backends.m", "expected a mapping, got 7"),
        ("backends: {m: {adapter: x}}", 1, "backends.m.adapter", "(there is mock)"),
        (
            "backends: {m: {adapter: 1}}",
            1,
            "backends.m.adapter",
            "expected text, got 1",
        ),
        (
            "backends: {a/b: {adapter: mock}}",
            1,
            "backends.a/b",
            "invalid name (use letters",
        ),
        (
            "backends: {'': {adapter: mock}}",
            1,
            "backends.''",
            "invalid name (use letters",
        ),
        (
            "backends: {' ': {adapter: mock}}",
            1,
            "backends. ",
            "invalid name (use letters",
        ),
        (
            'backends: {"a\\e": {adapter: mock}}',
            1,
            "backends.a\\x1b",
            "invalid name (use letters",
        ),
        (MOCK + "timeout: abc", 4, "backends.m.timeout", "seconds above 0, got 'abc'"),
        (MOCK + "timeout: 0", 4, "backends.m.timeout", "number of seconds above 0"),
        (MOCK + "timeout: .inf", 4, "backends.m.timeout", "got inf"),
        (MOCK + "timeout: .nan", 4, "backends.m.timeout", "got nan"),
        (MOCK + "timeout:", 4, "backends.m.timeout", "above 0, got nothing"),
        (MOCK + "concurrency: 0", 4, "backends.m.concurrency", "number not below 1"),
        (MOCK + "concurrency: true", 4, "backends.m.concurrency", "got true"),
        (MOCK + "size: 1024", 4, "backends.m.size", "such as 1536x768, got 1024"),
        (MOCK + "size: 8x8", 4, "backends.m.size", "must be 16 to 16384"),
        (MOCK + "steps: -1", 4, "backends.m.steps", "not below 0, got -1"),
        (MOCK + "steps: 1.5", 4, "backends.m.steps", "a whole number"),
        (MOCK + "price: cheap", 4, PRICE, "of US dollars from 0 to 1000000000, got 'c"),
        (MOCK + "price: -1", 4, PRICE, "a number of US dollars from 0 to"),
        (MOCK + "price: .nan", 4, PRICE, "got nan"),
        (MOCK + "price: .inf", 4, PRICE, "got inf"),
        (MOCK + "price: true", 4, PRICE, "got true"),
        (MOCK + "price: [1]", 4, PRICE, "expected a mapping, got a list"),
        (MOCK + "price: {}", 4, PRICE, "has no rate (give a number, or some of per_c"),
        (MOCK + "price: {per_image: }", 4, PRICE, "has no rate"),
        (
            MOCK + "price: {per_imag: 1, per_call: 1}",
            4,
            f"{PRICE}.per_imag",
            "mean per_image?",
        ),
        (MOCK + "price:\n      per_call: -0.1", 5, f"{PRICE}.per_call", "got -0.1"),
        (
            MOCK + "price: {per_million_tokens: {out: x}}",
            4,
            f"{PRICE}.per_million_tokens.out",
            "a number of US dollars",
        ),
        (
            MOCK + "price: {per_million_tokens: 3}",
            4,
            f"{PRICE}.per_million_tokens",
            "a mapping, got 3",
        ),
        ("budget: 3", 1, "budget", "expected a mapping, got 3"),
        ("budget:\n  dayusd: 3", 2, "budget.dayusd", "did you mean day_usd?"),
        ("budget:\n  day_usd: -3", 2, "budget.day_usd", "from 0 to 1000000000, got -3"),
        ("budget:\n  call_usd: .nan", 2, "budget.call_usd", "got nan"),
        ("budget:\n  week_usd: 1e10", 2, "budget.week_usd", "from 0 to 1000000000"),
        (
            "budget:\n  day_usd: 1\n  call_usd: 0.0000001",
            3,
            "budget.call_usd",
            "use 0 or more dollars with up to 6 decimals",
        ),
        ("budget: {unknown: alow}", 1, "budget.unknown", "did you mean allow?"),
        ("budget: {backends: 3}", 1, "budget.backends", "a mapping, got 3"),
        ("budget: {backends: {mock: 3}}", 1, "budget.backends.mock", "a mapping, got"),
        (
            "budget:\n  backends:\n    mokc: {day_usd: 1}",
            3,
            "budget.backends.mokc",
            "unknown backend 'mokc' (did you mean mock?)",
        ),
        (
            "budget:\n  backends:\n    mock:\n      week_usd: 0.0000001",
            4,
            "budget.backends.mock.week_usd",
            "with up to 6 decimals",
        ),
        (
            "budget: {backends: {mock: {backends: {}}}}",
            1,
            "budget.backends.mock.backends",
            "unknown key",
        ),
        ("history: 30", 1, "history", "expected a mapping, got 30"),
        ("history:\n  keep: 1", 2, "history.keep", "did you mean keep_days?"),
        ("history: {keep_days: 0}", 1, "history.keep_days", "from 1 to 36500, got 0"),
        ("history: {keep_days: 1.5}", 1, "history.keep_days", "a whole number"),
        ("history: {keep_days: 99999999}", 1, "history.keep_days", "from 1 to 36500"),
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
        ("styles: {a/b: {}}", 1, "styles.a/b", "invalid name (use letters"),
        (STYLE + "promt: x", 3, "styles.s.promt", "did you mean prompt?"),
        (STYLE + "prompt: 1", 3, "styles.s.prompt", "expected text, got 1"),
        (STYLE + "negative: [x]", 3, "styles.s.negative", "expected text, got a list"),
        (STYLE + "size: x", 3, "styles.s.size", "expected a size"),
        (STYLE + "steps: x", 3, "styles.s.steps", "expected a whole number"),
        (STYLE + "seed: -1", 3, "styles.s.seed", "not below 0, got -1"),
        (
            STYLE + "seed: 18446744073709551616",
            3,
            "styles.s.seed",
            "The seed 18446744073709551616 is out of range",
        ),
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
        (3, "output.naming"),
        (3, "output.sidecar"),
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
    ("text", "rates"),
    [
        ("0.04", {"per_image": "0.04"}),
        ("1", {"per_image": "1"}),
        ("0", {"per_image": "0"}),
        ("1.1e-7", {"per_image": "0.00000011"}),
        (
            "{per_call: 0.015, per_megapixel: 0.1, per_second: 0.001525}",
            {"per_call": "0.015", "per_megapixel": "0.1", "per_second": "0.001525"},
        ),
    ],
)
def test_a_price_is_read_to_the_last_digit(
    settings_of: Read, text: str, rates: dict[str, str]
) -> None:
    settings = settings_of(MOCK + f"price: {text}")

    price = settings.backends["m"].instance.price
    assert price is not None
    assert price.source == "config"
    assert {rate.unit: rate.usd for rate in price.rates} == {
        unit: Decimal(usd) for unit, usd in rates.items()
    }


def test_tokens_are_priced_by_the_million(settings_of: Read) -> None:
    settings = settings_of(
        MOCK + "price: {per_million_tokens: {input_text: 5, output_image: 0.3}}"
    )

    price = settings.backends["m"].instance.price
    assert price is not None
    assert price.rates == (
        Rate(unit="per_token", usd=Decimal("0.000005"), kind="input_text"),
        Rate(unit="per_token", usd=Decimal("0.0000003"), kind="output_image"),
    )


@pytest.mark.parametrize("text", ["", MOCK + "price:", "budget:\nhistory:\n"])
def test_without_a_budget_nothing_is_limited(settings_of: Read, text: str) -> None:
    settings = settings_of(text)

    assert settings.budgets == ()
    assert settings.history.keep_days is None
    assert all(each.instance.price is None for each in settings.backends.values())


@pytest.mark.parametrize(
    ("text", "budgets"),
    [
        (
            "{call_usd: 0.1, day_usd: 2, week_usd: 20.000001}",
            [Budget(call=100_000, day=2_000_000, week=20_000_001)],
        ),
        ("{day_usd: 0}", [Budget(day=0)]),
        ("{unknown: allow}", [Budget(unknown="allow")]),
        ("{backends: {mock: {week_usd: 1}}}", [Budget(backend="mock", week=1_000_000)]),
        ("{backends: {mock: , key-light: {}}}", []),
        (
            "{day_usd: 1, unknown: allow, backends: {mock: {day_usd: 1}}}",
            [
                Budget(day=1_000_000, unknown="allow"),
                Budget(backend="mock", day=1_000_000, unknown="allow"),
            ],
        ),
        (
            "{day_usd: 1, backends: {key-light: {unknown: allow}}}",
            [Budget(day=1_000_000), Budget(backend="key-light", unknown="allow")],
        ),
    ],
)
def test_budgets_are_exact(settings_of: Read, text: str, budgets: list[Budget]) -> None:
    settings = settings_of(
        f"backends: {{key-light: {{adapter: mock}}}}\nbudget: {text}"
    )

    assert list(settings.budgets) == budgets


def test_the_history_is_kept_for_so_many_days(settings_of: Read) -> None:
    assert settings_of("history: {keep_days: 90}").history.keep_days == 90


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("", "mock"),
        ("backends: {a: {adapter: mock}}", "a"),
        ("backends: {a: {adapter: mock}, mock: {adapter: mock}}", "a"),
        ("backends: {mock: {adapter: mock}}", "mock"),
        ("backends: {a: {adapter: mock}, b: {adapter: mock}}", None),
        ("default_backend: b\nbackends: {a: {adapter: mock}, b: {adapter: mock}}", "b"),
        ("default_backend: mock\nbackends: {a: {adapter: mock}}", "mock"),
        ("default_backend:\nbackends:\nstyles:\noutput:\n", "mock"),
    ],
)
def test_the_only_instance_besides_mock_is_the_default(
    settings_of: Read, text: str, chosen: str | None
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


@pytest.mark.parametrize(
    ("serve", "says"),
    [
        ("trusted_proxies: [proxy.internal]", "not the address of a proxy"),
        ("trusted_proxies: [10.0.0.0/40]", "not the address of a proxy"),
        ("trusted_proxies: ['']", "not the address of a proxy"),
        ("origins: ['*']", "an origin such as https://app.example.org"),
        ("origins: ['https://app.example.org/x']", "without a path"),
        ("origins: ['null']", "an origin such as https://app.example.org"),
    ],
)
def test_a_proxy_is_an_address_and_an_origin_has_no_path(
    settings_of: Read, serve: str, says: str
) -> None:
    good = "trusted_proxies: [10.1.2.3, 'fd00::/8', unix], origins: ['tauri://app:1']"
    assert settings_of(f"serve: {{{good}}}").serve.origins == ("tauri://app:1",)
    with pytest.raises(InvalidConfig, match=says):
        settings_of(f"serve: {{{serve}}}")
