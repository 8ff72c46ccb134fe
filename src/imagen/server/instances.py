"""The backends of the config, each built once for all who ask for it."""

from threading import Lock

from imagen import bootstrap
from imagen.ports.backend import CloseableBackend, ImageBackend
from imagen.settings.environment import Environment
from imagen.settings.model import BackendSettings, Settings


class BackendCache:
    """Those of one process; may be asked by many threads at once.

    Args:
        settings: The config.
        environment: Where secrets are.
    """

    def __init__(self, settings: Settings, environment: Environment) -> None:
        self._settings = settings
        self._environment = environment
        self._built: dict[str, ImageBackend] = {}
        self._lock = Lock()

    def find(self, name: str | None) -> BackendSettings:
        """Return what the config says of one, or of the default one.

        Raises:
            InvalidRequest: there is none of that name.
        """
        return bootstrap.find_backend(self._settings, name)

    def get(self, name: str) -> ImageBackend:
        """Return the backend, built when it is first asked for."""
        with self._lock:
            if name not in self._built:
                self._built[name] = bootstrap.build_backend(
                    self.find(name), environment=self._environment
                )
            return self._built[name]

    def close(self) -> None:
        """Let go of connections."""
        for backend in self._built.values():
            if isinstance(backend, CloseableBackend):
                backend.close()
