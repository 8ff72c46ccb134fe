"""Access control in front of every route: API key, Host header, origin, slow bodies.

A page of another site must not reach this server through a visitor's browser: not
through a host name of its own (DNS rebinding; `Host` is checked), and not with the
visitor's credentials (CSRF; `Origin` is checked). A request with a valid key in a
header that no browser sends by itself comes from a program, and skips both checks.
"""

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias

from imagen.server.errors import ErrorResponse, client_disconnected, shutdown_error
from imagen.server.http.access_log import AccessEntry, client_address
from imagen.server.http.forwarded import TrustedProxies
from imagen.server.http.origins import (
    SAFE_METHODS,
    Headers,
    Origins,
    is_preflight,
)
from imagen.server.http.paths import map_to_route
from imagen.server.keys import ApiKeys, Caller, Role

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_TIMEOUT = 30.0
"""Maximum pause between two parts of a request body, in seconds."""
_NO_CONTENT = 204
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class AccessMiddleware:
    """ASGI middleware that checks access before it calls the application.

    The application finds the caller's name in `scope["user"]`, the role in
    `scope["auth"]`, and the id of the request in `scope["state"]["request_id"]`.

    Args:
        keys: The accepted API keys; without keys every request is accepted.
        origins: The names of this server, and the sites that may use it.
        proxies: The proxies whose X-Forwarded headers are believed.
        base_path: The path of the server's URL, without a slash at the end.
        anonymous: The caller's name where no key is needed.
        open_paths: Prefixes of paths that need no key, besides the root.
        session_of: Returns the caller for a Cookie header, or None.
        log: Writes a line to the log.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        keys: ApiKeys,
        origins: Origins | None = None,
        proxies: TrustedProxies | None = None,
        base_path: str = "",
        anonymous: str = "",
        open_paths: tuple[str, ...] = (),
        session_of: Callable[[bytes], Caller | None] = lambda _: None,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._app = app
        self._keys = keys
        self._origins = origins or Origins()
        self._proxies = proxies or TrustedProxies()
        self._base_path = base_path
        # Without keys every caller may do everything.
        self._anonymous = anonymous
        self._open_paths = open_paths
        self._session_of = session_of
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the application, or respond with an error."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        # A copy: uvicorn reads its own to decide whether to send a body.
        scope = {**scope, "state": {**scope.get("state", {})}}
        entry = AccessEntry(scope)
        scope["state"]["request_id"] = entry.id
        respond = self._complete(scope, entry, send)
        if scope.get("method") != "HEAD":  # which has no body that could be cut off
            receive = _with_body_timeout(receive)
        try:
            await self._handle(scope, receive, respond, entry)
        finally:
            entry.write(scope, self._log)

    async def _handle(
        self, scope: Scope, receive: Receive, send: Send, entry: AccessEntry
    ) -> None:
        try:
            _check_one_host(scope)
            self._proxies.apply(scope)
            if (location := map_to_route(scope, self._base_path)) is not None:
                await _send(send, 308, {"Location": location})
                return
            headers: Headers = dict(scope["headers"])
            if is_preflight(scope.get("method", ""), headers):
                await _send(send, _NO_CONTENT, self._origins.answer_preflight(headers))
                return
            self._check(scope, headers)
        except ErrorResponse as failure:
            await send_error(failure, scope, send)
            return
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # uvicorn cancels handlers that are not done when the shutdown time is over.
            if entry.started:
                raise
            await send_error(shutdown_error(), scope, send)

    def _complete(self, scope: Scope, entry: AccessEntry, send: Send) -> Send:
        """Return a `send` that adds the headers of all responses.

        For HEAD it ends the response after them: a stream would stay open.
        """
        is_head = scope.get("method") == "HEAD"
        cors = self._origins.cors_headers(dict(scope["headers"]))
        always = (*_SECURITY_HEADERS, *cors, (b"x-request-id", entry.id.encode()))

        async def send_completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.started, entry.status = True, message["status"]
                headers = [*message.get("headers", ())]
                names = {name for name, _ in headers}
                headers += [each for each in always if each[0] not in names]
                await send({**message, "headers": headers})
                if is_head:
                    await send({"type": "http.response.body", "body": b""})
            elif not is_head or message["type"] != "http.response.body":
                await send(message)

        return send_completed

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        key = _read_program_key(headers)
        caller = self._keys.caller_of(key)
        if caller is None:
            self._origins.check_host(host)
            if scope.get("method") not in SAFE_METHODS:
                self._origins.check_origin(host, headers)
            caller = self._find_browser(headers)
        if caller is None:
            caller = self._admit_anonymous(scope, key)
        scope["user"], scope["auth"] = caller.name, caller.role

    def _find_browser(self, headers: Headers) -> Caller | None:
        """Return the caller of credentials that a browser sends by itself."""
        caller = self._keys.caller_of(_read_password(headers))
        if caller is None and (cookies := headers.get(b"cookie")):
            caller = self._session_of(cookies)
        return caller

    def _admit_anonymous(self, scope: Scope, key: str) -> Caller:
        """Return the caller of a request without a valid key.

        Raises:
            ErrorResponse: the path needs a key (401).
        """
        path: str = scope["path"]
        is_open = path == "/" or path.startswith(self._open_paths)
        if is_open or not self._keys:
            role: Role = "read" if self._keys else "admin"
            return Caller(name=self._anonymous, role=role)
        if key or b"authorization" in dict(scope["headers"]):
            self._log(
                f"failed login from {client_address(scope)}: unknown API key for "
                f"{scope.get('method')} {path[:200]}"
            )
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
    headers = {"Content-Type": "application/json", **failure.headers}
    await _send(send, failure.status, headers, failure.body)


async def _send(
    send: Send, status: int, headers: dict[str, str], body: bytes = b""
) -> None:
    encoded = [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()]
    if status != _NO_CONTENT:
        encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _check_one_host(scope: Scope) -> None:
    # A proxy may have checked another one than this server does.
    count = sum(name == b"host" for name, _ in scope["headers"])
    if count > 1:
        raise ErrorResponse(
            400, f"The request has {count} Host headers.", code="invalid_request"
        )


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


def _read_program_key(headers: Headers) -> str:
    """Return the key of a header that browsers never send by themselves; else ""."""
    azure = headers.get(b"api-key", b"").decode("latin-1").strip()
    kind, credentials = _split_authorization(headers)
    return azure or (credentials if kind == "bearer" else "")


def _read_password(headers: Headers) -> str:
    """Return the password of `Authorization: Basic`; else ""."""
    kind, credentials = _split_authorization(headers)
    with suppress(ValueError):
        if kind == "basic":
            return b64decode(credentials, validate=True).decode().partition(":")[2]
    return ""


def _split_authorization(headers: Headers) -> tuple[str, str]:
    text = headers.get(b"authorization", b"").decode("latin-1").strip()
    kind, _, credentials = text.partition(" ")
    return kind.lower(), credentials.strip()
