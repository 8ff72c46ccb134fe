"""What the server counts."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from imagen.domain.errors import ImagenError
from imagen.domain.result import FailedImage, StoredImage

_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600)


class Metrics:
    """Counters of one server, from its start.

    Attributes:
        requests_open: Requests for images that are not over.
        running: Those that a backend works on, by backend.
        waiting: Those that wait for their turn, likewise.
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._images = Counter(
            "imagen_images", "Images stored.", ["backend"], registry=registry
        )
        self._failed = Counter(
            "imagen_failed_images",
            "Images that did not come.",
            ["backend", "code"],
            registry=registry,
        )
        self._cost = Counter(
            "imagen_cost_usd",
            "What is known of the cost.",
            ["backend"],
            registry=registry,
        )
        self._seconds = Histogram(
            "imagen_image_seconds",
            "How long calls to a backend took.",
            ["backend"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.requests_open = Gauge(
            "imagen_requests_open", "Requests that are not over.", registry=registry
        )
        self.running = Gauge(
            "imagen_requests_running",
            "Requests that a backend works on.",
            ["backend"],
            registry=registry,
        )
        self.waiting = Gauge(
            "imagen_requests_waiting",
            "Requests that wait for a backend.",
            ["backend"],
            registry=registry,
        )

    def count(self, backend: str, outcome: StoredImage | FailedImage) -> None:
        """Count what became of an image; from any thread."""
        if isinstance(outcome, StoredImage):
            self._images.labels(backend).inc()
            self._cost.labels(backend).inc(outcome.sidecar.cost_usd or 0.0)
            self._seconds.labels(backend).observe(outcome.sidecar.latency_ms / 1000)
        else:
            error = outcome.error
            code = error.code if isinstance(error, ImagenError) else "internal_error"
            self._failed.labels(backend, code).inc()

    def render(self) -> str:
        """Return all of them as Prometheus reads them."""
        return generate_latest(self._registry).decode()
