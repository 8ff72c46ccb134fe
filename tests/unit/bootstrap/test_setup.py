"""The places where `imagen setup` looks, as the adapters name them."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from imagen.bootstrap.runtime import Runtime
from imagen.bootstrap.setup import FoundBackend, list_sources
from imagen.domain.instance import Instance
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend, Readiness
from imagen.settings.environment import Environment
from imagen.settings.model import BackendSettings, OutputSettings, Settings


class Options(msgspec.Struct, frozen=True, kw_only=True):
    base_url: str = "https://api.shop.example"
    api_key_env: Annotated[
        str, Meta(examples=["SHOP_KEY", "OTHER_SHOP_KEY", "SHOP_TOKEN"])
    ] = "SHOP_KEY"


class Own(msgspec.Struct, frozen=True, kw_only=True):
    base_url: str = "http://127.0.0.1:7000"
    login_env: str = "SERVER_LOGIN"


class Library(msgspec.Struct, frozen=True, kw_only=True):
    pass


def create(options: msgspec.Struct, context: BackendContext) -> ImageBackend:
    raise NotImplementedError


SHOP = Adapter(summary="A shop.", options=Options, create=create)
SERVER = Adapter(summary="A server.", options=Own, create=create, ports=(7001,))


def sources_of(
    adapter: Adapter[Any], *used: msgspec.Struct, **variables: str
) -> tuple[list[str], list[str]]:
    """Return the places that are tried, and those that are missing."""
    backends = {
        f"box{number}": BackendSettings(
            instance=Instance(name=f"box{number}", adapter="it"), options=options
        )
        for number, options in enumerate(used)
    }
    settings = Settings(
        default_backend=None, output=OutputSettings(), backends=backends, styles={}
    )
    runtime = Runtime(Environment(variables), settings=settings)
    there, missing = list_sources(runtime, {"it": adapter})
    return [each.words for each in there], [each.words for each in missing]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ([], ["$SHOP_KEY"])),
        ({"SHOP_KEY": ""}, ([], ["$SHOP_KEY"])),
        ({"SHOP_KEY": "x"}, (["$SHOP_KEY"], [])),
        ({"SHOP_TOKEN": "x"}, (["$SHOP_TOKEN"], [])),
        ({"SHOP_TOKEN": "x", "SHOP_KEY": "x"}, (["$SHOP_KEY"], [])),
    ],
)
def test_a_service_is_found_by_the_variable_of_its_key(
    variables: dict[str, str], expected: tuple[list[str], list[str]]
) -> None:
    assert sources_of(SHOP, **variables) == expected


def test_a_server_is_looked_for_on_this_machine_with_or_without_a_key() -> None:
    urls = ["http://127.0.0.1:7000", "http://localhost:7001"]

    assert sources_of(SERVER) == (urls, [])
    assert sources_of(SERVER, SERVER_LOGIN="x") == (urls, [])


@pytest.mark.parametrize(
    ("modules", "there"), [(("json", "ast"), True), (("json", "no_such_module"), False)]
)
def test_a_library_is_found_if_all_its_modules_are_installed(
    modules: tuple[str, ...], there: bool
) -> None:
    words = " and ".join(modules)

    found = sources_of(
        Adapter(summary="A library.", options=Library, create=create, modules=modules)
    )

    assert found == (([words], []) if there else ([], [words]))


def test_what_the_config_uses_is_left_out() -> None:
    key = {"SHOP_KEY": "x"}
    elsewhere = Options(base_url="https://proxy.example")

    assert sources_of(SHOP, Options(), **key) == ([], [])
    assert sources_of(SHOP, elsewhere, **key) == (["$SHOP_KEY"], [])
    assert sources_of(SERVER, Own(base_url="http://127.0.0.1:7001/")) == (
        ["http://127.0.0.1:7000"],
        [],
    )


def test_what_was_found_is_described_with_what_is_missing() -> None:
    found = FoundBackend(
        name="it",
        adapter="it",
        words="http://box",
        keys={},
        preset={"workflow": "a"},
        findings=(
            Readiness(name="server", ready=True, note="It 1.2"),
            Readiness(name="file a", ready=False, note="not there"),
            Readiness(name="file b", ready=False, note="not there"),
            Readiness(name="file c", ready=False, note="not there"),
        ),
    )

    assert not found.ready
    assert found.text == "http://box, It 1.2"
    assert found.details == [
        "workflow: a",
        "file a: not there",
        "file b: not there",
    ]
