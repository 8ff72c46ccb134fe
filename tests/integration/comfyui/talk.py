"""A client that hides nothing, to look at what a server says."""

import contextlib
import json
from typing import Any, Self

import httpx
from tests.integration.comfyui.server import ComfyServer
from websockets.sync.client import ClientConnection, connect


class Talk:
    """One HTTP connection and one socket, and nothing kept back."""

    def __init__(self, server: ComfyServer, client_id: str | None = "me") -> None:
        self.server, self.client_id = server, client_id
        self.http = httpx.Client(base_url=server.url, timeout=5, verify=False)
        self.ws: ClientConnection | None = None
        self.sockets = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.sockets.close()
        self.http.close()

    def open(self) -> ClientConnection:
        query = "" if self.client_id is None else f"?clientId={self.client_id}"
        where = self.server.url.replace("http", "ws", 1) + "/ws" + query
        opened = connect(where, max_size=None, max_queue=None, close_timeout=1)
        self.ws = self.sockets.enter_context(opened)
        return self.ws

    def hear(self, *, seconds: float = 5) -> Any:
        assert self.ws is not None
        said = self.ws.recv(timeout=seconds)
        return json.loads(said) if isinstance(said, str) else said

    def hear_until(self, kind: str, *, of: str | None = None) -> list[Any]:
        """Collect frames up to one of a type ("end" is `executing null`)."""
        heard: list[Any] = []
        while True:
            frame = self.hear()
            heard.append(frame)
            if isinstance(frame, bytes):
                continue
            said = frame["data"]
            if of is not None and said.get("prompt_id") != of:
                continue
            if kind == "end" and frame["type"] == "executing" and said["node"] is None:
                return heard
            if frame["type"] == kind:
                return heard

    def ask(self, graph: object, **more: object) -> httpx.Response:
        asked = {"prompt": graph, "client_id": self.client_id, **more}
        return self.http.post("/prompt", json=asked)

    def draw(self, graph: object, **more: object) -> str:
        answer = self.ask(graph, **more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    def finish(self, graph: object, **more: object) -> list[Any]:
        prompt_id = self.draw(graph, **more)
        return self.hear_until("end", of=prompt_id)

    def history(self, prompt_id: str) -> Any:
        return self.http.get(f"/history/{prompt_id}").json()

    def queue(self) -> dict[str, list[str]]:
        told = self.http.get("/queue").json()
        return {key: [item[1] for item in items] for key, items in told.items()}
