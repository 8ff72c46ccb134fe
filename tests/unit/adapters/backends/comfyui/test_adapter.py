from typing import Any

import msgspec
import pytest

from imagen.adapters.backends.comfyui.adapter import adapter
from imagen.domain.errors import Misconfigured
from imagen.ports.adapter import BackendContext, Secrets
from imagen.ports.backend import ImageBackend
from imagen.testing.fakes import FakeClock


def build(secrets: Secrets | None = None, **options: Any) -> ImageBackend:
    return adapter.create(
        msgspec.convert(options, adapter.options),
        BackendContext(name="comfy", clock=FakeClock(), secrets=secrets or Secrets()),
    )


def test_ones_own_server_costs_nothing() -> None:
    assert not build().capabilities().may_cost


@pytest.mark.parametrize(
    "options", [{"api_key_env": "KEY"}, {"headers_env": {"X-API-Key": "KEY"}}]
)
def test_a_server_that_wants_a_key_may_cost(options: dict[str, object]) -> None:
    assert build(**options).capabilities().may_cost


def test_shows_no_secret() -> None:
    backend = build(Secrets({"api_key_env": "canary-1"}), api_key_env="KEY")

    assert "canary-1" not in repr(backend)


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "localhost:8188"},
        {"base_url": "ftp://localhost"},
        {"base_url": "http://localhost:8188/?x=1"},
        {"workflow": ""},
        {"prefix": "../up"},
        {"prefix": "/etc/x"},
        {"prefix": "a\nb"},
        {"pose": "straight"},
    ],
    ids=str,
)
def test_refuses_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        build(**options)


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8188", "https://comfy.example/base", "http://[::1]:8188/"],
)
def test_takes_any_address(url: str) -> None:
    build(base_url=url)


def test_names_the_instance_whose_workflow_is_missing() -> None:
    with pytest.raises(Misconfigured, match=r"^comfy: "):
        build(workflow="flux-schnel")
