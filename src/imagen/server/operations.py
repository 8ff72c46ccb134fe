"""Routes for whoever looks after the server."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import get

from imagen.version import __version__


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """That the server is there."""

    status: str = "ok"
    version: str = __version__


@get("/health", tags=["operations"], sync_to_thread=False)
def health() -> Health:
    """Say that the server is there; needs no key."""
    return Health()


routes: Sequence[Any] = (health,)
"""What this module answers."""

OPEN = ("/health",)
"""Which of it needs no key."""
