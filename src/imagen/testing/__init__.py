"""Contract tests and fakes for adapter authors.

Example:
    The complete test module of a backend::

        class TestMyBackend(BackendContract):
            @pytest.fixture
            def backend(self) -> ImageBackend:
                return MyBackend(...)
"""

try:
    import pytest
except ModuleNotFoundError as missing:
    if missing.name != "pytest":
        raise
    raise ModuleNotFoundError(
        "imagen.testing needs pytest: install imagen-studio[testing].", name="pytest"
    ) from missing

# pytest explains the values of a failed `assert` only in modules that it rewrites, and
# outside the tests it rewrites only those that are registered before their import.
pytest.register_assert_rewrite("imagen.testing.contracts")

from imagen.testing.cloud import MemoryCloud, MemorySharedLedger  # noqa: E402
from imagen.testing.contracts.backend import BackendContract  # noqa: E402
from imagen.testing.contracts.base import Contract  # noqa: E402
from imagen.testing.contracts.clock import ClockContract  # noqa: E402
from imagen.testing.contracts.cloud import (  # noqa: E402
    CloudContract,
    SharedLedgerContract,
)
from imagen.testing.contracts.delivery_queue import (  # noqa: E402
    DeliveryQueueContract,
    DeliveryQueues,
)
from imagen.testing.contracts.history import HistoryContract  # noqa: E402
from imagen.testing.contracts.images import ImageEditorContract  # noqa: E402
from imagen.testing.contracts.journal import JournalContract  # noqa: E402
from imagen.testing.contracts.ledger import LedgerContract  # noqa: E402
from imagen.testing.contracts.requests import RequestKeysContract  # noqa: E402
from imagen.testing.contracts.spool import SpoolContract  # noqa: E402
from imagen.testing.contracts.storage import StorageContract  # noqa: E402
from imagen.testing.delivery import (  # noqa: E402
    MemoryImageQueue,
    MemorySpool,
    MemoryUndeliveredUsage,
    MemoryUsageQueue,
)
from imagen.testing.fakes import (  # noqa: E402
    CancelledContext,
    FakeClock,
    MemoryStorage,
    PlainEditor,
    RecordingContext,
    ResumableScriptedBackend,
    ScriptedBackend,
    StoppableContext,
    tiny_png,
)
from imagen.testing.requests import MemoryRequestKeys  # noqa: E402
from imagen.testing.stores import (  # noqa: E402 - see above
    MemoryHistory,
    MemoryJournal,
    MemoryLedger,
)

__all__ = [
    "BackendContract",
    "CancelledContext",
    "ClockContract",
    "CloudContract",
    "Contract",
    "DeliveryQueueContract",
    "DeliveryQueues",
    "FakeClock",
    "HistoryContract",
    "ImageEditorContract",
    "JournalContract",
    "LedgerContract",
    "MemoryCloud",
    "MemoryHistory",
    "MemoryImageQueue",
    "MemoryJournal",
    "MemoryLedger",
    "MemoryRequestKeys",
    "MemorySharedLedger",
    "MemorySpool",
    "MemoryStorage",
    "MemoryUndeliveredUsage",
    "MemoryUsageQueue",
    "PlainEditor",
    "RecordingContext",
    "RequestKeysContract",
    "ResumableScriptedBackend",
    "ScriptedBackend",
    "SharedLedgerContract",
    "SpoolContract",
    "StoppableContext",
    "StorageContract",
    "tiny_png",
]
