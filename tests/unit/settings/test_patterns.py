"""No message shows a regular expression: it says what is expected, with an example."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args

import msgspec
import pytest
from msgspec import Meta

from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend
from imagen.registry import find_adapter, installed_adapters
from imagen.settings.document import parse
from imagen.settings.model import ConfigFile
from imagen.settings.reading import describe_type
from imagen.settings.validate import InvalidConfig, validate


class ForeignOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Patterns as the author of another package may write them."""

    server: Annotated[str, Meta(pattern="^wss?://.+$", examples=["wss://a.example"])]
    voice: Annotated[str | None, Meta(pattern="^v[0-9]+$", examples=["v2"])] = None
    dialect: Annotated[str, Meta(pattern="^d[0-9]+$")] = "d1"
    names: tuple[Annotated[str, Meta(pattern="^n[0-9]+$")], ...] = ()
    either: Annotated[str, Meta(pattern="^e[0-9]+$")] | int | None = None


def create(options: ForeignOptions, context: BackendContext) -> ImageBackend:
    raise NotImplementedError


FOREIGN = Adapter(summary="Foreign.", options=ForeignOptions, create=create)


def find(name: str) -> Adapter[Any]:
    return FOREIGN if name == "foreign" else find_adapter(name)


def message_about(adapter: str, line: str) -> str:
    text = f"backends:\n  x:\n    adapter: {adapter}\n    {line}\n"
    with pytest.raises(InvalidConfig) as caught:
        validate(
            parse(text.encode(), source="imagen.yaml"),
            adapter_of=lambda name: (
                FOREIGN if name == "foreign" else find_adapter(name)
            ),
        )
    return str(caught.value)


@pytest.mark.parametrize("adapter", ["comfyui", "fal", "replicate"])
def test_a_url_without_its_scheme_is_told_to_begin_with_it(adapter: str) -> None:
    message = message_about(adapter, "base_url: localhost:8188")

    assert message.startswith("imagen.yaml:4: backends.x.base_url: expected a URL such")
    assert "got 'localhost:8188' (begin it with http" in message
    assert "://)" in message
    assert "[^" not in message


@pytest.mark.parametrize(
    ("adapter", "line", "said"),
    [
        ("comfyui", "base_url: http://a b", "expected a URL such as http://"),
        ("comfyui", "prefix: ../x", "and without a leading slash, got '../x'"),
        ("fal", "model: flux", "such as fal-ai/flux/dev, got 'flux'"),
        ("replicate", "model: flux", "such as black-forest-labs/flux-dev, got 'flux'"),
        ("replicate", "deployment: a", "such as ada/my-deployment, got 'a'"),
        ("replicate", "base_url: https://u@x", "expected a URL such as https://"),
        (
            "foreign",
            "server: http://x",
            "expected a URL such as wss://a.example, got 'http://x'",
        ),
        ("foreign", "server: x.example", "got 'x.example' (begin it with wss://)"),
        (
            "foreign",
            "server: wss://x\n    voice: x",
            "expected text such as v2, got 'x'",
        ),
        (
            "foreign",
            "server: wss://x\n    dialect: x",
            "expected text in the form that the adapter requires, got 'x'",
        ),
        (
            "foreign",
            "server: wss://x\n    names: [n1, x]",
            "names[1]: expected text in the form that the adapter requires, got 'x'",
        ),
        (
            "foreign",
            "server: wss://x\n    either: 1.5",
            "text in the form that the adapter requires or a whole number, got 1.5",
        ),
        ("foreign", "voice: v1", "the key is missing (give a URL such as wss://a.ex"),
        ("mock", "timeout: soon", "above 0, got 'soon' (for example 120)"),
        ("mock", "without: [x]", "expected one of seed, steps, negative, got 'x'"),
    ],
)
def test_what_does_not_match_a_pattern_gets_an_example(
    adapter: str, line: str, said: str
) -> None:
    message = message_about(adapter, line)

    assert said in message
    assert "^" not in message


def structs() -> Iterator[type[msgspec.Struct]]:
    yield ConfigFile
    yield from (adapter.options for adapter in installed_adapters().values())


def patterns_of(kind: object) -> Iterator[tuple[object, str]]:
    for part in get_args(kind):
        if isinstance(part, Meta) and part.pattern is not None:
            yield kind, part.pattern
        yield from patterns_of(part)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield from patterns_of(field.type)


def test_every_pattern_of_the_config_is_described_in_words() -> None:
    found: list[tuple[Any, str]] = [
        each for struct in structs() for each in patterns_of(struct)
    ]

    assert len(found) >= 5
    for kind, pattern in found:
        assert pattern not in describe_type(kind)
