import re
from collections.abc import Callable
from typing import Any

import msgspec

from imagen.ports.adapter import Adapter
from imagen.settings.load import BUILT_IN_STYLES
from imagen.settings.model import (
    BackendBlock,
    ConfigFile,
    HistorySettings,
    OutputSettings,
    Settings,
    StyleBlock,
)
from imagen.settings.money import BudgetSettings
from imagen.settings.sample import sample_config

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
