"""How an adapter registers, and what its backends are built with."""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from imagen.ports.backend import ImageBackend
    from imagen.ports.clock import Clock

OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)


class Secrets:
    """The secrets of one instance, by config key. The `repr` shows their number."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __repr__(self) -> str:
        return f"<{len(self._values)} secrets>"

    def get(self, key: str) -> str | None:
        """Return the value of the environment variable that the key names, or None."""
        return self._values.get(key)


class BackendContext(msgspec.Struct, frozen=True, kw_only=True):
    """The environment of a backend, besides its own options.

    Attributes:
        name: The instance's name, for messages.
        secrets: Values of the environment variables named by its `*_env` options.
        clock: The time, for measurements.
        cache: Folder for data that can be requested again, which may not exist yet;
            None if nothing may be cached.
    """

    name: str
    clock: "Clock"
    secrets: Secrets = Secrets()
    cache: PurePosixPath | None = None


class Adapter(msgspec.Struct, Generic[OptionsT], frozen=True, kw_only=True):
    """A factory of backends, registered as an entry point in `imagen.backends`.

    Attributes:
        summary: The purpose, in half a line.
        options: The Struct of the adapter's config block. Unknown keys are rejected;
            error messages describe valid values by the types and `msgspec.Meta`. The
            sample config shows each `description` of the built-in adapters.
        create: Builds one instance. The return type is the port.
        multiprocess: Whether a server may use the backend in several processes at once;
            False for a backend that holds a model in memory.
        ports: Ports of this machine at which its server may listen, besides that of
            the default `base_url`. `imagen setup` looks there.
        modules: Python modules that it needs and that imagen does not install.
        presets: Options that `imagen setup` tries in this order, until a check finds
            them ready; such as one for each model that a server may have.

    `imagen setup` finds a server at the default `base_url`, if that is on this machine;
    and a service by the variable of its key: the default of an option whose name ends
    in `_env`, or one of the examples of that option.
    """

    summary: str
    options: type[OptionsT]
    create: Callable[[OptionsT, BackendContext], "ImageBackend"]
    multiprocess: bool = False
    ports: tuple[int, ...] = ()
    modules: tuple[str, ...] = ()
    presets: tuple[Mapping[str, object], ...] = ()
