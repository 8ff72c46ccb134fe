"""The clients for one Supabase project, and the meaning of its error responses.

The client libraries are imported when the first request is sent: not `supabase` itself,
but its two parts that are needed, `postgrest` and `storage3`. Every command with a
pending upload waits for that import, and theirs takes 0.21 s of CPU time and 448
modules, that of `supabase` 0.32 s and 594 (version 2.34.1 with Python 3.11, 2026-12).
Their behaviour on errors was tested with the pinned versions; comments name the cases
where it is surprising.
"""

import json
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from threading import Lock, local
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from imagen.domain.errors import (
    BackendError,
    ImagenError,
    Misconfigured,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    UnknownOwner,
)

if TYPE_CHECKING:
    import httpx
    from postgrest import (
        SyncPostgrestClient,
        SyncRequestBuilder,
        SyncSelectRequestBuilder,
    )
    from postgrest.exceptions import APIError
    from storage3 import SyncStorageClient
    from storage3.exceptions import StorageApiError

BUCKET = "imagen-generated"
# A new project cuts off responses with more rows than this, without an error.
PAGE = 1000
"""Maximum rows in one response."""

TIMEOUT = 15.0
"""Seconds that one read or write may take; more than a command waits for all."""

_SECRET, _PUBLISHABLE = "sb_secret_", "sb_publishable_"
_KEY_HINT = (
    "Set SUPABASE_SERVICE_KEY to the project's secret key (sb_secret_...) or its "
    "service_role key, both under Project Settings > API Keys."
)
_SQL = {
    "mai.": "0001_mai_imagen_usage.sql",
    "imagen.": "0002_imagen_images.sql",
    "": "0003_imagen_bucket.sql",
}
_EXPOSE_HINT = "Add mai and imagen under Project Settings > Data API > Exposed schemas."
_EXAMPLE_URL = "https://abcdefghijkl.supabase.co"
_REFUSED_CODES = ("22", "23502", "23505", "23514", "54")
_UNAVAILABLE_CODES = (
    *("PGRST000", "PGRST001", "PGRST002", "PGRST003", "57014", "40001", "53"),
    # The disk is full: the project is read-only until it is enlarged.
    "25006",
)
_API_PATHS = ("/rest/v1", "/storage/v1", "/auth/v1")
_DASHBOARDS = {"supabase.com", "www.supabase.com", "app.supabase.com"}
_KEY = re.compile(r"[!-~]+")
_NOISE = re.compile(r"^\[Errno -?\d+\] | \(_ssl\.c:\d+\)$")
_SECRETS = re.compile(r"(?:sb_secret_|eyJ)[\w.-]*")


class TimedRow(msgspec.Struct):
    """The columns that order the rows of a table, as a response has them."""

    id: str
    created_at: str


Row = TypeVar("Row", bound=TimedRow)
T = TypeVar("T")


def load_libraries() -> None:
    """Import what the first request needs, which takes part of a second."""
    for name in ("imagen.adapters.remote.client", "postgrest", "storage3"):
        import_module(name)


class SupabaseAccess:
    """The access to one project, with connections of its own; thread-safe.

    The `repr` does not contain the key.

    Args:
        url: Such as `https://abcdefghijkl.supabase.co`. The path of an API, which the
            dashboard appends in some places, is removed.
        key: The secret key, or the key of the role `service_role`.
        timeout: Seconds that one read or write may take.
    """

    def __init__(self, url: str, key: str, *, timeout: float = TIMEOUT) -> None:
        self.url = url.rstrip("/")
        for path in _API_PATHS:
            self.url = self.url.removesuffix(path)
        self._key = key
        self._timeout = timeout
        self._local = local()
        self._lock = Lock()
        self._http: httpx.Client | None = None

    def __repr__(self) -> str:
        return f"<access to {self.host}>"

    @property
    def host(self) -> str:
        """The project's host for messages."""
        if not self.is_valid:
            return "Supabase"
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def is_valid(self) -> bool:
        """True if the URL may be that of a project."""
        try:
            url = urlsplit(self.url)
            host = (url.hostname or "").encode("idna").decode()
            return (
                url.scheme in {"http", "https"}
                and host not in {"", *_DASHBOARDS}
                and url.port != 0
                and not (url.query or url.fragment)
                and self.url.isprintable()
            )
        except ValueError:
            return False

    def check(self) -> None:
        """Check URL and key; nothing is sent.

        Raises:
            Misconfigured: one of them is invalid.
        """
        if not self.is_valid:
            raise Misconfigured(
                "SUPABASE_URL is not the URL of a project.",
                hint=f"It must be a URL such as {_EXAMPLE_URL}.",
            )
        if not _KEY.fullmatch(self._key):
            raise Misconfigured(
                "The Supabase key contains invalid characters.",
                hint=f"Often they were copied along. {_KEY_HINT}",
            )

    def headers(self) -> dict[str, str]:
        """Return the headers that authenticate a request."""
        headers = {"apikey": self._key}
        # A key of the new kind goes into `apikey` alone: as a bearer token it would be
        # parsed as a JWT and refused (supabase-py issues 1228 and 1230).
        if not self._key.startswith((_SECRET, _PUBLISHABLE)):
            headers["Authorization"] = f"Bearer {self._key}"
        return headers

    def table(self, name: str) -> "SyncRequestBuilder":
        """Return the requests for a table, such as `mai.imagen_usage`."""
        schema, _, table = name.partition(".")
        return self._rest(schema).from_(table)

    def insert(self, table: str, rows: Sequence[object]) -> None:
        """Insert the rows whose ids the table does not have yet, in one request."""
        with self.translate_errors(table):
            self.table(table).upsert(
                to_jsonable(rows),  # type: ignore[arg-type]  # any JSON is accepted
                on_conflict="id",
                ignore_duplicates=True,
                returning="minimal",  # type: ignore[arg-type]  # the value of its enum
            ).execute()
            self.check_rest_response()

    def read(
        self, table: str, query: "SyncSelectRequestBuilder", kind: type[Row]
    ) -> list[Row]:
        """Run the query, and return its rows; the server cuts off all after `PAGE`."""
        with self.translate_errors(table):
            found = query.execute()
            self.check_rest_response()
            return msgspec.convert(found.data, list[kind])  # type: ignore[valid-type]

    def read_newest(
        self,
        table: str,
        kind: type[Row],
        build: "Callable[[], SyncSelectRequestBuilder]",
        *,
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Yield the rows of the query that `build` returns, the newest first."""
        last: Row | None = None
        left = limit
        while left is None or left > 0:
            query = build()
            # Continued after the last row, not by offset: a row that is added meanwhile
            # would shift the pages.
            if last is not None:
                at = last.created_at
                query = query.or_(
                    f'created_at.lt."{at}",and(created_at.eq."{at}",id.lt.{last.id})'
                )
            query = query.order("created_at", desc=True).order("id", desc=True)
            size = PAGE if left is None else min(left, PAGE)
            page = self.read(table, query.limit(size), kind)
            if not page:
                return
            yield from page
            last = page[-1]
            left = None if left is None else left - len(page)
            del page  # not two pages in memory at once

    def call(self, function: str, parameters: dict[str, object], kind: type[T]) -> T:
        """Call a function such as `mai.imagen_usage_report()`; return its result."""
        schema, _, name = function.removesuffix("()").partition(".")
        with self.translate_errors(function):
            found = self._rest(schema).rpc(name, parameters).execute()  # type: ignore[arg-type]  # any JSON is accepted
            self.check_rest_response()
            return msgspec.convert(found.data, kind)

    def _rest(self, schema: str) -> "SyncPostgrestClient":
        from postgrest import SyncPostgrestClient  # noqa: PLC0415 - only to send

        return SyncPostgrestClient(
            f"{self.url}/rest/v1",
            schema=schema,
            headers=self.headers(),
            http_client=self.http,
            # postgrest's own retries would sleep for 7 s before a read fails.
            retry_enabled=False,
        )

    def storage(self) -> "SyncStorageClient":
        """Return the client for files."""
        from storage3 import SyncStorageClient  # noqa: PLC0415 - only to send

        return SyncStorageClient(
            f"{self.url}/storage/v1/",
            self.headers(),
            http_client=self.http,
        )

    @property
    def http(self) -> "httpx.Client":
        """The HTTP client of all requests, built when it is first needed.

        Raises:
            Misconfigured: the URL or the key is invalid; nothing is sent.
        """
        from imagen.adapters.remote.client import build_client  # noqa: PLC0415 - only to send

        with self._lock:
            if self._http is None:
                self.check()
                self._http = build_client(self.url, timeout=self._timeout)
                self._http.event_hooks = {"response": [self._remember]}
            return self._http

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            http, self._http = self._http, None
        if http is not None:
            http.close()

    @property
    def is_public(self) -> bool:
        """True if the key looks like one that is meant for browsers."""
        role = read_jwt_role(self._key)
        is_new = self._key.startswith(_PUBLISHABLE)
        return is_new or role in {"anon", "authenticated"}

    @property
    def last_response(self) -> "httpx.Response | None":
        """The last response that this thread received."""
        # Recorded by a hook, because the libraries do not return the response.
        return getattr(self._local, "response", None)

    def check_rest_response(self) -> None:
        """Check that the last response came from PostgREST.

        Raises:
            Unavailable: it came from another server.
        """
        response = self.last_response
        # To postgrest an HTML page with status 200, of a proxy or a sign-in page, is a
        # success. Only PostgREST itself sends one of these headers.
        if response is None or not (
            response.headers.get("Content-Range")
            or response.headers.get("Preference-Applied")
            or response.headers.get("Content-Profile")
        ):
            raise self._foreign_response_error()

    def check_file_response(self) -> None:
        """Check that the last response may be a file from Storage.

        Raises:
            Unavailable: it is a text, such as an HTML page.
        """
        response = self.last_response
        if response is None or response.headers.get("Content-Type", "").startswith(
            "text/"
        ):
            raise self._foreign_response_error()

    def to_error(self, what: str, message: str) -> ImagenError:
        """Return the error for the last response, or for the lack of one."""
        message = _sanitize(message)
        if self.last_response is None:
            return Unavailable(f"{self.host} was not reached: {message}.")
        return self._status_error(self.last_response.status_code, what, message)

    @contextmanager
    def translate_errors(self, what: str) -> Generator[None]:
        """Translate the errors of the client libraries in a request for `what`.

        Raises:
            Unavailable, Throttled: the request can succeed later.
            Unauthorized, Misconfigured: the user has to act first, as the hint says.
            Refused: it can never succeed with these values.
        """
        from imagen.adapters.remote.http_library import httpx  # noqa: PLC0415 - to send

        # isort: split
        # After it, because they import httpx themselves.
        from postgrest.exceptions import APIError  # noqa: PLC0415
        from storage3.exceptions import StorageApiError  # noqa: PLC0415

        self._local.response = None
        host = self.host
        try:
            yield
        except ImagenError:
            raise
        except httpx.TimeoutException as error:
            raise Unavailable(f"{host} did not respond in time.") from error
        except httpx.TransportError as error:
            reason = _NOISE.sub("", str(error)).rstrip(".") or type(error).__name__
            raise Unavailable(f"{host} was not reached: {reason}.") from error
        except APIError as error:
            raise self._rest_error(error, what) from error
        except StorageApiError as error:
            raise self._storage_error(error, what) from error
        # The libraries raise these while they parse a response of another server.
        except (TypeError, ValueError, KeyError) as error:
            raise self._foreign_response_error() from error

    def _remember(self, response: "httpx.Response") -> None:
        self._local.response = response

    def _rest_error(self, error: "APIError", what: str) -> ImagenError:
        code, message = error.code or "", _sanitize(error.message)
        response, host = self.last_response, self.host
        status = response.status_code if response is not None else 0
        nameless = status == _NOT_FOUND and not code
        if code == "PGRST106":
            return Misconfigured(
                f"The schema of {what} is not exposed.", hint=_EXPOSE_HINT
            )
        # A write to a table that does not exist is a 404 without code and message.
        if code in _MISSING_CODES or (nameless and not message):
            return Misconfigured(
                f"{what} is missing or outdated in the project {host}.",
                hint=migration_hint(what),
            )
        if code == "23503":
            return UnknownOwner(
                "The owner_user_id in the config is not a user of the project.",
                hint="Use the UID of a user under Authentication > Users.",
            )
        if code.startswith(_REFUSED_CODES) or status == _TOO_LARGE:
            return Refused(f"{what} refused the row: {message}.")
        if code.startswith(_UNAVAILABLE_CODES) or (
            status >= _SERVER_ERROR and status != _PAUSED
        ):
            return Unavailable(
                f"{host} is not available: {message or f'HTTP {status}'}."
            )
        if nameless:
            return self._foreign_response_error()
        return self._status_error(status, what, f"{code} {message}".strip())

    def _storage_error(self, error: "StorageApiError", what: str) -> ImagenError:
        status = int(error.status) if str(error.status).isdigit() else 0
        message = _sanitize(_unwrap(error.message))
        if error.code in {"Bucket not found", "NoSuchBucket"}:
            return Misconfigured(
                f"The bucket {BUCKET} does not exist.", hint=migration_hint(what)
            )
        if error.code in {"not_found", "NoSuchKey"}:
            return BackendError(f"{what} does not have the file: {message}.")
        if status in {_TOO_LARGE, _WRONG_TYPE} or error.code == "InvalidKey":
            return Refused(f"{what} refused the file: {message}.")
        return self._status_error(status, what, message)

    def _status_error(self, status: int, what: str, message: str) -> ImagenError:
        host = self.host
        if status == _NOT_FOUND or status in _REDIRECTS:
            return self._foreign_response_error()
        if status in {_UNAUTHORIZED, _FORBIDDEN}:
            return self._auth_error(what, message)
        if status == _TOO_MANY:
            return Throttled(f"{host} is rate limiting requests (HTTP {status}).")
        if status == _PAUSED:
            return Unavailable(
                f"The project {host} is paused.", hint="Restore it in the dashboard."
            )
        if status >= _SERVER_ERROR or status == _REQUEST_TIMEOUT:
            return Unavailable(f"{host} is not available (HTTP {status}).")
        return Unavailable(f"{host} returned HTTP {status} for {what}: {message}.")

    def _auth_error(self, what: str, message: str) -> ImagenError:
        if "permission denied" in message and not self.is_public:
            return Misconfigured(
                f"The key has no permission for {what}.", hint=migration_hint(what)
            )
        return Unauthorized(
            f"{self.host} does not accept the key: {message or what}.",
            hint=_KEY_HINT,
        )

    def _foreign_response_error(self) -> Unavailable:
        return Unavailable(
            f"The server at {self.host} is not Supabase.",
            hint="Check whether this network requires a sign-in, and whether"
            f" SUPABASE_URL is a URL such as {_EXAMPLE_URL}.",
        )


_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _REQUEST_TIMEOUT = 401, 403, 404, 408
_TOO_LARGE, _WRONG_TYPE, _TOO_MANY, _SERVER_ERROR, _PAUSED = 413, 415, 429, 500, 540
_REDIRECTS = range(300, 400)
_MISSING_CODES = {"PGRST204", "PGRST205", "PGRST202", "42P01", "42703", "42883"}
_MAX_MESSAGE = 300
_UNPARSED = "Unable to parse error message: "


def migration_hint(what: str) -> str:
    """Return which SQL file creates a table, function or bucket."""
    file = next(file for begin, file in _SQL.items() if what.startswith(begin))
    return f"Run {file} of `imagen config migrations` in the project's SQL editor."


def read_jwt_role(key: str) -> str:
    """Return the role in a key of the old kind, a JWT; "" for any other key."""
    from base64 import urlsafe_b64decode  # noqa: PLC0415 - only to look at a key

    _, _, rest = key.partition(".")
    payload, _, _ = rest.partition(".")
    try:
        claims = msgspec.json.decode(
            urlsafe_b64decode(payload + "=" * 3), type=dict[str, object]
        )
    except (ValueError, msgspec.MsgspecError):
        return ""
    return str(claims.get("role", ""))


def to_jsonable(value: object) -> object:
    """Return the value as plain JSON data.

    A lone surrogate, which file names may contain, becomes a question mark; NaN and
    infinity become null.
    """
    text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
    return json.loads(text.encode(errors="replace"), parse_constant=lambda _: None)


def _unwrap(message: str) -> str:
    """Return the message in an error response that storage3 cannot parse."""
    # The gateway in front of Storage sends errors of another shape; storage3 then puts
    # the whole body behind this prefix.
    body = message.removeprefix(_UNPARSED)
    try:
        fields = msgspec.json.decode(body, type=dict[str, object])
    except (ValueError, msgspec.MsgspecError):
        return body
    return str(fields.get("message", body))


def _sanitize(message: str | None) -> str:
    """Return a server's message on one line, shortened and without secrets."""
    line = _SECRETS.sub("(hidden)", " ".join((message or "").split()))
    return line[:_MAX_MESSAGE].rstrip(".")
