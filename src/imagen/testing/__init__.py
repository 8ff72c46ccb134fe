"""Contract tests and fakes for adapter authors.

Example:
    The complete test module of a backend::

        class TestMyBackend(BackendContract):
            @pytest.fixture
            def backend(self) -> ImageBackend:
                return MyBackend(...)
"""

from imagen.adapters.system.installation import format_install_command

try:
    import pytest
except ModuleNotFoundError as missing:
    if missing.name != "pytest":
        raise
    raise ModuleNotFoundError(
        f"imagen.testing needs pytest: {format_install_command('testing')}",
        name="pytest",
    ) from missing

# pytest explains the values of a failed `assert` only in modules that it rewrites, and
# outside the tests it rewrites only those that are registered before their import.
pytest.register_assert_rewrite("imagen.testing.contracts")

from imagen.testing.contracts.backend import BackendContract  # noqa: E402
from imagen.testing.contracts.base import Contract  # noqa: E402
from imagen.testing.contracts.http import HttpBackendContract  # noqa: E402
from imagen.testing.contracts.ledger import LedgerContract  # noqa: E402
from imagen.testing.contracts.storage import StorageContract  # noqa: E402
from imagen.testing.fakes import (  # noqa: E402 - see above
    CancelledContext,
    FakeClock,
    MemoryStorage,
    RecordingContext,
    ResumableScriptedBackend,
    ScriptedBackend,
    StoppableContext,
    tiny_png,
)
from imagen.testing.vendor_stub import (  # noqa: E402 - see above
    RecordedRequest,
    Stub,
    StubResponse,
)

__all__ = [
    "BackendContract",
    "CancelledContext",
    "Contract",
    "FakeClock",
    "HttpBackendContract",
    "LedgerContract",
    "MemoryStorage",
    "RecordedRequest",
    "RecordingContext",
    "ResumableScriptedBackend",
    "ScriptedBackend",
    "StoppableContext",
    "StorageContract",
    "Stub",
    "StubResponse",
    "tiny_png",
]
