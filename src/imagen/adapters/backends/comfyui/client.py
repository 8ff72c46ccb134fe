"""HTTP client and WebSocket of a ComfyUI server; each call is tried once."""

import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
import msgspec
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from imagen.adapters.backends.comfyui.graph import ApiWorkflow
from imagen.adapters.backends.comfyui.history import (
    PromptHistory,
    QueuePosition,
    find_prompts,
    find_queue_position,
    parse_history,
)
from imagen.adapters.backends.comfyui.protocol import (
    Frame,
    OutputFile,
    PreviewFrame,
    Status,
    parse_message,
    parse_preview,
)
from imagen.adapters.remote.client import (
    USER_AGENT,
    build_client,
    build_ssl_context,
    is_loopback,
)
from imagen.adapters.remote.errors import (
    display_url,
    to_status_error,
    translate_errors,
)
from imagen.domain.errors import Unavailable

SHORT_TIMEOUT, READ_TIMEOUT, LONG_TIMEOUT = 3.0, 10.0, 30.0
"""Seconds for connections and small requests, for lookups, and for large bodies."""

MAX_HISTORY_ITEMS = 500
"""Number of the newest finished prompts that a search reads."""

# A server puts the prompt id into previews only if this is the socket's first message;
# as the second message it is ignored (observed on 0.3.64).
_FEATURE_FLAGS = '{"type":"feature_flags","data":{"supports_preview_metadata":true}}'

_NOT_FOUND = 404
_UPGRADE_REFUSED = {400, 404, 405, 426, 501}


class FileGone(Exception):
    """The server reported a file that it no longer has."""


class SocketClosed(Exception):
    """The WebSocket is closed."""


class UnreadableMessage:
    """A WebSocket message of an unknown type."""


class ComfyClient:
    """A client for one ComfyUI server; each method sends its requests once.

    A method raises Unavailable if the server does not answer, or not like ComfyUI, and
    the error of `to_status_error` if it answers with an error status.

    Attributes:
        name: The server's name in messages.
    """

    def __init__(self, base_url: str, *, headers: Mapping[str, str]) -> None:
        self.name = f"ComfyUI at {display_url(base_url)}"
        self._url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._ssl_context = build_ssl_context(base_url)
        self._client = build_client(
            f"{self._url}/",
            headers=headers,
            timeout=READ_TIMEOUT,
            connect_timeout=SHORT_TIMEOUT,
        )

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def close(self) -> None:
        """Close the HTTP client."""
        self._client.close()

    def open_socket(self, client_id: str, *, live: bool = False) -> "JobSocket | None":
        """Open a WebSocket, and wait until the server has registered it.

        Args:
            client_id: The client whose messages the server sends to the socket.
            live: True to have the server name the prompt of each preview.

        Returns:
            The socket, or None if the server or a proxy refuses WebSockets.
        """
        parts = urlsplit(self._url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        query = f"clientId={quote(client_id, safe='')}"
        url = urlunsplit((scheme, parts.netloc, f"{parts.path}/ws", query, ""))
        try:
            socket = connect(
                url,
                ssl=self._ssl_context if scheme == "wss" else None,
                additional_headers=self._headers,
                user_agent_header=USER_AGENT,
                compression=None,  # costs more time than it saves
                proxy=None if is_loopback(self._url) else True,
                open_timeout=SHORT_TIMEOUT,
                close_timeout=0.5,
                # Previews and `execution_error` messages can be large.
                max_size=None,
                # With a full queue, the server would wait until it is read.
                max_queue=None,
            )
        except InvalidStatus as error:
            if error.response.status_code in _UPGRADE_REFUSED:
                return None
            response = httpx.Response(error.response.status_code)
            raise to_status_error(response, self.name) from None
        except (
            OSError,
            EOFError,
            ImportError,
            WebSocketException,
            ValueError,
        ) as error:
            raise Unavailable(
                f"{self.name} was not reached: {_describe_connect_error(error)}.",
                hint="Check that it runs and that base_url is correct.",
            ) from error
        if live:
            with suppress(ConnectionClosed):
                socket.send(_FEATURE_FLAGS)
        return JobSocket(socket, client_id)

    def submit(self, body: bytes) -> httpx.Response:
        """Submit a prompt; return the response with any status.

        Raises:
            Unavailable: the request was not sent.
            Unfinished: the server may have received it.
        """
        with translate_errors(self.name, creates=True):
            return self._client.post(
                "prompt",
                content=body,
                headers={"Content-Type": "application/json"},
                timeout=httpx.Timeout(LONG_TIMEOUT, connect=SHORT_TIMEOUT),
            )

    def find_prompt(self, prompt_id: str) -> QueuePosition | PromptHistory | None:
        """Return a prompt's queue position or history; None if it has neither."""
        # The queue first: a prompt moves from the queue to the history under one lock,
        # so the other order missed it in 74 of 150 lookups, and this order in none.
        position = self.queue_position(prompt_id)
        if position is not None:
            return position
        history = self._read(f"history/{quote(prompt_id, safe='')}")
        with self._decoding():
            return parse_history(history, prompt_id)

    def queue_position(self, prompt_id: str) -> QueuePosition | None:
        """Return a prompt's position in the queue, or None if it is not in it."""
        queue = self._read("queue")
        with self._decoding():
            return find_queue_position(queue, prompt_id)

    def find_prompts_like(self, graph: ApiWorkflow, *, since: float) -> tuple[str, ...]:
        """Return the ids of all prompts with exactly this workflow.

        Searches the queue and the newest `MAX_HISTORY_ITEMS` finished prompts. Leaves
        out what imagen sent before `since`, in seconds since 1970.
        """
        queue = self._read("queue", timeout=LONG_TIMEOUT)
        history = self._read(
            f"history?max_items={MAX_HISTORY_ITEMS}", timeout=LONG_TIMEOUT
        )
        with self._decoding():
            return find_prompts(queue, history, graph, since=since)

    def cancel(self, prompt_id: str) -> None:
        """Delete a prompt from the queue, and interrupt it if it runs."""
        # Both requests, because the prompt can start between them. An interrupt without
        # a prompt id would stop the running prompt, also another client's prompt.
        for path, body in (
            ("queue", {"delete": [prompt_id]}),
            ("interrupt", {"prompt_id": prompt_id}),
        ):
            with translate_errors(self.name):
                self._client.post(path, json=body, timeout=SHORT_TIMEOUT)

    def free_cache(self) -> None:
        """Drop the server's cache of node results, so that every node runs again."""
        with translate_errors(self.name):
            self._client.post("free", json={"free_memory": True})

    def download(self, file: OutputFile) -> tuple[bytes, str]:
        """Return a file's bytes and its media type according to the server.

        Raises:
            FileGone: the server does not have the file.
        """
        with translate_errors(self.name):
            response = self._client.get(
                "view",
                params=msgspec.structs.asdict(file),
                timeout=httpx.Timeout(LONG_TIMEOUT, connect=SHORT_TIMEOUT),
            )
        if response.status_code == _NOT_FOUND:
            raise FileGone(file.filename)
        if not response.is_success:
            raise to_status_error(response, self.name)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        return response.content, media_type

    def version(self) -> str:
        """Return the server's version."""
        with self._decoding():
            stats = msgspec.json.decode(self._read("system_stats"), type=_Stats)
        return stats.system.comfyui_version or "unknown version"

    def node_inputs(self, node_class: str) -> Mapping[str, object] | None:
        """Return the schema of a node's inputs by name; None for an unknown node."""
        # One class at a time: all of them are 507 kB (0.3.64). The server answers `{}`
        # with status 200 for an unknown class.
        with self._decoding():
            nodes = msgspec.json.decode(
                self._read(f"object_info/{quote(node_class, safe='')}"),
                type=dict[str, _NodeInfo],
            )
        node = nodes.get(node_class)
        return None if node is None else {**node.input.optional, **node.input.required}

    def _read(self, path: str, *, timeout: float = READ_TIMEOUT) -> bytes:
        with translate_errors(self.name):
            response = self._client.get(
                path,
                timeout=httpx.Timeout(timeout, connect=min(timeout, SHORT_TIMEOUT)),
            )
        if not response.is_success:
            raise to_status_error(response, self.name)
        return response.content

    @contextmanager
    def _decoding(self) -> Generator[None, None, None]:
        try:
            yield
        except (msgspec.DecodeError, UnicodeError) as error:
            raise Unavailable(
                f"{self.name}: the response is not from a ComfyUI server.",
                hint="Check base_url.",
            ) from error


class _System(msgspec.Struct, frozen=True):
    comfyui_version: str | None = None


class _Stats(msgspec.Struct, frozen=True):
    system: _System


class _NodeInputs(msgspec.Struct, frozen=True):
    required: Mapping[str, object] = {}
    optional: Mapping[str, object] = {}


class _NodeInfo(msgspec.Struct, frozen=True):
    input: _NodeInputs = _NodeInputs()


class JobSocket:
    """The WebSocket of one job, to which the server sends the messages of a client."""

    def __init__(self, socket: ClientConnection, client_id: str) -> None:
        """Wait for the first status message."""
        self.client_id = client_id
        self._socket = socket
        # The server registers a socket before it sends the first status. A prompt that
        # is submitted earlier could lose messages.
        with suppress(SocketClosed):
            first = self.receive(SHORT_TIMEOUT)
            if isinstance(first, Status) and first.data.sid:
                self.client_id = first.data.sid

    def receive(
        self, seconds: float
    ) -> Frame | PreviewFrame | UnreadableMessage | None:
        """Return the next message, or None if none arrives within the time.

        Raises:
            SocketClosed: the connection is closed.
        """
        try:
            message = self._socket.recv(timeout=seconds)
        except TimeoutError:
            return None
        except (ConnectionClosed, OSError) as error:
            raise SocketClosed from error
        if isinstance(message, str):
            return parse_message(message) or UnreadableMessage()
        return parse_preview(message) or UnreadableMessage()

    def close(self) -> None:
        """Close the connection; wait up to 0.5 s for the server's close frame."""
        with suppress(WebSocketException, OSError):
            self._socket.close()


def _describe_connect_error(error: Exception) -> str:
    # Never the exception's own text: it can contain the URL, which may hold a secret.
    if isinstance(error, ssl.SSLError):
        return f"its certificate is not trusted ({error.reason})"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, ImportError):
        return "the SOCKS proxy from the environment needs the package python-socks"
    return "its response is not a valid WebSocket handshake"
