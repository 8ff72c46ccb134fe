"""Access control in front of every route: API key, Host header, origin, slow bodies.

A page of another site must not reach this server through a visitor's browser: not
through a host name of its own (DNS rebinding; `Host` is checked), and not with the
visitor's credentials (CSRF; `Origin` is checked).
"""

import asyncio
import socket
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from imagen.server.errors import ErrorResponse, client_disconnected, shutdown_error
from imagen.server.http.paths import map_to_route
from imagen.server.keys import ApiKeys

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_TIMEOUT = 30.0
"""Maximum pause between two parts of a request body, in seconds."""
# Methods that change nothing, so that a page of another site may send them.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class AccessMiddleware:
    """ASGI middleware that checks access before it calls the application.

    Args:
        keys: The accepted API keys; without keys every request is accepted.
        hosts: Accepted host names besides those of this machine.
        anonymous: The caller's name where no key is needed.
        open_paths: Prefixes of paths that need no key, besides the root.
        session_of: Returns the caller's name for a Cookie header, or None.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        keys: ApiKeys,
        hosts: Sequence[str] = (),
        anonymous: str = "",
        open_paths: tuple[str, ...] = (),
        session_of: Callable[[bytes], str | None] = lambda _: None,
    ) -> None:
        self._app = app
        self._keys = keys
        name = socket.gethostname()
        local = ("localhost", name, f"{name}.local")
        self._hosts = {host.lower() for host in (*hosts, *local)}
        self._anonymous = anonymous
        self._open_paths = open_paths
        self._session_of = session_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the application, or respond with an error."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope = {**scope}
        send = _without_body(send) if scope.get("method") == "HEAD" else send
        map_to_route(scope)
        try:
            self._check(scope)
        except ErrorResponse as failure:
            await send_error(failure, scope, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ())]
                names = {name for name, _ in headers}
                headers += [each for each in _SECURITY_HEADERS if each[0] not in names]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, _with_body_timeout(receive), send_with_headers)
        except asyncio.CancelledError:
            # uvicorn cancels handlers that are not done when the shutdown time is over.
            if started:
                raise
            await send_error(shutdown_error(), scope, send)

    def _check(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._is_known_host(host):
            raise ErrorResponse(
                421,
                f"Unknown Host header {host[:80]!r}. Add it to `serve.hosts` in the "
                "server's config.",
                code="unknown_host",
            )
        origin = headers.get(b"origin")
        if scope.get("method") not in SAFE_METHODS and not _same_site(
            origin, host, headers
        ):
            raise ErrorResponse(
                403,
                "Requests from pages of another site are not allowed.",
                code="cross_origin",
            )
        scope["user"] = self._caller(scope["path"], headers)

    def _is_known_host(self, host: str) -> bool:
        # Without the port, and an IPv6 address without its brackets.
        bracketed, plain = host[1:].partition("]")[0], host.partition(":")[0]
        name = bracketed if host.startswith("[") else plain
        if name in self._hosts or name.endswith(".localhost"):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        # DNS rebinding needs a name that an attacker controls; an IP address is safe.
        return True

    def _caller(self, path: str, headers: Mapping[bytes, bytes]) -> str:
        if not self._keys:
            return self._anonymous
        key = headers.get(b"api-key", b"").decode("latin-1").strip()  # Azure's clients
        key = key or _extract_key(headers.get(b"authorization", b""))
        caller = self._keys.caller_of(key)
        if caller is None and (cookies := headers.get(b"cookie")):
            caller = self._session_of(cookies)
        if caller is not None:
            return caller
        if path == "/" or path.startswith(self._open_paths):
            return self._anonymous
        # With `Basic` the browser itself asks for the key, for example at /metrics. The
        # gallery has a dialog of its own.
        api = path.startswith(("/v1/", "/gallery/"))
        raise ErrorResponse(
            401,
            "The API key is missing or wrong. Send `Authorization: Bearer KEY`.",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer" if api else 'Basic realm="imagen"'},
        )


async def send_error(failure: ErrorResponse, scope: Scope, send: Send) -> None:
    """Send an error as the whole response."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = failure.body
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *_SECURITY_HEADERS,
        *((k.encode(), v.encode()) for k, v in failure.headers.items()),
    ]
    await send(
        {"type": "http.response.start", "status": failure.status, "headers": headers}
    )
    await send({"type": "http.response.body", "body": body})


def _without_body(send: Send) -> Send:
    """Return a `send` that leaves out the body, for HEAD."""

    async def send_head(message: Message) -> None:
        body = {"body": b""} if message["type"] == "http.response.body" else {}
        await send({**message, **body})

    return send_head


def _with_body_timeout(receive: Receive) -> Receive:
    """Return a `receive` that fails if the body pauses too long or is cut off."""
    complete = False

    async def receive_in_time() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                message = await receive()
        except TimeoutError as error:
            raise ErrorResponse(
                408,
                f"No data of the request body arrived for {BODY_TIMEOUT:.0f} seconds.",
                code="timeout",
                headers={"Connection": "close"},
            ) from error
        if message["type"] == "http.disconnect":
            raise client_disconnected()
        complete = not message.get("more_body", False)
        return message

    return receive_in_time


def _same_site(origin: bytes | None, host: str, headers: Mapping[bytes, bytes]) -> bool:
    # Without `Origin` the client is a program, or a browser that sends Sec-Fetch-Site.
    if origin is None:
        return headers.get(b"sec-fetch-site", b"none") in {b"none", b"same-origin"}
    return urlsplit(origin.decode("latin-1").lower()).netloc == host


def _extract_key(authorization: bytes) -> str:
    """Return the key of `Bearer KEY`, or the password of `Basic`; else ""."""
    kind, _, credentials = authorization.decode("latin-1").strip().partition(" ")
    if kind.lower() == "bearer":
        return credentials.strip()
    with suppress(ValueError):
        if kind.lower() == "basic":
            return b64decode(credentials, validate=True).decode().partition(":")[2]
    return ""
