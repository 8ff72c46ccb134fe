"""Send requests to an ASGI application in this process."""

import asyncio
from collections.abc import Sequence

import httpx

from imagen.server.http.middleware import (
    AsgiApp,
    Receive,
    Scope,
    Send,
)

Headers = Sequence[tuple[str, str]]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the middleware has made of the request."""
    del receive
    host = dict(scope["headers"]).get(b"host", b"").decode()
    client = scope["client"] and scope["client"][0]
    words = [scope["method"], scope["path"], scope["scheme"], host, client]
    caller = [scope.get("user"), scope.get("auth")]
    body = " ".join(str(word or "-") for word in [*words, *caller]).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def ask(
    app: AsgiApp,
    method: str = "GET",
    path: str = "/v1/models",
    *,
    headers: Headers = (),
    host: str = "localhost",
    client: str = "127.0.0.1",
) -> httpx.Response:
    """Send one request; a Host header in `headers` is an additional one."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport) as http:
            return await http.request(
                method, f"http://server{path}", headers=[("Host", host), *headers]
            )

    return asyncio.run(send())
