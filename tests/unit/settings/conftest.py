from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from imagen.domain.errors import Misconfigured
from imagen.domain.size import Size
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend
from imagen.settings.document import parse
from imagen.settings.environment import Environment
from imagen.settings.model import Settings
from imagen.settings.tree import ConfigProblem
from imagen.settings.validate import InvalidConfig, validate


class Lora(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    weight: float = 1


class FakeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One option of each type that an adapter may have."""

    delay: Annotated[
        float, Meta(ge=0, description="How long.", extra={"unit": "seconds"})
    ] = 0
    ending: Annotated[Literal["ok", "refused"], Meta(description="How it ends.")] = "ok"
    model: Annotated[str, Meta(description="What draws.")] = "one"
    api_key_env: Annotated[
        str | None, Meta(description="The variable.", examples=["FAKE_KEY"])
    ] = None
    headers_env: Annotated[Mapping[str, str], Meta(description="More of them.")] = {}
    loras: Annotated[tuple[Lora, ...], Meta(description="Added weights.")] = ()
    workflow: Annotated[Path | None, Meta(description="A file.")] = None
    largest: Annotated[Size | None, Meta(description="The largest.")] = None
    lively: Annotated[bool, Meta(description="Whether it moves.")] = False

    def __post_init__(self) -> None:
        if self.model == "none":
            raise Misconfigured("The model is none.", hint="Name one.")


def create(options: FakeOptions, context: BackendContext) -> ImageBackend:
    raise NotImplementedError


ADAPTERS: dict[str, Adapter[Any]] = {
    "mock": Adapter(summary="Draws by itself.", options=FakeOptions, create=create)
}


def find(name: str) -> Adapter[Any]:
    if name in ADAPTERS:
        return ADAPTERS[name]
    raise Misconfigured(f"There is no adapter {name!r}.", hint="There is mock.")


@pytest.fixture
def adapters() -> dict[str, Adapter[Any]]:
    return ADAPTERS


@pytest.fixture
def adapter_of() -> Callable[[str], Adapter[Any]]:
    return find


@pytest.fixture(scope="session")
def settings_of() -> Callable[[str], Settings]:
    """Read the text of a config, in which $HOME is /home/ada."""
    expand = Environment({"HOME": "/home/ada", "PICTURES": "/pictures"}).expand_path

    def read(text: str) -> Settings:
        document = parse(text.encode(), source="imagen.yaml")
        return validate(document, adapter_of=find, expand=expand)

    return read


@pytest.fixture(scope="session")
def problems_of(
    settings_of: Callable[[str], Settings],
) -> Callable[[str], tuple[ConfigProblem, ...]]:
    def read(text: str) -> tuple[ConfigProblem, ...]:
        with pytest.raises(InvalidConfig) as caught:
            settings_of(text)
        return caught.value.problems

    return read
