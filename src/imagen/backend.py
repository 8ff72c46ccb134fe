"""The public API for authors of backends: everything that an adapter imports.

Every name here is kept from one version to the next; the modules that define them may
move. Prove an adapter with `imagen.testing.BackendContract`. docs/adapters.md shows the
whole of it.
"""

from imagen.adapters.remote.backend import http_adapter, remote_backend
from imagen.adapters.remote.vendor import (
    Exchange,
    HttpRequest,
    HttpResponse,
    JobAccepted,
    JobFailed,
    JobOutput,
    JobPreview,
    JobRunning,
    JobStatus,
    JobSucceeded,
    PollNow,
    UnreadableResponse,
    Vendor,
    WebSocketRequest,
    basic_auth,
    bearer,
    decode_options,
    quote_segment,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.consumption import UNTOUCHED, Used
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    InvalidRequest,
    Misconfigured,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
    Unsupported,
)
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import Cost, usd_to_micros
from imagen.domain.money.price import ListedPrice, Price, Rate
from imagen.domain.reference import ReferenceImage, ReferenceLimits
from imagen.domain.result import DelayedOutput, Generated, GeneratedImage
from imagen.domain.size import Size, SizeRule
from imagen.formats.container import rgb_png
from imagen.ports.adapter import Adapter, BackendContext, Secrets
from imagen.ports.backend import (
    CheckableBackend,
    CloseableBackend,
    CostBackend,
    ImageBackend,
    LookupBackend,
    PerModelBackend,
    Readiness,
    ResumableBackend,
    WarmupBackend,
)
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext, LiveJobContext

__all__ = [
    "UNTOUCHED",
    "Adapter",
    "BackendContext",
    "BackendError",
    "Cancelled",
    "Capabilities",
    "CheckableBackend",
    "Clock",
    "CloseableBackend",
    "Cost",
    "CostBackend",
    "DelayedOutput",
    "Exchange",
    "Generated",
    "GeneratedImage",
    "HttpRequest",
    "HttpResponse",
    "ImageBackend",
    "ImageJob",
    "ImagenError",
    "InvalidRequest",
    "JobAccepted",
    "JobContext",
    "JobFailed",
    "JobOutput",
    "JobPreview",
    "JobRunning",
    "JobStatus",
    "JobSucceeded",
    "ListedPrice",
    "LiveJobContext",
    "LookupBackend",
    "Misconfigured",
    "OutOfCredit",
    "PerModelBackend",
    "PollNow",
    "Price",
    "Rate",
    "Readiness",
    "ReferenceImage",
    "ReferenceLimits",
    "Refused",
    "ResumableBackend",
    "Secrets",
    "Size",
    "SizeRule",
    "Throttled",
    "Unauthorized",
    "Unavailable",
    "Unfinished",
    "UnreadableResponse",
    "Unsupported",
    "Used",
    "Vendor",
    "WarmupBackend",
    "WebSocketRequest",
    "basic_auth",
    "bearer",
    "decode_options",
    "http_adapter",
    "quote_segment",
    "remote_backend",
    "rgb_png",
    "usd_to_micros",
]
