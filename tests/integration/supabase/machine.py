"""The machine of somebody who has a project: a home, a config, and the command."""

import atexit
import contextlib
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from tests.integration.supabase.launcher import Fault, Launcher, Process
from tests.integration.supabase.project import SupabaseProject

from imagen.adapters.database.connection import Database
from imagen.adapters.database.delivery_queue import SqliteImageQueue, SqliteUsageQueue
from imagen.adapters.database.files import FileSpool
from imagen.adapters.database.history import SqliteHistory
from imagen.adapters.database.ledger import SqliteLedger
from imagen.adapters.supabase.client import SupabaseAccess
from imagen.adapters.supabase.images import SupabaseCloud
from imagen.adapters.supabase.ledger import SupabaseLedger

IMAGEN = str(Path(sys.executable).with_name("imagen"))
CONFIG = """\
owner_user_id: "{owner}"
default_backend: paid
backends:
  paid: {{adapter: mock, price: 0.05, size: 16x16}}
"""
_PATIENCE = 60.0


class Run:
    """The exit code and the output of one run of the command."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.bytes = out
        self.out = out.decode(errors="replace")
        self.err = err.decode(errors="replace")

    @property
    def objects(self) -> list[Any]:
        """What it printed, a JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Machine:
    """A folder with a home, a config, and what was written down; and a project.

    Attributes:
        folder: Where it is.
        owner: Whose copies are in the cloud.
        env: What the command is told; change it to change the machine.
    """

    def __init__(
        self, folder: Path, project: SupabaseProject, *, owner: str | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.project = folder, project
        self.owner = project.user() if owner is None else owner
        (folder / "imagen.yaml").write_text(CONFIG.format(owner=self.owner))
        kept = {"PATH", "LANG", "LC_ALL", "TZ"}
        self.env = {
            **{name: value for name, value in os.environ.items() if name in kept},
            "HOME": str(folder),
            "IMAGEN_CONFIG": str(folder / "imagen.yaml"),
            "IMAGEN_DATA_DIR": str(folder / "data"),
            "SUPABASE_URL": project.url,
            "SUPABASE_SERVICE_KEY": project.secret_key,
        }

    # What is done on it

    def run(self, *words: str, stdin: bytes = b"", **env: str) -> Run:
        """Run the command to its end."""
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(stdin)
            given.seek(0)
            files = given.fileno(), out.fileno(), err.fileno()
            code = self._launch(words, files, env=env).wait()
            out.seek(0)
            err.seek(0)
            return Run(code, out.read(), err.read())

    def generate(self, prompt: str = "a fox", *words: str, **env: str) -> Run:
        """Make an image that costs something."""
        return self.run("generate", prompt, *words, **env)

    def start(
        self, *words: str, gate: int | None = None, fault: Fault | None = None
    ) -> Process:
        """Start the command, and let it run."""
        with Path(os.devnull).open("r+b") as nothing:
            files = [nothing.fileno()] * 3
            return self._launch(words, files, gate=gate, fault=fault)

    def killed(self, *words: str, after: float) -> str:
        """Run the command for so many seconds at most; say how it ended."""
        process = self.start(*words)
        with contextlib.suppress(TimeoutError):
            process.wait(after)
        process.kill()
        code = process.wait()
        return "killed" if code == -signal.SIGKILL else f"exit {code}"

    def crowd(self, processes: int, *words: str) -> list[int]:
        """Run the command so often at once, and return how each ended.

        `{}` in the words is the number of the process.
        """
        gate, opening = os.pipe()
        started = [
            self.start(*(word.replace("{}", str(number)) for word in words), gate=gate)
            for number in range(processes)
        ]
        os.close(gate)
        os.close(opening)  # all begin at the same moment
        return [process.wait(600) for process in started]

    def _launch(
        self,
        words: Sequence[str],
        files: Sequence[int],
        *,
        env: Mapping[str, str] = MappingProxyType({}),
        gate: int | None = None,
        fault: Fault | None = None,
    ) -> Process:
        return _launcher().start(
            words,
            cwd=self.folder,
            env={**self.env, **env},
            files=files,
            gate=gate,
            fault=fault,
        )

    def another(self, name: str, **how: Any) -> "Machine":
        """Return a second machine of the same owner."""
        return Machine(
            self.folder.parent / name, self.project, **{"owner": self.owner, **how}
        )

    # What is written down on it

    @contextlib.contextmanager
    def accounts(self) -> Iterator[tuple[SqliteLedger, SqliteHistory, FileSpool]]:
        """Open the database and the spool."""
        database = Database(self.folder / "data")
        try:
            yield (
                SqliteLedger(database),
                SqliteHistory(database),
                FileSpool(database),
            )
        finally:
            database.close()

    @property
    def pending(self) -> list[int]:
        """The number of usage rows and of images that wait for their upload."""
        database = Database(self.folder / "data")
        try:
            queues = SqliteUsageQueue(database), SqliteImageQueue(database)
            return [queue.status().pending for queue in queues]
        finally:
            database.close()

    @property
    def kept_bytes(self) -> list[str]:
        """The names of the files in the spool."""
        return sorted(path.name for path in (self.folder / "data").glob("outbox/*"))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nothing that is said may have in it."""
        project = self.project
        return project.secret_key, project.service_key, project.anon_key, "Bearer"


@cache
def _launcher() -> Launcher:
    launcher = Launcher()
    atexit.register(launcher.close)
    return launcher


def missing_or_twice(*machines: Machine) -> list[str]:
    """Compare what machines have with what their project has; say what is wrong.

    Rows on all of them are the rows of the ledger, value for value; images that are to
    have a copy are the rows of `imagen.images`; and those are the objects of the
    bucket, one for each, byte for byte.
    """
    project = machines[0].project
    access = SupabaseAccess(project.url, project.secret_key)
    ledger, cloud = SupabaseLedger(access), SupabaseCloud(access)
    here, drawn = [], {}
    for machine in machines:
        with machine.accounts() as (rows, history, _):
            here += list(rows.rows())
            drawn |= {
                entry.sidecar.id: entry for entry in history.find() if entry.owner
            }
    try:
        there = list(ledger.rows())
        owners = {entry.owner for entry in drawn.values()}
        copies = [copy for owner in owners for copy in cloud.find(owner)]
        wrong = [
            f"the copy of {copy.sidecar.id} is another image"
            for copy in copies
            if hashlib.sha256(cloud.download(copy)).hexdigest()
            != drawn[copy.sidecar.id].sidecar.sha256
        ]
    finally:
        ledger.close()
        cloud.close()
    compared = {
        "rows": (sorted(row.id for row in here), sorted(row.id for row in there)),
        "values of rows": (
            sorted(map(repr, here)),
            sorted(map(repr, there)),
        ),
        "images": (sorted(drawn), sorted(copy.sidecar.id for copy in copies)),
        "rows of imagen.images": (len(drawn), _count(project, "imagen.images")),
        "objects": (
            sorted(copy.path for copy in copies),
            sorted(name for (name,) in project.sql("select name from storage.objects")),
        ),
    }
    wrong += [
        f"{what}: {_size(mine)} here, {_size(theirs)} there"
        for what, (mine, theirs) in compared.items()
        if mine != theirs
    ]
    wrong += [
        f"bytes are still kept of {name}"
        for machine in machines
        if machine.pending == [0, 0]
        for name in machine.kept_bytes
        if name in drawn
    ]
    return wrong


def await_request(project: SupabaseProject, method: str, path: str) -> None:
    """Wait until somebody has asked for it."""
    patience = time.monotonic() + _PATIENCE
    while not project.count(method, path):
        assert time.monotonic() < patience, f"nobody asked {method} {path}"
        time.sleep(0.01)


def nobody() -> str:
    """Return the id of a user who is none."""
    return str(uuid4())


def _count(project: SupabaseProject, table: str) -> int:
    [(count,)] = project.sql(f"select count(*) from {table}".encode())
    return int(count)


def _size(found: "int | list[str]") -> int:
    return found if isinstance(found, int) else len(found)
