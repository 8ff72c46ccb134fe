"""From an adapter's name to what builds its backends.

Built-in adapters are found in a table, so that a run with one of them never looks at
what else is installed. Any other name is looked up among the entry points of installed
packages. Both are the same kind of thing, and both are listed under the same group.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from imagen.domain.errors import Misconfigured
from imagen.domain.suggestion import suggest_name
from imagen.ports.backend import Adapter

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

AnyAdapter: TypeAlias = Adapter[Any]
"""An adapter whose options nobody but itself knows."""

GROUP = "imagen.backends"
BUILT_IN = {
    "comfyui": "imagen.adapters.backends.comfyui.adapter:adapter",
    "mock": "imagen.adapters.backends.mock.adapter:adapter",
    "replicate": "imagen.adapters.backends.replicate.adapter:adapter",
}


def find_adapter(name: str) -> AnyAdapter:
    """Return the adapter, importing its module and nothing else.

    Raises:
        Misconfigured: there is none of that name, or it cannot be loaded.
    """
    if target := BUILT_IN.get(name):
        module, _, attribute = target.partition(":")
        return _check_adapter(name, getattr(import_module(module), attribute))
    entry = _find_entry_points().get(name)
    if entry is not None:
        try:
            return _check_adapter(name, entry.load())
        except (ImportError, AttributeError) as error:
            raise Misconfigured(
                f"The adapter {name!r} of another package cannot be loaded: {error}.",
                hint=f"It is {entry.value}; reinstall the package it comes from.",
            ) from error
    names = adapter_names()
    near = suggest_name(name, names)
    raise Misconfigured(
        f"There is no adapter called {name!r}.",
        hint=f"Did you mean {near}?" if near else f"There are: {', '.join(names)}.",
    )


def adapter_names() -> list[str]:
    """Return every name there is, without importing any adapter."""
    return sorted({*BUILT_IN, *_find_entry_points()})


def built_in_adapters() -> dict[str, AnyAdapter]:
    """Return the adapters that come with imagen, by name."""
    return {name: find_adapter(name) for name in BUILT_IN}


def _find_entry_points() -> "dict[str, EntryPoint]":
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _check_adapter(name: str, found: object) -> AnyAdapter:
    if not isinstance(found, Adapter):
        raise Misconfigured(
            f"What is installed as the adapter {name!r} is no imagen Adapter.",
            hint="Its entry point must name an imagen.ports.backend.Adapter.",
        )
    return found  # pyright: ignore[reportUnknownVariableType] - only itself knows its options
