"""A configured backend: its name, its adapter, and what the config says of it."""

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.money.price import Price
from imagen.domain.size import Size

DEFAULT_TIMEOUT = 600.0
"""Seconds for one image, unless the flag or the instance says otherwise."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One entry under `backends` in the config.

    Attributes:
        name: What the user calls it.
        adapter: Which adapter it is an instance of.
        size: Used unless the request or its style names one.
        steps: Likewise; 0 leaves it to the backend.
        timeout: Seconds for one image.
        concurrency: Calls that may run at once for one request.
        price: What the user says that a call costs; goes before every price table.
    """

    name: str
    adapter: str
    size: Size | None = None
    steps: int = 0
    timeout: float = DEFAULT_TIMEOUT
    concurrency: int = 1
    price: Price | None = None

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InvalidRequest("steps cannot be negative.")
        if not 0 < self.timeout < float("inf"):
            raise InvalidRequest("timeout is a number of seconds above 0.")
        if self.concurrency < 1:
            raise InvalidRequest("concurrency is 1 or more.")
