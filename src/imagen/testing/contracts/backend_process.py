"""The part of `BackendContract` about the process that a backend shares."""

import locale
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from imagen.domain.job import ImageJob
from imagen.domain.result import Generated
from imagen.ports.backend import ImageBackend
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import ObservedThread, wait_for_threads
from imagen.testing.contracts.promises import proves
from imagen.testing.fakes import RecordingContext

_LEAVES_NOTHING = "ImageBackend: A call prints nothing"
_LIBRARY_VARIABLES = re.compile(
    r"(.*_proxy|ssl_.*|sslkeylogfile|python.*|home|path|tz|lang|language|lc_.*|pytest.*"
    r"|request_method|columns|lines|tmpdir|temp|tmp|term|colorterm|no_color|netrc)",
    re.IGNORECASE,
)
"""Environment variables that libraries read, such as those of proxies."""


class _LogSearch(logging.Handler):
    """Keeps the names of the loggers whose lines contain a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.found: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if self.text in record.getMessage():
            self.found.add(record.name)


class ProcessContract(Contract):
    """A part of `BackendContract`, which provides the fixtures."""

    @proves(_LEAVES_NOTHING, cause="a `print` that was left in")
    def test_prints_nothing(
        self, backend: ImageBackend, job: ImageJob, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Nothing is written to standard output or standard error."""
        backend.generate(job, RecordingContext())

        assert capfd.readouterr() == ("", ""), "standard output belongs to the caller"

    @proves("ImageBackend: No secret", cause="a log line with the URL or the headers")
    def test_shows_no_secret_in_a_log(
        self, backend: ImageBackend, job: ImageJob, secret: str
    ) -> None:
        """The secret is not in a line that is logged, at any level."""
        handler, level = _LogSearch(secret), logging.root.level
        logging.root.addHandler(handler)
        logging.root.setLevel(logging.DEBUG)
        try:
            backend.generate(job, RecordingContext())
        finally:
            logging.root.setLevel(level)
            logging.root.removeHandler(handler)

        assert handler.found == set(), "these loggers show it"

    @proves(_LEAVES_NOTHING, cause="a thread for each job that waits for more work")
    def test_leaves_no_thread(self, backend: ImageBackend, job: ImageJob) -> None:
        """The threads of a job end with it."""
        backend.capabilities()
        before = set(threading.enumerate())
        for _ in range(2):
            backend.generate(job, RecordingContext())

        assert wait_for_threads(before) == []

    @proves(
        "generate: Reports nothing",
        cause="a thread that still polls when the job has ended",
    )
    def test_reports_nothing_after_it_returned(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """The context is not used after the call."""
        context, before = RecordingContext(), set(threading.enumerate())
        backend.generate(job, context)
        reported = len(context.fractions), len(context.references), len(context.waits)
        wait_for_threads(before)

        later = len(context.fractions), len(context.references), len(context.waits)
        assert later == reported

    @proves(_LEAVES_NOTHING, cause="`NamedTemporaryFile(delete=False)`")
    def test_leaves_no_file(
        self,
        request: pytest.FixtureRequest,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """No file is left in the working folder, the temporary or the home folder."""
        folder = tmp_path / "empty"
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            monkeypatch.setenv(name, str(folder))
        backend: ImageBackend = request.getfixturevalue("backend")
        backend.generate(request.getfixturevalue("job"), RecordingContext())

        assert [path.name for path in folder.rglob("*")] == []

    @proves(
        "ImageBackend: Each instance uses",
        cause="`os.environ.get` beside `context.secrets`",
    )
    def test_reads_no_environment_variable(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither construction nor a job reads an environment variable of its own."""
        read = record_environment(monkeypatch)
        backend: ImageBackend = request.getfixturevalue("backend")
        backend.generate(request.getfixturevalue("job"), RecordingContext())

        assert read() == [], "use `context.secrets`, or an option of the config block"

    @proves(_LEAVES_NOTHING, cause="`socket.setdefaulttimeout` or `signal.signal`")
    def test_changes_nothing_of_the_process(
        self, request: pytest.FixtureRequest
    ) -> None:
        """No setting of the whole process is changed."""
        before = _process_state()
        backend: ImageBackend = request.getfixturevalue("backend")
        backend.generate(request.getfixturevalue("job"), RecordingContext())
        after = _process_state()

        # An earlier test may have made the change already, so the state at the import
        # of the contract counts as well, where pytest does not change it.
        changed = {name for name in after if after[name] != before[name]}
        changed |= {name for name in _AT_IMPORT if after[name] != _AT_IMPORT[name]}
        assert changed == set()

    @proves(
        "generate: Cancelled",
        cause="`except BaseException`, or KeyboardInterrupt turned into an error",
    )
    def test_passes_a_keyboard_interrupt_on(
        self, backend: ImageBackend, job: ImageJob
    ) -> None:
        """KeyboardInterrupt, raised by the context, passes through."""
        context = _InterruptingContext()
        thread = ObservedThread(partial(backend.generate, job, context))
        thread.start()
        thread.join(30)

        interrupted = isinstance(thread.outcome, KeyboardInterrupt)
        assert interrupted or isinstance(thread.outcome, Generated), type(
            thread.outcome
        )
        assert interrupted or not context.waits


class _InterruptingContext(RecordingContext):
    """A context in which the user presses Ctrl-C during the first wait."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        raise KeyboardInterrupt


def record_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Record from now on which environment variables are read.

    Returns:
        A function that returns their names, without those that libraries read.
    """
    read: set[str] = set()
    kind = type(os.environ)  # noqa: TID251 - to see who reads it
    get = kind.__getitem__

    def record(environment: "os._Environ[str]", name: str) -> str:
        # Libraries list all variables to find those of proxies.
        if sys._getframe(1).f_code.co_name not in {"__iter__", "items", "copy"}:  # noqa: SLF001 - the caller decides
            read.add(name)
        return get(environment, name)

    monkeypatch.setattr(kind, "__getitem__", record)
    return lambda: sorted(n for n in read if not _LIBRARY_VARIABLES.fullmatch(n))


def _process_state() -> dict[str, object]:
    variables = dict(os.environ)  # noqa: TID251 - to see who changes it
    return {
        "the environment": {
            name: value
            for name, value in variables.items()
            if not name.startswith("PYTEST")
        },
        "the handlers of the root logger": list(logging.root.handlers),
        "the level of the root logger": logging.root.level,
        "the working folder": Path.cwd(),
        "sys.stdout": sys.stdout,
        "sys.path": list(sys.path),
        "the default timeout of sockets": socket.getdefaulttimeout(),
        "the locale": locale.setlocale(locale.LC_ALL),
        "the handler of SIGINT": signal.getsignal(signal.SIGINT),
        "the handler of SIGTERM": signal.getsignal(signal.SIGTERM),
        "sys.excepthook": sys.excepthook,
    }


_AT_IMPORT = {
    name: value
    for name, value in _process_state().items()
    if name.startswith(("the default", "the locale", "the handler of"))
}
