"""The simulator against recordings: requests, responses and WebSocket messages.

Each file in tests/recordings/comfyui is one conversation with a ComfyUI, written by us
after the shapes that were observed on ComfyUI 0.3.64. A file has the arguments of the
`ComfyServer`, the graphs that it sends, and its steps. The first key of a step says
what is done:

- `open`, `close`: a client opens or closes its WebSocket; `says` are its messages.
- `send`: a request, with `graph` (and the inputs to `set` or to `drop`), `json` or
  `content`; then the expected `status`, `headers` and `body`, the `size` of an image,
  or `cut` for a connection that breaks.
- `hear`: the messages that a client receives, in this order. `until` skips to a message
  of that type, with the data `last`; `silent` says that no other message was sent, and
  `closed` how the connection ended.
- `do`: what the test does to the server: a method of `ComfyServer`.
- `wait`: for a state of the server.

In an expected value, "<any>" stands for any value, "<time>" for milliseconds since
1970. Any other name in angle brackets stands for one value in the whole file. The keys
of objects are compared in their order.
"""

import copy
import json
import re
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any, Self

import httpx
import pytest
from tests.integration.comfyui.graph import check
from tests.integration.comfyui.nodes import MODELS, object_info
from tests.integration.comfyui.png import size_of
from tests.integration.comfyui.server import ComfyServer
from tests.unit.adapters.backends.comfyui.graphs import load_workflow
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from imagen.adapters.backends.comfyui.filling import fill_workflow
from imagen.adapters.backends.comfyui.workflow import BUILT_IN
from imagen.domain.job import ImageJob
from imagen.domain.size import Size

FOLDER = Path(__file__).parents[2] / "recordings" / "comfyui"

LIMIT = 60
"""Seconds after which a message that does not arrive counts as lost."""

NODE_STATE = ["value", "max", "state", "node_id", "prompt_id", "display_node_id"]
NODE_STATE += ["parent_node_id", "real_node_id"]

STATES: dict[str, Callable[[ComfyServer], object]] = {
    "paused": lambda server: server.paused,
    "idle": lambda server: server.up and not server.queued,
    "no socket": lambda server: not server.sockets,
    "up": lambda server: server.up,
}

Step = dict[str, Any]


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda f: f.stem)
def test_the_simulator_behaves_as_recorded(file: Path) -> None:
    recording = json.loads(file.read_text(encoding="utf-8"))

    with (
        ComfyServer(**recording["server"]) as server,
        Replay(server, recording["graphs"]) as replay,
    ):
        for number, step in enumerate(recording["steps"], 1):
            try:
                replay.run(step)
            except Exception as error:
                error.add_note(f"{file.name}, step {number}: {json.dumps(step)[:500]}")
                raise


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_server_accepts_each_built_in_workflow(name: str) -> None:
    job = ImageJob(number=1, prompt="a cat", size=Size(64, 64), seed=1, timeout=60)

    graph = fill_workflow(load_workflow(name), job, prefix="test")

    checked = check(graph, object_info(MODELS, newer=name == "flux2-klein"))
    assert (checked.error, checked.node_errors) == (None, {})
    assert checked.outputs == ["save"]


class Replay:
    """The clients of a recording."""

    def __init__(self, server: ComfyServer, graphs: dict[str, Any]) -> None:
        self.names: dict[str, object] = {}
        self._server, self._graphs = server, graphs
        self._sockets: dict[str, ClientConnection] = {}
        self._opened = ExitStack()
        client = httpx.Client(base_url=server.url, timeout=LIMIT)
        self._http = self._opened.enter_context(client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def run(self, step: Step) -> None:
        """Do one step of the recording."""
        getattr(self, next(iter(step)))(step)

    def open(self, step: Step) -> None:
        """Open the WebSocket of a client; the one without a name has no client id."""
        query = f"?clientId={step['open']}" if step["open"] else ""
        url = f"{self._server.url.replace('http', 'ws', 1)}/ws{query}"
        if "status" in step:
            with pytest.raises(InvalidStatus) as refused:
                connect(url)
            assert refused.value.response.status_code == step["status"]
            return
        opening = connect(url, max_size=None, max_queue=None, close_timeout=1)
        socket = self._opened.enter_context(opening)
        for message in step.get("says", ()):
            socket.send(json.dumps(message))
        self._sockets[step.get("as", step["open"])] = socket

    def close(self, step: Step) -> None:
        """Close the WebSocket of a client."""
        self._sockets.pop(step["close"]).close()

    def send(self, step: Step) -> None:
        """Send a request, and compare the response."""
        if "first" not in step:
            self.check_response(step, self.response_to(step))
            return
        # The messages of `first` arrive before the response.
        responses: list[httpx.Response | None] = []
        sender = Thread(target=lambda: responses.append(self.response_to(step)))
        sender.start()
        self.run(step["first"])
        early = list(responses)
        sender.join()
        assert early == []
        self.check_response(step, responses[0])

    def response_to(self, step: Step) -> httpx.Response | None:
        """Return the response; None if the connection breaks."""
        method, path = self.filled(step["send"]).split(" ", maxsplit=1)
        body = self.filled(step.get("json"))
        if "graph" in step:
            body = {"prompt": self.changed_graph(step), **(body or {})}
        content = step["content"].encode() if "content" in step else None
        try:
            return self._http.request(
                method, path, json=body, content=content, headers=step.get("with")
            )
        except httpx.TransportError:
            return None

    def changed_graph(self, step: Step) -> Any:
        """Return a graph of the file with the changes of a step."""
        graph = copy.deepcopy(self._graphs[step["graph"]])
        for target, value in step.get("set", {}).items():
            node, _, name = target.partition(".")
            graph[node]["inputs"][name] = value
        for target in step.get("drop", ()):
            node, _, name = target.partition(".")
            del graph[node]["inputs"][name]
        return graph

    def check_response(self, step: Step, response: httpx.Response | None) -> None:
        """Compare a response with that of the recording."""
        if step.get("cut"):
            assert response is None
            return
        assert response is not None, "the connection broke"
        assert response.status_code == step["status"], response.text
        for name, value in step.get("headers", {}).items():
            self.compare(value, response.headers.get(name), name)
        if "size" in step:
            assert list(size_of(response.content)) == step["size"]
        if "length" in step:
            assert len(response.content) == step["length"]
        if "body" in step:
            is_json = "json" in response.headers.get("content-type", "")
            body = response.json() if is_json else response.text
            self.compare(step["body"], body, "body")

    def hear(self, step: Step) -> None:
        """Compare the next messages of a client."""
        socket = self._sockets[step["hear"]]
        for number, expected in enumerate(step.get("frames", ()), 1):
            self.compare(expected, shortened(self.next_message(socket)), f"#{number}")
        if "until" in step:
            while (message := self.next_message(socket))[0] != step["until"]:
                pass
            self.compare(step.get("last", "<any>"), shortened(message)[1], "last")
        if "closed" in step:
            with pytest.raises(ConnectionClosed) as closed:
                self.read_to_the_end(socket)
            # Without a close frame (1006), or with one.
            assert (closed.value.rcvd is None) is (step["closed"] == "abort")
        if step.get("silent"):
            assert socket.ping().wait(LIMIT)
            with pytest.raises(TimeoutError):
                self.next_message(socket, seconds=0)

    def next_message(
        self, socket: ClientConnection, seconds: float = LIMIT
    ) -> list[Any]:
        """Return the type and the data of a message; of the last one, "end"."""
        message = socket.recv(timeout=seconds)
        if isinstance(message, bytes):
            return ["binary", message]
        frame = json.loads(message)
        last = frame["type"] == "executing" and frame["data"]["node"] is None
        return ["end" if last else frame["type"], frame["data"]]

    def read_to_the_end(self, socket: ClientConnection) -> None:
        """Read the messages of a connection until it is closed."""
        while True:
            socket.recv(timeout=LIMIT)

    def do(self, step: Step) -> None:
        """Call a method of the server."""
        arguments = self.filled(step.get("with", {}))
        returned = getattr(self._server, step["do"])(**arguments)
        if "as" in step:
            self.names[step["as"]] = returned

    def wait(self, step: Step) -> None:
        """Wait for a state of the server."""
        state = STATES[step["wait"]]
        self._server.wait_until(lambda: state(self._server), seconds=LIMIT)

    def filled(self, value: Any) -> Any:
        """Return a value with the known names in place of their placeholders."""
        text = json.dumps(value)
        for name, known in self.names.items():
            text = text.replace(name, str(known))
        return json.loads(text)

    def compare(self, expected: Any, actual: Any, where: str) -> None:
        """Compare a value with that of the recording."""
        if isinstance(expected, str) and re.fullmatch("<[a-z0-9 ]+>", expected):
            if expected == "<time>":
                assert isinstance(actual, int), where
                assert actual > 1_000_000_000_000, where
            elif expected != "<any>":
                assert self.names.setdefault(expected, actual) == actual, where
        elif isinstance(expected, dict) and isinstance(actual, dict):
            wanted = {self.names.get(key, key): each for key, each in expected.items()}
            assert list(wanted) == list(actual), where
            for key, each in wanted.items():
                self.compare(each, actual[key], f"{where}.{key}")
        elif isinstance(expected, list) and isinstance(actual, list):
            assert len(expected) == len(actual), f"{where}: {actual}"
            for number, pair in enumerate(zip(expected, actual, strict=True)):
                self.compare(*pair, f"{where}.{number}")
        else:
            # As JSON, because 1, 1.0 and true are equal in Python.
            assert json.dumps(expected) == json.dumps(actual), where


def shortened(message: list[Any]) -> list[Any]:
    """Return a message in the form of the recordings."""
    kind, data = message
    if kind == "binary":
        layout, number = struct.unpack(">II", data[:8])
        if layout == 1:
            return [kind, {"layout": 1, "format": number, "begins": data[8:11].hex()}]
        metadata = json.loads(data[8 : 8 + number])
        begins = data[8 + number :][:3].hex()
        return [kind, {"layout": layout, "metadata": metadata, "begins": begins}]
    if kind == "progress_state":
        for node, state in data["nodes"].items():
            assert list(state) == NODE_STATE
            same = {state["node_id"], state["display_node_id"], state["real_node_id"]}
            assert (same, state["parent_node_id"]) == ({node}, None)
            assert state["prompt_id"] == data["prompt_id"]
        states = {
            node: f"{state['value']}/{state['max']} {state['state']}"
            for node, state in data["nodes"].items()
        }
        return [kind, {"prompt_id": data["prompt_id"], "nodes": states}]
    return message
