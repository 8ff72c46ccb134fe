"""An images API that responds after SECONDS (default 0) with a PNG of 10 kB.

python upstream.py [SECONDS]           # prints the port that it listens on
"""

import asyncio
import base64
import json
import os
import resource
import struct
import sys
import zlib

CONTENT = 10_000


def png() -> bytes:
    """Return an image of random pixels, which does not compress."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    side = 57
    rows = b"".join(b"\0" + os.urandom(side * 3) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows, 0))
        + chunk(b"IEND", b"")
    )


async def main(delay: float) -> None:
    data = {"b64_json": base64.b64encode(png()).decode()}
    body = json.dumps({"created": 1, "data": [data]}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
    answer = head + str(len(body)).encode() + b"\r\n\r\n" + body

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                length = asked.lower().partition(b"content-length:")[2].split(b"\r")[0]
                if length.strip():
                    await reader.readexactly(int(length))
                if delay:
                    await asyncio.sleep(delay)
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def have_files_enough() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    import uvloop

    have_files_enough()
    uvloop.run(main(float(sys.argv[1]) if sys.argv[1:] else 0.0))
