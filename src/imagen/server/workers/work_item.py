"""What a worker is asked to make: data alone, for it lives in another process."""

from typing import Protocol

import msgspec

from imagen.bootstrap.output import OutputOptions
from imagen.bootstrap.runtime import Runtime
from imagen.domain.idempotency import RequestKey
from imagen.domain.request import GenerationRequest
from imagen.usecases.generate import GenerateImages

ORIGIN = "serve"
"""How the journal calls what was asked for here."""


class RequestSpec(Protocol):
    """Says what is wanted; can be pickled."""

    def request(self, maker: GenerateImages, runtime: Runtime) -> GenerationRequest:
        """Return it, once it is known who makes it.

        Raises:
            Failure, ImagenError: it makes no sense, or not to that backend.
        """
        ...


class WorkItem(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants made.

    Attributes:
        backend: The instance that makes it.
        ask: Says what.
        count: How many images.
        caller: Who wants it.
        wish: Where the files go.
        live: Whether previews are wanted, if the backend has them.
        told: Whether somebody hears how far it is.
        key: Under which the calls are written down before any of them is made.
    """

    backend: str
    ask: RequestSpec
    count: int = 1
    caller: str = ""
    wish: OutputOptions = OutputOptions()
    live: bool = False
    report_progress: bool = False
    key: RequestKey | None = None
