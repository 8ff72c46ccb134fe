"""The requests and the socket that a ComfyUI server understands, each tried once."""

import ssl
from collections.abc import Mapping
from contextlib import suppress
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
    display_url,
    is_loopback,
    to_status_error,
    translate_errors,
)
from imagen.domain.errors import Unavailable

SHORT_TIMEOUT, READ_TIMEOUT, LONG_TIMEOUT = 3.0, 10.0, 30.0
"""Seconds for what is answered at once, what is looked up, and what is large."""

MAX_HISTORY_ITEMS = 500
"""Jobs of the past that are looked through for one of ours."""

_FEATURE_FLAGS = '{"type":"feature_flags","data":{"supports_preview_metadata":true}}'
_NOT_FOUND = 404
_UPGRADE_REFUSED = {400, 404, 405, 426, 501}


class FileGone(Exception):
    """The server names a file that it no longer has."""


class SocketClosed(Exception):
    """The socket is closed."""


class UnreadableMessage:
    """A word that means nothing to us."""


class ComfyClient:
    """One ComfyUI server: each method is one request, tried once.

    Attributes:
        name: What a user calls it.
    """

    def __init__(self, base_url: str, *, headers: Mapping[str, str]) -> None:
        self.name = f"ComfyUI at {display_url(base_url)}"
        self._url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._trusted = build_ssl_context(base_url)
        self._client = build_client(
            f"{self._url}/",
            headers=headers,
            timeout=READ_TIMEOUT,
            connect_timeout=SHORT_TIMEOUT,
        )

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def open_socket(self, client_id: str, *, live: bool = False) -> "JobSocket | None":
        """Open a socket, and wait until the server knows it.

        Args:
            client_id: Whose frames are to come.
            live: Whether pictures on the way are to say whose they are.

        Returns:
            None when there are no sockets here, as behind some proxies.

        Raises:
            Unavailable, Unauthorized: as they say.
        """
        parts = urlsplit(self._url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        path = f"{parts.path}/ws"
        query = f"clientId={quote(client_id, safe='')}"
        url = urlunsplit((scheme, parts.netloc, path, query, ""))
        try:
            socket = connect(
                url,
                ssl=self._trusted if scheme == "wss" else None,
                additional_headers=self._headers,
                user_agent_header=USER_AGENT,
                compression=None,  # costs more than it saves
                proxy=None if is_loopback(self._url) else True,
                open_timeout=SHORT_TIMEOUT,
                close_timeout=0.5,
                max_size=None,  # previews and errors can be large
                max_queue=None,  # or a server waits for us to read
            )
        except InvalidStatus as error:
            if error.response.status_code in _UPGRADE_REFUSED:
                return None
            answer = httpx.Response(error.response.status_code)
            raise to_status_error(answer, self.name) from None
        except (
            OSError,
            EOFError,
            ImportError,
            WebSocketException,
            ValueError,
        ) as error:
            raise Unavailable(
                f"{self.name} was not reached: {_describe_connect_error(error)}.",
                hint="Is it running, and is base_url right?",
            ) from error
        if live:  # it counts only as the first message
            with suppress(ConnectionClosed):
                socket.send(_FEATURE_FLAGS)
        return JobSocket(socket, client_id).wait_until_ready()

    def submit(self, body: bytes) -> httpx.Response:
        """Hand a job in, and return whatever the server says.

        Raises:
            Unavailable: it was not handed in.
            Unfinished: it may have been.
        """
        with translate_errors(self.name, creates=True):
            return self._client.post(
                "prompt",
                content=body,
                headers={"Content-Type": "application/json"},
                timeout=httpx.Timeout(LONG_TIMEOUT, connect=SHORT_TIMEOUT),
            )

    def find_prompt(self, prompt_id: str) -> QueuePosition | PromptHistory | None:
        """Return where a job is, or how it ended; None if it is nowhere.

        Raises:
            Unavailable: the server does not say.
        """
        place = self.queue_position(prompt_id)
        if place is not None:
            return place
        history = self._read(f"history/{quote(prompt_id, safe='')}")
        with self._understood():
            return parse_history(history, prompt_id)

    def queue_position(
        self, prompt_id: str, *, timeout: float = READ_TIMEOUT
    ) -> QueuePosition | None:
        """Return where in the queue a job is; None if it is not in there.

        Raises:
            Unavailable: the server does not say.
        """
        queue = self._read("queue", timeout=timeout)
        with self._understood():
            return find_queue_position(queue, prompt_id)

    def find_prompts_like(self, graph: ApiWorkflow, *, since: float) -> tuple[str, ...]:
        """Return the names of all the jobs with just this workflow.

        Those that wait, run or are over; of the latter, the last few hundred.

        Args:
            graph: The workflow.
            since: Seconds since 1970; what we sent before does not count.

        Raises:
            Unavailable: the server does not say.
        """
        queue = self._read("queue", timeout=LONG_TIMEOUT)
        history = self._read(
            f"history?max_items={MAX_HISTORY_ITEMS}", timeout=LONG_TIMEOUT
        )
        with self._understood():
            return find_prompts(queue, history, graph, since=since)

    def cancel(self, prompt_id: str, *, timeout: float = SHORT_TIMEOUT) -> None:
        """Take a job off the queue, and stop it if it runs; nobody else's is touched.

        Raises:
            ImagenError: that did not work.
        """
        for path, body in (
            ("queue", {"delete": [prompt_id]}),
            ("interrupt", {"prompt_id": prompt_id}),
        ):
            with translate_errors(self.name):
                self._client.post(path, json=body, timeout=timeout)

    def free_cache(self) -> None:
        """Have every node run again the next time.

        Raises:
            ImagenError: that did not work.
        """
        with translate_errors(self.name):
            self._client.post("free", json={"free_memory": True})

    def download(self, file: OutputFile) -> tuple[bytes, str]:
        """Return a file's bytes as they are, and of what type the server calls them.

        Raises:
            Gone: there is no such file, although the server named it.
            ImagenError: it could not be fetched.
        """
        where = {
            "filename": file.filename,
            "subfolder": file.subfolder,
            "type": file.type,
        }
        with translate_errors(self.name):
            answer = self._client.get(
                "view",
                params=where,
                timeout=httpx.Timeout(LONG_TIMEOUT, connect=SHORT_TIMEOUT),
            )
        if answer.status_code == _NOT_FOUND:
            raise FileGone(file.filename)
        if not answer.is_success:
            raise to_status_error(answer, self.name)
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        return answer.content, kind

    def version(self) -> str:
        """Return its version.

        Raises:
            ImagenError: it is not there, or is no ComfyUI.
        """
        with self._understood():
            stats = msgspec.json.decode(self._read("system_stats"), type=_Stats)
        return stats.system.comfyui_version or "of unknown version"

    def node_inputs(self, node_class: str) -> Mapping[str, object] | None:
        """Return what the node takes, by the name of the input; None: no such node.

        Raises:
            ImagenError: the server does not say.
        """
        with self._understood():
            nodes = msgspec.json.decode(
                self._read(f"object_info/{quote(node_class, safe='')}"),
                type=dict[str, _NodeInfo],
            )
        node = nodes.get(node_class)
        return None if node is None else {**node.input.optional, **node.input.required}

    def _read(self, path: str, *, timeout: float = READ_TIMEOUT) -> bytes:
        with translate_errors(self.name):
            answer = self._client.get(
                path,
                timeout=httpx.Timeout(timeout, connect=min(timeout, SHORT_TIMEOUT)),
            )
        if not answer.is_success:
            raise to_status_error(answer, self.name)
        return answer.content

    def _understood(self) -> "_Understood":
        return _Understood(self.name)


class _Understood:
    """Turns an answer that makes no sense into an error of ours."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, (msgspec.DecodeError, UnicodeError)):
            raise Unavailable(
                f"{self._name} answers what no ComfyUI does.",
                hint="Is base_url right?",
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
    """The socket of one job.

    Attributes:
        client_id: Whose frames come.
    """

    def __init__(self, socket: ClientConnection, client_id: str) -> None:
        self.client_id = client_id
        self._socket = socket

    def wait_until_ready(self) -> "JobSocket":
        """Wait for the first status: from then on the server knows the socket."""
        with suppress(SocketClosed):
            first = self.receive(SHORT_TIMEOUT)
            if isinstance(first, Status) and first.data.sid:
                self.client_id = first.data.sid
        return self

    def receive(
        self, seconds: float
    ) -> Frame | PreviewFrame | UnreadableMessage | None:
        """Return the next word, or None if none comes in time.

        Raises:
            SocketClosed: none will ever come.
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
        """Hang up, politely if that is quick."""
        with suppress(WebSocketException, OSError):
            self._socket.close()


def _describe_connect_error(error: Exception) -> str:
    """Return why in a few words, and never an address: it may hold a secret."""
    if isinstance(error, ssl.SSLError):
        return f"its certificate is not trusted ({error.reason})"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, ImportError):
        return "the SOCKS proxy that the environment names needs python-socks"
    return "it does not speak as ComfyUI does"
