from collections.abc import Callable

import pytest

from imagen.settings.secrets import (
    is_keyring,
    is_named_like_secret,
    is_secret,
    is_variable,
)
from imagen.settings.tree import ConfigProblem

Wrong = Callable[[str], tuple[ConfigProblem, ...]]

CANARIES = [
    "r8_canary0123456789",
    "sk-canary0123456789",
    "sk-proj-canary0123",
    "hf_canary0123456789",
    "sb_secret_canary0123",
    "eyJcanary0123.abc.def",
    "AIzacanary0123456789",
    "gsk_canary0123456789",
    "xai-canary0123456789",
    "ghp_canary0123456789",
    "github_pat_canary0123",
    "AKIACANARY0123456789",
    "key-canary0123456789abcdef",
    "whsec_canary0123456",
    "Bearer canary0123456789",
    "0f8fad5b-d9cb-469f-a165-70867728950e:0123456789abcdefcanary",
    "https://ada:canary@example.org/",
    "https://example.org/?api_key=canary",
]


@pytest.mark.parametrize(
    "where",
    [
        "default_backend: {}",
        "output: {{dir: {}}}",
        "backends: {{m: {{adapter: {}}}}}",
        "backends: {{m: {{adapter: mock, timeout: {}}}}}",
        "backends: {{m: {{adapter: mock, ending: {}}}}}",
        "backends: {{m: {{adapter: mock, unknown: {}}}}}",
        "backends: {{m: {{adapter: mock, api_key_env: {}}}}}",
        "backends: {{m: {{adapter: mock, headers_env: {{Authorization: {}}}}}}}",
        "backends: {{m: {{adapter: mock, loras: [{{path: x, weight: {}}}]}}}}",
        "styles: {{s: {{prompt: {}}}}}",
        "styles: {{s: {{size: {}}}}}",
        "styles: {{s: {{set: {{a: [1, {{b: {}}}]}}}}}}",
        "unknown: [1, {}]",
        "{}: 1",
        "output: {{{}: 1}}",
        "backends: {{{}: {{adapter: mock}}}}",
        "styles: {{{}: {{size: x}}}}",
        "styles: {{s: {{a: !tag {}}}}}",
    ],
)
def test_a_secret_is_refused_everywhere_and_never_printed(
    problems_of: Wrong, where: str
) -> None:
    for canary in CANARIES:
        problems = problems_of(where.format(f'"{canary}"'))

        assert problems, canary
        assert "canary" not in repr(problems).lower()


@pytest.mark.parametrize(
    "text",
    [
        "a: r8_canary0123456789: x",
        "a: 'r8_canary0123456789",
        "a: [r8_canary0123456789",
        "a: @canary",
        "*canary",
        "a: !<canary> x",
        'a: "\\canary"',
        "\tcanary",
        "canary: 1\ncanary",
    ],
)
def test_broken_yaml_is_explained_without_quoting_it(
    problems_of: Wrong, text: str
) -> None:
    problems = problems_of(text)

    assert "canary" not in problems[-1].message.lower()
    assert "r8_" not in repr(problems)


@pytest.mark.parametrize(
    "key",
    [
        *("token", "api_key", "apiKey", "APIKey", "api-key", "secret", "password"),
        *("passwd", "Authorization", "credential", "credentials", "bearer", "apikey"),
        *("accessToken", "ACCESS_TOKEN", "client_secret", "x-api-key"),
    ],
)
def test_a_key_that_is_named_like_a_secret_is_refused(
    problems_of: Wrong, key: str
) -> None:
    (problem,) = problems_of(f"backends: {{m: {{adapter: mock, {key}: canary}}}}")

    assert problem.key == f"backends.m.{key}"
    assert "canary" not in str(problem)
    assert "_env: " in problem.suggestion


@pytest.mark.parametrize(
    "key",
    [
        *("api_key_env", "apiKeyEnv", "headers_env", "keyboard", "tokenizer", "monkey"),
        *("max_tokens", "secretary", "passwords_hash_env", "keyframes", "author"),
    ],
)
def test_other_keys_are_not(key: str) -> None:
    assert not is_named_like_secret(key)


@pytest.mark.parametrize(
    "text",
    [
        *("http://localhost:8188", "a key-light portrait", "bearer of bad news"),
        *(
            "task-based",
            "black-forest-labs/flux-dev",
            "comfyui-local",
            "Bearer of gold",
        ),
        *("https://example.org/@user", "http://[::1]:80/a@b", "1536x768", "16:9"),
    ],
)
def test_ordinary_text_is_not_a_secret(text: str) -> None:
    assert not is_secret(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("keyring:imagen/replicate", True),
        ("keyring:imagen", False),
        ("keyring:/replicate", False),
        ("keyring:a/b/c", False),
        ("keyring:imagen/r8_" + "Zz9" * 12, False),
    ],
)
def test_an_entry_of_the_keyring_is_named(value: str, *, expected: bool) -> None:
    assert is_keyring(value) is expected


@pytest.mark.parametrize("value", ["REPLICATE_API_TOKEN", "http_proxy", "_k", "Key1"])
def test_a_variables_name_is_one(value: str) -> None:
    assert is_variable(value)


@pytest.mark.parametrize(
    "value", ["$TOKEN", "", "a b", "aB3" * 10, "deadbeef" * 4 + "1", "r8_abcdefgh"]
)
def test_a_token_is_not_the_name_of_a_variable(value: str) -> None:
    assert not is_variable(value)


def test_a_number_in_place_of_the_name_of_a_variable_is_not_printed(
    problems_of: Wrong,
) -> None:
    (problem,) = problems_of("backends: {m: {adapter: mock, api_key_env: 31415926}}")

    assert "31415926" not in str(problem)


def test_an_instance_may_be_called_like_a_secret(problems_of: Wrong) -> None:
    (problem,) = problems_of("styles: {key-visual: {steps: x}}")

    assert problem.key == "styles.key-visual.steps"
