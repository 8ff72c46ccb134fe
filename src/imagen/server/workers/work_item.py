"""The data that a worker process needs to run a request."""

import msgspec

from imagen.bootstrap.output import OutputOptions
from imagen.domain.idempotency import RequestKey
from imagen.domain.request import GenerationRequest

ORIGIN = "serve"
"""The `origin` of the server's calls in the journal."""


class WorkItem(msgspec.Struct, frozen=True, kw_only=True):
    """A validated request; it can be pickled.

    Attributes:
        backend: The name of the backend.
        request: The images to generate.
        caller: The name of the caller.
        output: The format of the files.
        live: True if previews are wanted; ignored if the backend has none.
        report_progress: True if progress and previews are sent to the server.
        key: The idempotency key; the calls are recorded with it before they are sent.
    """

    backend: str
    request: GenerationRequest
    caller: str = ""
    output: OutputOptions = OutputOptions()
    live: bool = False
    report_progress: bool = False
    key: RequestKey | None = None
