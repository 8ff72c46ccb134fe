"""Prometheus metrics of the server."""

from functools import partial

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

# Generating an image takes from a fraction of a second to minutes; the default
# buckets of prometheus_client end at 10 s.
_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600)


class Metrics:
    """Counters and gauges, all zero when the server starts."""

    def __init__(self) -> None:
        # A registry of its own: the library's global one would also export metrics of
        # the Python interpreter, and refuse a second server in one process.
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        self._images = counter("imagen_images", "Images stored.", ["backend"])
        self._failed = counter(
            "imagen_failed_images",
            "Images that failed, by error code.",
            ["backend", "code"],
        )
        self._cost = counter(
            "imagen_cost_usd",
            "Known cost of stored images in US dollars.",
            ["backend"],
        )
        self._seconds = Histogram(
            "imagen_image_seconds",
            "Duration of calls to a backend in seconds.",
            ["backend"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.requests_open = gauge(
            "imagen_requests_open", "Image requests that are not finished."
        )
        self.running = gauge(
            "imagen_requests_running",
            "Requests that a backend works on.",
            ["backend"],
        )
        self.waiting = gauge(
            "imagen_requests_waiting", "Requests that wait for a backend.", ["backend"]
        )

    def count(self, backend: str, outcome: StoredImage | FailedImage) -> None:
        """Count a stored or failed image; thread-safe."""
        if isinstance(outcome, StoredImage):
            for image in (outcome, *outcome.extras):
                self._images.labels(backend).inc()
                self._cost.labels(backend).inc(image.sidecar.cost_usd or 0.0)
            self._seconds.labels(backend).observe(outcome.sidecar.latency_ms / 1000)
        else:
            error = outcome.error
            code = error.code if isinstance(error, ImagenError) else "internal_error"
            self._failed.labels(backend, code).inc()

    def render(self) -> str:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry).decode()
