"""A configured backend: its name, its adapter and its settings."""

from collections.abc import Iterable

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.money.price import Price
from imagen.domain.size import Size

DEFAULT_TIMEOUT = 600.0
"""Seconds for one image, unless the flag, the instance or the model sets others."""


def build_default_error(names: Iterable[str]) -> InvalidRequest:
    """Return the error of a request without a backend, if there is no default one."""
    return InvalidRequest(
        "The request names no backend, and the config has several without a "
        f"default_backend: {', '.join(names)}.",
        hint="Name one of them, or set default_backend in the config.",
    )


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One entry under `backends` in the config.

    Attributes:
        size: Default size, used if neither the request nor its style sets one.
        steps: Default number of steps, used in the same way; 0 leaves the number to the
            backend.
        timeout: Seconds for one image; None uses that of the model.
        concurrency: Maximum number of concurrent calls for one request.
        price: Price from the config; takes precedence over the price table.
    """

    name: str
    adapter: str
    size: Size | None = None
    steps: int = 0
    timeout: float | None = None
    concurrency: int = 1
    price: Price | None = None

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InvalidRequest("steps must be 0 or more.")
        if self.timeout is not None and not 0 < self.timeout < float("inf"):
            raise InvalidRequest("timeout must be a number of seconds above 0.")
        if self.concurrency < 1:
            raise InvalidRequest("concurrency must be 1 or more.")
