"""Look up adapters by name: built-in ones, and those of installed packages.

Built-in adapters are in a table; any other name is looked up among the entry points of
installed packages. The built-in ones are listed under the same entry point group.
"""

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from imagen.domain.errors import Misconfigured
from imagen.ports.adapter import Adapter

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

AnyAdapter: TypeAlias = Adapter[Any]
"""An adapter with options of an unknown type."""

GROUP = "imagen.backends"
# A table, so that a run with a built-in adapter does not search the metadata of every
# installed package. A test compares it with the entry points of the wheel.
BUILT_IN = {
    "automatic1111": "imagen.adapters.backends.automatic1111.vendor:adapter",
    "bfl": "imagen.adapters.backends.bfl.vendor:adapter",
    "comfyui": "imagen.adapters.backends.comfyui.adapter:adapter",
    "fal": "imagen.adapters.backends.fal.adapter:adapter",
    "gemini": "imagen.adapters.backends.gemini.adapter:adapter",
    "mock": "imagen.adapters.backends.mock.adapter:adapter",
    "openai": "imagen.adapters.backends.openai.adapter:adapter",
    "openrouter": "imagen.adapters.backends.openrouter.adapter:adapter",
    "replicate": "imagen.adapters.backends.replicate.adapter:adapter",
}

# For lists: to import each adapter would take most of the time. A test compares it with
# the adapters.
SUMMARIES = {
    "automatic1111": "Your AUTOMATIC1111, Forge, reForge, SD.Next or sd-server.",
    "bfl": "The FLUX models of Black Forest Labs, from their maker.",
    "comfyui": "A ComfyUI server, local or rented, with any workflow.",
    "fal": "Every image model on fal: FLUX, Nano Banana, Seedream, Qwen.",
    "gemini": "Google's image models: Nano Banana 2.1, Gemini 3 Pro Image.",
    "mock": "A picture drawn from the prompt: offline, free, instant.",
    "openai": "OpenAI's images, and services and servers with its API.",
    "openrouter": "Image models of many providers, with one key; the real cost.",
    "replicate": "Every image model on Replicate: FLUX, Imagen, Ideogram.",
}


def find_adapter(name: str) -> AnyAdapter:
    """Return the adapter of that name, importing its module and no other adapter.

    Raises:
        Misconfigured: no adapter has that name, or it cannot be loaded.
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
                f"The adapter {name!r} cannot be loaded: {error}.",
                hint=f"Reinstall the package that provides {entry.value}.",
            ) from error
    from imagen.domain.suggestion import suggest  # noqa: PLC0415 - rare

    names = adapter_names()
    known = f"Installed: {', '.join(names)}."
    raise Misconfigured(f"Unknown adapter {name!r}.", hint=suggest(name, names, known))


def describe_adapter(name: str) -> str:
    """Return the summary of an adapter, without importing a built-in one.

    Raises:
        Misconfigured: no adapter has that name, or it cannot be loaded.
    """
    return SUMMARIES.get(name) or find_adapter(name).summary


def adapter_names() -> list[str]:
    """Return the names of all adapters, without importing any."""
    return sorted({*BUILT_IN, *_find_entry_points()})


def installed_adapters() -> dict[str, AnyAdapter]:
    """Return all adapters by name, except those that cannot be loaded."""
    found: dict[str, AnyAdapter] = {}
    for name in adapter_names():
        with suppress(Misconfigured):  # `imagen backends list` has the reason
            found[name] = find_adapter(name)
    return found


def _find_entry_points() -> "dict[str, EntryPoint]":
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _check_adapter(name: str, found: object) -> AnyAdapter:
    if not isinstance(found, Adapter):
        raise Misconfigured(
            f"The entry point of the adapter {name!r} is not an imagen Adapter.",
            hint="It must name an instance of imagen.backend.Adapter.",
        )
    return found  # pyright: ignore[reportUnknownVariableType] - its options have any type
