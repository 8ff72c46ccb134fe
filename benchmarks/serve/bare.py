"""The minimum of a server: forward each request to the upstream.

python bare.py UPSTREAM_PORT           # prints the port that it listens on
"""

import socket
import sys

import httpx
import uvicorn
from litestar import Litestar, Request, Response, post


def main(upstream: int) -> None:
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{upstream}", timeout=600)

    @post("/v1/images/generations", status_code=200)
    async def generate(request: Request) -> Response:
        answer = await client.post(
            "/v1/images/generations", content=await request.body()
        )
        return Response(answer.content, media_type="application/json")

    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        Litestar([generate], logging_config=None), log_config=None, access_log=False
    )
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main(int(sys.argv[1]))
