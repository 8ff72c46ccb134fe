"""The models of OpenRouter: read from the API, and kept for the next process."""

from collections.abc import Generator
from pathlib import Path
from threading import Lock

from imagen.adapters.backends.openrouter.endpoints import (
    Endpoint,
    ModelDescription,
    read_description,
)
from imagen.adapters.backends.openrouter.request import describe_model
from imagen.adapters.remote.json_values import as_list, as_mapping
from imagen.adapters.remote.models.cache import DescriptionCache
from imagen.adapters.remote.vendor import (
    Exchange,
    HttpRequest,
    HttpResponse,
    quote_segment,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import InvalidRequest
from imagen.domain.size import Size, SizeRule
from imagen.domain.suggestion import suggest
from imagen.ports.clock import Clock


class ModelCatalog:
    """The models, and the providers of each that the config allows.

    Attributes:
        default: The default model.
        pinned: Whether the config names the providers.
    """

    def __init__(
        self,
        *,
        default: str,
        providers: tuple[str, ...],
        url: str,
        folder: Path | None,
        clock: Clock,
    ) -> None:
        """Create an empty catalog.

        Args:
            default: The default model.
            providers: Tags or slugs of the providers that may be used; () for all.
            url: The address of the API.
            folder: The folder for cache files; None keeps none.
            clock: The time, for the age of the files and the dates of prices.
        """
        self.default = default
        self.pinned = bool(providers)
        self._providers = providers
        self._clock = clock
        self._cache = DescriptionCache(
            ModelDescription,
            url=url,
            folder=None if folder is None else folder / "openrouter",
            clock=clock,
        )
        self._lock = Lock()
        self._known: dict[str, ModelDescription] = {}
        self._own: Capabilities | None = None

    def capabilities(self) -> Capabilities:
        """Return the capabilities of the default model, without network.

        They are minimal unless an earlier process has read its description.
        """
        # Computed once: the port promises the same answer every time.
        with self._lock:
            if self._own is None:
                known = self._cache.read(self.default) or ModelDescription()
                found = known.serving(self._providers)
                self._own = (
                    describe_model(self.default, found)
                    if found
                    else Capabilities(
                        model=self.default,
                        models=None,
                        sizes=SizeRule(choices=(Size(),)),
                        parameters=None,
                    )
                )
            return self._own

    def find_endpoints(self, model: str) -> Exchange[tuple[Endpoint, ...]]:
        """Return the endpoints of a model that may be used.

        Raises:
            InvalidRequest: there is none.
        """
        known = self._known.get(model) or self._cache.read(model)
        if known is None:
            known = yield from self._read(model)
            self._cache.write(model, known)
        self._known[model] = known
        found = known.serving(self._providers)
        if not found:
            tags = ", ".join(each.tag for each in known.endpoints) or "none"
            raise InvalidRequest(
                f"{model} has none of the providers that the config allows.",
                hint=f"Its providers: {tags}.",
            )
        return found

    def _read(self, model: str) -> Exchange[ModelDescription]:
        """Read the endpoints of a model; suggest others if there is no such model."""
        path = "/".join(quote_segment(part) for part in model.split("/", 1))
        try:
            response = yield HttpRequest(path=f"images/models/{path}/endpoints")
        except InvalidRequest as error:
            names = yield from _list_models()
            raise InvalidRequest(
                f"OpenRouter has no image model {model!r}.",
                hint=suggest(model, names, f"Such as {', '.join(names[:5])}."),
            ) from error
        day = self._clock.now().date().isoformat()
        return read_description(response.json(object), day=day)


def _list_models() -> Generator[HttpRequest, HttpResponse, list[str]]:
    response = yield HttpRequest(path="images/models")
    entries = as_list(as_mapping(response.json(object)).get("data"))
    return [str(as_mapping(entry).get("id")) for entry in entries]
