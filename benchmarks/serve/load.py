"""Send requests over several connections, and time each response."""

import asyncio
import json
import time
from collections.abc import Mapping

BODY = json.dumps({"model": "instant", "prompt": "a cat"}).encode()
PATH = "/v1/images/generations"


def asked(port: int, headers: Mapping[str, str]) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n{more}\r\n"
    )
    return head.encode() + BODY


async def ask(
    port: int, *, connections: int, requests: int, headers: Mapping[str, str]
) -> tuple[float, list[float]]:
    """Return the total time and the time of each request, in seconds."""
    words, left, seconds = asked(port, headers), iter(range(requests)), []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            began = time.perf_counter()
            writer.write(words)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = head.lower().partition(b"content-length:")[2].split(b"\r")[0]
            body = await reader.readexactly(int(length))
            seconds.append(time.perf_counter() - began)
            assert b"b64_json" in body, body[:200]
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return time.perf_counter() - began, sorted(seconds)
