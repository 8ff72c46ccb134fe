"""Generate image files from prompts, through any backend.

Example:
    >>> import imagen
    >>> image = imagen.generate("a cat in a fishbowl", seed=42)  # doctest: +SKIP
    >>> image.path  # doctest: +SKIP
"""

from imagen.version import __version__

# Type checkers know the name. Importing `typing` would double the import time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from imagen.api.functions import agenerate as agenerate
    from imagen.api.functions import estimate as estimate
    from imagen.api.functions import generate as generate
    from imagen.api.functions import inspect as inspect
    from imagen.api.functions import rerun as rerun
    from imagen.api.functions import sweep as sweep
    from imagen.api.records import history as history
    from imagen.api.records import jobs as jobs
    from imagen.api.records import models as models
    from imagen.api.records import resume as resume
    from imagen.api.records import usage as usage
    from imagen.api.results import Image as Image
    from imagen.api.results import Images as Images
    from imagen.api.results import Jobs as Jobs
    from imagen.api.results import Sweep as Sweep
    from imagen.api.studio import Studio as Studio
    from imagen.domain.errors import BackendError as BackendError
    from imagen.domain.errors import Cancelled as Cancelled
    from imagen.domain.errors import ImagenError as ImagenError
    from imagen.domain.errors import InvalidRequest as InvalidRequest
    from imagen.domain.errors import JournalError as JournalError
    from imagen.domain.errors import Misconfigured as Misconfigured
    from imagen.domain.errors import NotAsRequested as NotAsRequested
    from imagen.domain.errors import OutOfCredit as OutOfCredit
    from imagen.domain.errors import OverBudget as OverBudget
    from imagen.domain.errors import Refused as Refused
    from imagen.domain.errors import SomeImagesFailed as SomeImagesFailed
    from imagen.domain.errors import StorageError as StorageError
    from imagen.domain.errors import Throttled as Throttled
    from imagen.domain.errors import TimedOut as TimedOut
    from imagen.domain.errors import Unauthorized as Unauthorized
    from imagen.domain.errors import Unavailable as Unavailable
    from imagen.domain.errors import Unfinished as Unfinished
    from imagen.domain.errors import UnknownOwner as UnknownOwner
    from imagen.domain.errors import Unsupported as Unsupported
    from imagen.domain.estimate import Estimate as Estimate
    from imagen.domain.inspection import Inspection as Inspection
    from imagen.domain.money.usage import UsageRow as UsageRow
    from imagen.domain.money.usage import UsageTotal as UsageTotal
    from imagen.usecases.jobs import UnfinishedCommand as UnfinishedCommand
    from imagen.usecases.jobs import UnfinishedJob as UnfinishedJob
    from imagen.usecases.models import BackendModels as BackendModels
    from imagen.usecases.models import ModelInfo as ModelInfo
    from imagen.usecases.usage import UsageReport as UsageReport

# A test compares the imports above, which type checkers read, with this table.
_NAMES = {
    "imagen.api.functions": "agenerate estimate generate inspect rerun sweep",
    "imagen.api.records": "history jobs models resume usage",
    "imagen.api.results": "Image Images Jobs Sweep",
    "imagen.api.studio": "Studio",
    "imagen.domain.errors": "BackendError Cancelled ImagenError InvalidRequest"
    " JournalError Misconfigured NotAsRequested OutOfCredit OverBudget Refused"
    " SomeImagesFailed StorageError Throttled TimedOut Unauthorized Unavailable"
    " Unfinished UnknownOwner Unsupported",
    "imagen.domain.estimate": "Estimate",
    "imagen.domain.inspection": "Inspection",
    "imagen.domain.money.usage": "UsageRow UsageTotal",
    "imagen.usecases.jobs": "UnfinishedCommand UnfinishedJob",
    "imagen.usecases.models": "BackendModels ModelInfo",
    "imagen.usecases.usage": "UsageReport",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - the names are resolved lazily

    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
