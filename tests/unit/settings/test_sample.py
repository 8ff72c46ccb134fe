import re
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from imagen.ports.adapter import Adapter
from imagen.settings.document import parse
from imagen.settings.model import (
    BUILT_IN_STYLES,
    BackendBlock,
    ConfigFile,
    HistorySettings,
    OutputSettings,
    Settings,
    StyleBlock,
)
from imagen.settings.money import BudgetSettings
from imagen.settings.sample import sample_config
from imagen.settings.validate import validate

Adapters = dict[str, Adapter[Any]]
Read = Callable[[str], Settings]


def test_the_sample_is_valid_and_has_the_styles(
    adapters: Adapters, settings_of: Read
) -> None:
    settings = settings_of(sample_config(adapters))

    assert tuple(settings.styles.values()) == BUILT_IN_STYLES
    assert list(settings.backends) == ["mock"]


def test_the_sample_is_valid_with_every_key_set(
    adapters: Adapters, settings_of: Read
) -> None:
    text = re.sub(r"(?m)^( *)# (?=\w+: \S)", r"\1", sample_config(adapters))

    settings = settings_of(text)

    assert settings.default_backend == "mock"
    assert settings.styles["blog-header"].options
    assert [(each.backend, each.caller) for each in settings.budgets] == [
        ("", ""),
        ("mock", ""),
        ("", "team"),
    ]
    assert settings.history.keep_days
    assert settings.backends["mock"].instance.price


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    base_url: Annotated[str, Meta(description="The address.")] = ""
    workflow: Annotated[str, Meta(description="What runs.")] = ""
    model: Annotated[str, Meta(description="What draws.")] = ""
    api_token_env: Annotated[str, Meta(description="The token.")] = ""
    key_env: Annotated[str, Meta(description="The variable.", examples=["A_KEY"])] = ""


def with_adapters(adapters: Adapters, *names: str) -> Adapters:
    mock = adapters["mock"]
    other = msgspec.structs.replace(mock, options=Installed)
    return {"mock": mock} | dict.fromkeys(names, other)


def test_two_backends_are_configured_beside_mock(adapters: Adapters) -> None:
    every = with_adapters(adapters, "comfyui", "replicate", "chalk", "zebra")
    document = parse(sample_config(every).encode(), source="c.yaml")

    settings = validate(document, adapter_of=every.__getitem__)

    assert list(settings.backends) == [
        "mock",
        "flux-schnell-local",
        "flux-dev-replicate",
    ]
    assert settings.default_backend == "flux-schnell-local"


def test_the_block_of_another_adapter_is_a_comment_with_every_key(
    adapters: Adapters,
) -> None:
    every = with_adapters(adapters, "comfyui", "replicate", "chalk", "zebra")
    text = sample_config(every)
    block = re.search(r"(?m)^  # zebra:.*\n(  # .*\n)+", text)
    assert block is not None
    alone = re.sub(r"(?m)^  # ", "  ", block[0])
    document = parse(
        text.replace(block[0], alone).encode(),
        source="c.yaml",
    )

    settings = validate(document, adapter_of=every.__getitem__)

    assert [*settings.backends][-1] == "zebra"
    for field in Installed.__struct_fields__:
        assert f"    # {field}: " in alone


def test_the_sample_names_every_key_with_its_comment(adapters: Adapters) -> None:
    text = sample_config(adapters)

    words = " ".join(text.replace("#", " ").split())
    structs = [
        *(ConfigFile, OutputSettings, BudgetSettings, HistorySettings),
        *(BackendBlock, StyleBlock),
    ]
    for struct in (*structs, *(each.options for each in adapters.values())):
        for field in msgspec.structs.fields(struct):
            assert f" {field.encode_name}:" in f" {words}"
            (meta,) = [m for m in field.type.__metadata__ if m.description]
            assert meta.description in words


def test_the_sample_fits_on_a_screen(adapters: Adapters) -> None:
    assert all(len(line) <= 80 for line in sample_config(adapters).splitlines())
