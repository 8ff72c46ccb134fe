"""One Supabase project: how it is reached, and what its answers mean.

Its client libraries are imported when there is something to send: `postgrest` and
`storage3`, the parts of `supabase` that are needed, which load in two thirds of the
time of the whole. What they do when something is wrong was tried with the versions that
are pinned; where that is not what one would expect, it is said.
"""

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock, local
from typing import TYPE_CHECKING
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
    from postgrest import SyncPostgrestClient
    from postgrest.exceptions import APIError
    from storage3 import SyncStorageClient
    from storage3.exceptions import StorageApiError

BUCKET = "imagen-generated"
PAGE = 1000
"""Rows in an answer, at most: a new project cuts longer ones, and does not say so."""
TIMEOUT = 10.0
"""Seconds that a read or a write may take."""

_SECRET, _PUBLISHABLE = "sb_secret_", "sb_publishable_"
_KEY_HINT = (
    "SUPABASE_SERVICE_KEY has to be the project's secret key (sb_secret_...) or its "
    "service_role key, both under Project Settings > API Keys."
)
_SQL = {
    "mai.": "0001_mai_imagen_usage.sql",
    "imagen.": "0002_imagen_images.sql",
    "": "0003_imagen_bucket.sql",
}
_EXPOSE_HINT = "Add mai and imagen under Project Settings > Data API > Exposed schemas."
_URL_HINT = "SUPABASE_URL is as https://abcdefghijkl.supabase.co."
_REFUSED_CODES = ("22", "23502", "23505", "23514", "54")
_UNAVAILABLE_CODES = (
    *("PGRST000", "PGRST001", "PGRST002", "PGRST003", "57014", "40001", "53"),
    "25006",  # the disk is full: a project can only be read then
)
_API_PATHS = ("/rest/v1", "/storage/v1", "/auth/v1")
_DASHBOARDS = {"supabase.com", "www.supabase.com", "app.supabase.com"}
_KEY = re.compile(r"[!-~]+")
_NOISE = re.compile(r"^\[Errno -?\d+\] | \(_ssl\.c:\d+\)$")
_SECRETS = re.compile(r"(?:sb_secret_|eyJ)[\w.-]*")


class SupabaseAccess:
    """Where a project is, and the key to it. Never shown: its `repr` has no key.

    Args:
        url: As `https://abcdefghijkl.supabase.co`; what the dashboard adds to it where
            it shows the address of an API is left out.
        key: The secret key, or that of the role `service_role`.
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        for door in _API_PATHS:
            self.url = self.url.removesuffix(door)
        self.key = key

    def __repr__(self) -> str:
        return f"<access to {self.host}>"

    @property
    def host(self) -> str:
        """The project's host, as it can be shown."""
        if not self.is_valid:
            return "Supabase"
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def is_valid(self) -> bool:
        """Whether the address may be a project's."""
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
        """Find out whether both can be used at all; nothing is sent.

        Raises:
            Misconfigured: one of them makes no sense.
        """
        if not self.is_valid:
            raise Misconfigured(
                "SUPABASE_URL is no address of a project.", hint=_URL_HINT
            )
        if not _KEY.fullmatch(self.key):
            raise Misconfigured(
                "The key to Supabase has characters that no key has.",
                hint=f"Often they were copied along. {_KEY_HINT}",
            )

    def headers(self) -> dict[str, str]:
        """Return what opens the project.

        A new key goes into `apikey` alone: as a bearer it would be taken for a token,
        and refused (supabase-py issues 1228 and 1230).
        """
        headers = {"apikey": self.key}
        if not self.key.startswith((_SECRET, _PUBLISHABLE)):
            headers["Authorization"] = f"Bearer {self.key}"
        return headers


class SupabaseProject:
    """The clients for one project, with connections of their own; for any thread."""

    def __init__(self, access: SupabaseAccess, *, timeout: float = TIMEOUT) -> None:
        self.access = access
        self._timeout = timeout
        self._last = local()
        self._turn = Lock()
        self._http: httpx.Client | None = None

    def __repr__(self) -> str:
        return f"SupabaseProject({self.access!r})"

    def table(self, schema: str) -> "SyncPostgrestClient":
        """Return the client for the tables and functions of a schema."""
        from postgrest import SyncPostgrestClient  # noqa: PLC0415 - only to send

        return SyncPostgrestClient(
            f"{self.access.url}/rest/v1",
            schema=schema,
            headers=self.access.headers(),
            http_client=self.http,
            retry_enabled=False,  # it would sleep for 7 s before a read fails
        )

    def storage(self) -> "SyncStorageClient":
        """Return the client for files."""
        from storage3 import SyncStorageClient  # noqa: PLC0415 - only to send

        return SyncStorageClient(
            f"{self.access.url}/storage/v1/",
            self.access.headers(),
            http_client=self.http,
        )

    @property
    def http(self) -> "httpx.Client":
        """The client for everything, built when it is first needed.

        Raises:
            Misconfigured: address or key make no sense.
        """
        with self._turn:
            if self._http is None:
                self._http = self._build_client()
            return self._http

    def validate(self) -> None:
        """Find out whether address and key make sense; nothing is sent.

        Raises:
            Misconfigured: one of them does not.
        """
        _ = self.http

    @property
    def last_response(self) -> "httpx.Response | None":
        """The answer that this thread got last; the libraries keep it to themselves."""
        return getattr(self._last, "response", None)

    def check_file_response(self) -> None:
        """Find out whether the last answer may be a file of Storage's.

        Raises:
            Unavailable: it is a page to be read.
        """
        answer = self.last_response
        if answer is None or answer.headers.get("Content-Type", "").startswith("text/"):
            raise self._foreign_response_error()

    def to_error(self, what: str, message: str) -> ImagenError:
        """Return what the last answer means, or that there was none.

        Args:
            what: What was asked for.
            message: What is said of it.
        """
        if self.last_response is None:
            return Unavailable(
                f"{self.access.host} is not reached: {_sanitize(message)}."
            )
        return self._status_error(
            self.last_response.status_code, what, _sanitize(message)
        )

    def close(self) -> None:
        """Close the connections; whoever needs them again opens them again."""
        with self._turn:
            http, self._http = self._http, None
        if http is not None:
            http.close()

    def check_rest_response(self) -> None:
        """Find out whether the last answer is PostgREST's.

        To the library a page of HTML with the status 200 is a success.

        Raises:
            Unavailable: it is something else's.
        """
        answer = self.last_response
        if answer is None or not (
            answer.headers.get("Content-Range")
            or answer.headers.get("Preference-Applied")
            or answer.headers.get("Content-Profile")
        ):
            raise self._foreign_response_error()

    @contextmanager
    def translate_errors(self, what: str) -> Generator[None]:
        """Turn what goes wrong into an error of ours.

        Args:
            what: What is read or written, such as `mai.imagen_usage`.

        Raises:
            Unavailable, Throttled: not now.
            Unauthorized, Misconfigured: not before somebody does what the hint says.
            Refused: never, with these values.
        """
        import httpx  # noqa: PLC0415 - only to send
        from postgrest.exceptions import APIError  # noqa: PLC0415
        from storage3.exceptions import StorageApiError  # noqa: PLC0415

        self._last.response = None
        who = self.access.host
        try:
            yield
        except ImagenError:
            raise
        except httpx.TimeoutException as error:
            raise Unavailable(f"{who} did not answer in time.") from error
        except httpx.TransportError as error:
            reason = _NOISE.sub("", str(error)).rstrip(".") or type(error).__name__
            raise Unavailable(f"{who} is not reached: {reason}.") from error
        except APIError as error:
            raise self._rest_error(error, what) from error
        except StorageApiError as error:
            raise self._storage_error(error, what) from error
        except (TypeError, ValueError, KeyError) as error:
            # The libraries stumble over an answer that is not of their servers.
            raise self._foreign_response_error() from error

    def _build_client(self) -> "httpx.Client":
        from imagen.adapters.remote.client import build_client  # noqa: PLC0415 - only to send

        self.access.check()
        client = build_client(self.access.url, timeout=self._timeout)
        client.event_hooks = {"response": [self._remember]}
        return client

    def _rest_error(self, error: "APIError", what: str) -> ImagenError:
        code, message = error.code or "", _sanitize(error.message)
        status = self.last_response.status_code if self.last_response is not None else 0
        nameless = status == _NOT_FOUND and not code
        who = self.access.host
        if code == "PGRST106":
            return Misconfigured(
                f"The schema of {what} is not exposed.", hint=_EXPOSE_HINT
            )
        if code in {"PGRST204", "PGRST205", "PGRST202", "42P01", "42703", "42883"} or (
            nameless and not message  # a write to a table that is not there
        ):
            return Misconfigured(
                f"{who} has no {what} as it should be.", hint=migration_hint(what)
            )
        if code == "23503":
            return UnknownOwner(
                "The owner_user_id of the config is no user of the project.",
                hint="It is the id of a user under Authentication > Users.",
            )
        if code.startswith(_REFUSED_CODES) or status == _TOO_LARGE:
            return Refused(f"{what} does not take it: {message}.")
        if code.startswith(_UNAVAILABLE_CODES) or (
            status >= _SERVER_ERROR and status != _PAUSED
        ):
            return Unavailable(f"{who} is out of order: {message or status}.")
        if nameless:
            return self._foreign_response_error()
        return self._status_error(status, what, f"{code} {message}".strip())

    def _storage_error(self, error: "StorageApiError", what: str) -> ImagenError:
        status = int(error.status) if str(error.status).isdigit() else 0
        message = _sanitize(_unwrap(error.message))
        if error.code in {"Bucket not found", "NoSuchBucket"}:
            return Misconfigured(
                f"There is no bucket {BUCKET}.", hint=migration_hint(what)
            )
        if error.code in {"not_found", "NoSuchKey"}:
            return BackendError(f"{what} does not have it: {message}.")
        if status in {_TOO_LARGE, _WRONG_TYPE} or error.code == "InvalidKey":
            return Refused(f"{what} does not take it: {message}.")
        return self._status_error(status, what, message)

    def _status_error(self, status: int, what: str, message: str) -> ImagenError:
        who = self.access.host
        if status == _NOT_FOUND or status in _REDIRECTS:
            return self._foreign_response_error()
        if status in {_UNAUTHORIZED, _FORBIDDEN}:
            return self._auth_error(what, message)
        if status == _TOO_MANY:
            return Throttled(f"{who} asks us to slow down.")
        if status == _PAUSED:
            return Unavailable(
                f"The project {who} is paused.", hint="Wake it in the dashboard."
            )
        if status >= _SERVER_ERROR or status == _REQUEST_TIMEOUT:
            return Unavailable(f"{who} is out of order: it answered {status}.")
        return Unavailable(f"{who} answered {status} for {what}: {message}.")

    def _auth_error(self, what: str, message: str) -> ImagenError:
        if "permission denied" in message and not self.is_public:
            return Misconfigured(
                f"The key may not use {what}.", hint=migration_hint(what)
            )
        return Unauthorized(
            f"{self.access.host} does not take the key: {message or what}.",
            hint=_KEY_HINT,
        )

    @property
    def is_public(self) -> bool:
        """Whether the key is one that anybody may have, by its looks."""
        key = self.access.key
        return key.startswith(_PUBLISHABLE) or read_jwt_role(key) in {
            "anon",
            "authenticated",
        }

    def _foreign_response_error(self) -> Unavailable:
        return Unavailable(
            f"What answers at {self.access.host} is not Supabase.",
            hint=f"A network may want you to sign in first. {_URL_HINT}",
        )

    def _remember(self, response: "httpx.Response") -> None:
        self._last.response = response


_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _REQUEST_TIMEOUT = 401, 403, 404, 408
_TOO_LARGE, _WRONG_TYPE, _TOO_MANY, _SERVER_ERROR, _PAUSED = 413, 415, 429, 500, 540
_REDIRECTS = range(300, 400)
_MAX_MESSAGE = 300
_UNPARSED = "Unable to parse error message: "


def migration_hint(what: str) -> str:
    """Return which file of SQL makes a table, function or bucket as it should be."""
    file = next(file for begin, file in _SQL.items() if what.startswith(begin))
    return f"Run migrations/{file} in the project's SQL editor."


def read_jwt_role(key: str) -> str:
    """Return the role that a key of the old kind, a JWT, names; "" for any other."""
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
    """Return the value as JSON can hold it.

    Half a character, which names of files may have, is a question mark; a number that
    is none is nothing.
    """
    text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
    return json.loads(text.encode(errors="replace"), parse_constant=lambda _: None)


def _unwrap(message: str) -> str:
    """Return what the gateway before Storage said, which the library cannot read."""
    answer = message.removeprefix(_UNPARSED)
    try:
        said = msgspec.json.decode(answer, type=dict[str, object])
    except (ValueError, msgspec.MsgspecError):
        return answer
    return str(said.get("message", answer))


def _sanitize(message: str | None) -> str:
    """Return a server's words on one line, not too many of them, and no secret."""
    words = _SECRETS.sub("(hidden)", " ".join((message or "").split()))
    return words[:_MAX_MESSAGE].rstrip(".")
