"""The machine of somebody who has a project: a home, a config, and the command."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

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
    """What one run of the command left behind."""

    def __init__(self, process: "subprocess.CompletedProcess[bytes]") -> None:
        self.code = process.returncode
        self.bytes = process.stdout
        self.out = process.stdout.decode(errors="replace")
        self.err = process.stderr.decode(errors="replace")

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
            "PYTHONWARNINGS": "error",
            "SUPABASE_URL": project.url,
            "SUPABASE_SERVICE_KEY": project.secret_key,
        }

    # What is done on it

    def run(self, *words: str, stdin: bytes | None = None, **env: str) -> Run:
        """Run the command to its end."""
        process = subprocess.run(
            [IMAGEN, *words],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            cwd=self.folder,
            env={**self.env, **env},
            timeout=120,
            check=False,
        )
        return Run(process)

    def generate(self, prompt: str = "a fox", *words: str, **env: str) -> Run:
        """Make an image that costs something."""
        return self.run("generate", prompt, *words, **env)

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start the command, and let it run."""
        return subprocess.Popen(
            [IMAGEN, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env=self.env,
        )

    def killed(self, *words: str, after: float) -> str:
        """Run the command for so many seconds at most; say how it ended."""
        process = self.start(*words)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
        process.kill()
        code = process.wait()
        return "killed" if code == -signal.SIGKILL else f"exit {code}"

    def crowd(self, processes: int, *words: str) -> list[int]:
        """Run the command so often at once, and return how each ended."""
        program = [sys.executable, "-m", "tests.integration.supabase.crowd"]
        done = subprocess.run(
            [*program, str(processes), *words],
            capture_output=True,
            check=True,
            cwd=self.folder,
            env={**self.env, "PYTHONPATH": str(Path(__file__).parents[3])},
            timeout=600,
        )
        codes: list[int] = json.loads(done.stdout.splitlines()[-1])
        return codes

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
                FileSpool(lambda: database.folder / "outbox"),
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
