"""The settings, environment, stores and backends that use cases are built from."""

import os
import sys
from contextlib import ExitStack
from pathlib import PurePosixPath
from threading import RLock
from typing import TYPE_CHECKING, Self

from imagen.bootstrap.stores import Stores
from imagen.domain.errors import InvalidRequest, Misconfigured
from imagen.settings.environment import Environment

if TYPE_CHECKING:
    from imagen.domain.money.budget import Budget
    from imagen.ports.backend import ImageBackend
    from imagen.ports.clock import Clock
    from imagen.settings.model import BackendSettings, Settings


class Runtime:
    """Everything that one process or one `Studio` shares between its requests.

    Opens nothing before it is used, and closes what it opened. Safe for several
    threads.

    Args:
        config: The path of the config file; None for `$IMAGEN_CONFIG` or the default
            path. Read when `settings` is first used.
        settings: The settings, if the config was read already.

    Attributes:
        environment: The environment variables of this process.
        stores: The database of this machine.
        wrote_usage: Whether a usage row was written.
        closed: True after `close`.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        config: str | None = None,
        settings: "Settings | None" = None,
    ) -> None:
        self.environment = environment
        self.stores = Stores(lambda: environment.data_dir)
        self._config = config
        self._settings = settings
        self._backends: dict[str, ImageBackend] = {}
        self.wrote_usage = self.closed = False
        # Reentrant: building a backend reads the settings.
        self._lock = RLock()

    @classmethod
    def load(cls, config: str | None, *, environment: Environment) -> Self:
        """Return a runtime whose config is read now."""
        runtime = cls(environment, config=config)
        runtime._settings = runtime.settings
        return runtime

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def settings(self) -> "Settings":
        """The settings of the config file.

        Raises:
            Misconfigured: the config file is missing, or something in it is wrong.
        """
        with self._lock:
            if self._settings is None:
                self._settings = _load_settings(self._config, self.environment)
            return self._settings

    def replace_budgets(self, budgets: "tuple[Budget, ...]") -> None:
        """Apply other budgets to the calls from now on."""
        from msgspec.structs import replace  # noqa: PLC0415 - only for the server

        with self._lock:
            self._settings = replace(self.settings, budgets=budgets)

    def mark_usage(self) -> None:
        """Note that a usage row was written."""
        self.wrote_usage = True

    @property
    def clock(self) -> "Clock":
        """The clock of this machine."""
        from imagen.adapters.system.clock import SystemClock  # noqa: PLC0415 - not for all

        return SystemClock()

    def find_backend(self, name: str | None) -> "BackendSettings":
        """Return the settings of a backend; None for the default one.

        Raises:
            InvalidRequest: the config has no backend of that name, or no default one.
        """
        settings = self.settings
        chosen = settings.default_backend if name is None else name
        if chosen is None:
            from imagen.domain.instance import build_default_error  # noqa: PLC0415 - rare

            raise build_default_error(settings.backends)
        if chosen not in settings.backends:
            from imagen.settings.secrets import display_value  # noqa: PLC0415 - rare

            raise InvalidRequest(
                f"Unknown backend {display_value(chosen)}.",
                hint=f"Configured backends: {', '.join(settings.backends)}.",
            )
        return settings.backends[chosen]

    def build_backend(self, name: str | None) -> "ImageBackend":
        """Build a backend that the caller closes; None for the default one.

        The adapter gets its own options and its own secrets, and nothing else.

        Raises:
            InvalidRequest: the config has no backend of that name.
            ImagenError: the adapter cannot be built with these options.
        """
        from imagen.ports.adapter import BackendContext  # noqa: PLC0415 - not for all
        from imagen.registry import find_adapter  # noqa: PLC0415

        chosen = self.find_backend(name)
        adapter = find_adapter(chosen.instance.adapter)
        context = BackendContext(
            name=chosen.instance.name,
            secrets=self.environment.secrets_for(chosen.options),
            clock=self.clock,
            cache=PurePosixPath(self.environment.cache_dir),
        )
        return adapter.create(chosen.options, context)

    def get_backend(self, name: str | None) -> "ImageBackend":
        """Return the one backend of that name, built on first use.

        Closed by `close`; the caller must not close it.

        Raises:
            InvalidRequest: the config has no backend of that name, or this runtime is
                closed.
            ImagenError: the adapter cannot be built with these options.
        """
        with self._lock:
            if self.closed:
                raise InvalidRequest("The backends are closed already.")
            name = self.find_backend(name).instance.name
            if name not in self._backends:
                self._backends[name] = self.build_backend(name)
            return self._backends[name]

    def close(self) -> None:
        """Close the backends, then the database. Safe to call twice."""
        with self._lock:
            self.closed = True
            backends, self._backends = list(self._backends.values()), {}
        with ExitStack() as closing:
            # Last, and also if a backend fails to close: the process lock goes with it.
            closing.callback(self.stores.close)
            if backends:
                from imagen.ports.backend import CloseableBackend  # noqa: PLC0415

                for backend in backends:
                    if isinstance(backend, CloseableBackend):
                        closing.callback(backend.close)


def find_caller(environment: Environment) -> str:
    """Return the name of the caller, for the ledger; "" if it is unknown."""
    if not (environment.caller or environment.tmux):
        # Neither a variable nor a tmux pane has a name: two modules need not be loaded.
        return ""
    from imagen.adapters.system import caller  # noqa: PLC0415 - only to generate

    return caller.find_caller(environment)


def load_server_secret(environment: Environment) -> bytes:
    """Return the key that signs URLs; the same after a restart, if it can be stored."""
    from imagen.adapters.system import server_secret  # noqa: PLC0415 - only to serve

    return server_secret.load_secret(lambda: environment.data_dir)


def count_processors() -> int:
    """Return the number of cores that this process may use."""
    if sys.platform == "linux":
        # os.cpu_count ignores taskset and the cpusets of containers.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load_settings(config: str | None, environment: Environment) -> "Settings":
    if sys.platform == "win32":
        raise Misconfigured(
            "imagen runs on Linux and macOS; Windows is not supported yet.",
            hint="Inside the Windows Subsystem for Linux it works.",
        )
    from imagen.registry import find_adapter  # noqa: PLC0415 - `imagen usage` has no config
    from imagen.settings.load import load_settings  # noqa: PLC0415

    return load_settings(config, environment=environment, adapter_of=find_adapter)
