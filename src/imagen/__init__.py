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
    from imagen.api.results import Image as Image
    from imagen.api.results import Images as Images
    from imagen.api.results import Sweep as Sweep
    from imagen.api.studio import Studio as Studio
    from imagen.domain.errors import BackendError as BackendError
    from imagen.domain.errors import Cancelled as Cancelled
    from imagen.domain.errors import ImagenError as ImagenError
    from imagen.domain.errors import InvalidRequest as InvalidRequest
    from imagen.domain.errors import JournalError as JournalError
    from imagen.domain.errors import Misconfigured as Misconfigured
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

_FUNCTIONS = "imagen.api.functions"
_RESULTS = "imagen.api.results"
_ERRORS = "imagen.domain.errors"
_HOME = {
    "BackendError": _ERRORS,
    "Cancelled": _ERRORS,
    "Estimate": "imagen.domain.estimate",
    "Image": _RESULTS,
    "Images": _RESULTS,
    "ImagenError": _ERRORS,
    "Inspection": "imagen.domain.inspection",
    "InvalidRequest": _ERRORS,
    "JournalError": _ERRORS,
    "Misconfigured": _ERRORS,
    "OutOfCredit": _ERRORS,
    "OverBudget": _ERRORS,
    "Refused": _ERRORS,
    "SomeImagesFailed": _ERRORS,
    "StorageError": _ERRORS,
    "Studio": "imagen.api.studio",
    "Sweep": _RESULTS,
    "Throttled": _ERRORS,
    "TimedOut": _ERRORS,
    "UnknownOwner": _ERRORS,
    "Unauthorized": _ERRORS,
    "Unavailable": _ERRORS,
    "Unfinished": _ERRORS,
    "Unsupported": _ERRORS,
    "agenerate": _FUNCTIONS,
    "estimate": _FUNCTIONS,
    "generate": _FUNCTIONS,
    "inspect": _FUNCTIONS,
    "rerun": _FUNCTIONS,
    "sweep": _FUNCTIONS,
}

# A test compares the imports above, which type checkers read, with this table.
__all__ = ["__version__", *_HOME]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module  # noqa: PLC0415 - the names are resolved lazily

    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
