"""The WebSocket of one job: it updates the state, reports progress, times the polls."""

from contextlib import suppress
from functools import partial
from threading import Event
from uuid import uuid4  # noqa: TID251 - newer servers accept only a UUID as prompt id

from imagen.adapters.backends.comfyui.client import (
    ComfyClient,
    JobSocket,
    SocketClosed,
    UnreadableMessage,
)
from imagen.adapters.backends.comfyui.errors import display_node_name
from imagen.adapters.backends.comfyui.graph import ApiWorkflow
from imagen.adapters.backends.comfyui.history import PromptState
from imagen.adapters.backends.comfyui.protocol import (
    Executing,
    Frame,
    PreviewFrame,
    ProgressMessage,
    Status,
)
from imagen.adapters.remote.background import CHECK_INTERVAL, BackgroundCall
from imagen.domain.errors import (
    BackendError,
    OutOfCredit,
    Throttled,
    Unauthorized,
    Unavailable,
)
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext, LiveJobContext

POLL_INTERVAL = 3.0
"""Seconds without a message about the job, after which the server is polled."""

FAST_POLL_INTERVAL = 1.0
"""The same without a socket, or with one that may no longer get messages."""

GRACE_PERIOD = 0.1
"""Seconds in which a message may still arrive, before the server is polled."""

# Messages were up to 0.4 s late (0.3.64), and the poll time may cut a wait short.
_MAX_SILENCES = 4


def new_id() -> str:
    """Return a unique id for a prompt or a client."""
    return str(uuid4())


class JobListener:
    """Receives the messages of one job.

    Each job has its own socket and client id. The server sends a prompt's messages to
    one socket, and forgets a client id when an older socket with this id closes
    (observed on 0.3.64), so a shared id could leave a job without messages.

    Attributes:
        state: The state of the prompt.
        client_id: The client id to submit the prompt with.
        live: True if the context accepts previews.
        was_away: True once the connection was lost or the server did not respond.
    """

    def __init__(
        self,
        server: ComfyClient,
        graph: ApiWorkflow,
        *,
        context: JobContext,
        clock: Clock,
    ) -> None:
        self._server = server
        self._context = context
        self._clock = clock
        self._steps = _StepReport(graph)
        self._socket: JobSocket | None = None
        self._supported = False
        self._remaining = 0
        self._poll_at = 0.0
        self.state = PromptState(new_id())
        self.client_id = new_id()
        self.live = isinstance(context, LiveJobContext)
        self.was_away = False

    @property
    def connected(self) -> bool:
        """True while the socket is open."""
        return self._socket is not None

    @property
    def poll_due(self) -> bool:
        """True when the server should be polled, as no message arrived in time."""
        return self._clock.monotonic() >= self._poll_at

    def open(self) -> None:
        """Open the socket, unless the server or a proxy refuses WebSockets.

        Raises:
            ImagenError: the server was not reached, or refused the request.
        """
        self._socket = self._connect()
        self._supported = self._socket is not None
        if self._socket is not None:
            self.client_id = self._socket.client_id

    def reconnect(self) -> None:
        """Open a lost socket again; do nothing if that fails."""
        # With the same client id, to which the server sends the messages. A server that
        # still holds the old socket may forget the new one with it, so `was_away` stays
        # set and the server is polled at the fast interval.
        if self._socket is not None or not self._supported:
            return
        with suppress(Unavailable, Unauthorized, BackendError, Throttled, OutOfCredit):
            self._socket = self._connect()

    def close(self) -> None:
        """Close the socket without waiting for the server."""
        socket, self._socket = self._socket, None
        if socket is not None:
            BackgroundCall(socket.close)

    def reset(self) -> None:
        """Forget what is known of the prompt, before it is submitted again."""
        self.state = PromptState(self.state.prompt_id)

    def receive(self, *, at_most: float = CHECK_INTERVAL) -> bool:
        """Handle the next message; return False if none arrived.

        Without a socket, sleep until the next poll.

        Raises:
            Cancelled: passed through from the context.
        """
        if self._socket is None:
            self._context.sleep(FAST_POLL_INTERVAL)
            self._poll_at = 0.0
            return False
        seconds = min(at_most, max(0.0, self._poll_at - self._clock.monotonic()))
        try:
            message = self._socket.receive(seconds)
        except SocketClosed:
            self.was_away = True
            self.close()
            self._poll_at = 0.0
            return False
        self._context.sleep(0)
        if message is not None:
            self._handle(message)
        return message is not None

    def drain(self) -> None:
        """Handle all messages that have already arrived."""
        while self._socket is not None and self.receive(at_most=0.0):
            pass

    def receive_late_messages(self) -> None:
        """Handle messages that are still in transit; one may have the outcome."""
        silences = 0
        while self._socket is not None and silences < _MAX_SILENCES:
            if self.state.finished or self.state.outcome is not None:
                return
            silences += not self.receive()

    def schedule_poll(self) -> None:
        """Set the time of the next poll, if no message arrives before."""
        fast = self._socket is None or self.was_away
        interval = FAST_POLL_INTERVAL if fast else POLL_INTERVAL
        # The last message follows the outcome at once, unless it was lost.
        if self.state.outcome is not None:
            interval = GRACE_PERIOD
        self._poll_at = self._clock.monotonic() + interval

    def report(self, note: str) -> None:
        """Report a note without a new fraction."""
        self._steps.report(self._context, note)

    def pause(self) -> None:
        """Wait for a message or `GRACE_PERIOD`, also after a cancellation."""
        try:
            if self._socket is not None:
                self._socket.receive(GRACE_PERIOD)
                return
        except SocketClosed:
            self.close()
        # `context.sleep` would raise Cancelled at once.
        Event().wait(GRACE_PERIOD)

    def _connect(self) -> JobSocket | None:
        call = BackgroundCall(
            partial(self._server.open_socket, self.client_id, live=self.live),
            undo=_close_socket,
        )
        return call.result(self._context)

    def _handle(self, message: Frame | PreviewFrame | UnreadableMessage) -> None:
        match message:
            case UnreadableMessage():
                pass
            case PreviewFrame():
                self._show_preview(message)
            case Status(data=data):
                self._count_remaining(data.status.exec_info.queue_remaining)
            case _:
                if self.state.apply(message):
                    self.schedule_poll()
                    self._report_progress(message)

    def _show_preview(self, preview: PreviewFrame) -> None:
        # Older servers do not name the prompt of a preview, and broadcast previews of
        # prompts without a client id: take them only while this job runs.
        if isinstance(self._context, LiveJobContext) and (
            preview.prompt_id == self.state.prompt_id
            or (preview.prompt_id is None and self.state.node is not None)
        ):
            self._context.show(preview.content, media_type=preview.media_type)

    def _count_remaining(self, remaining: int | None) -> None:
        # A deleted prompt gets no message of its own: a smaller queue is the only sign.
        if remaining is None:
            return
        if remaining < self._remaining:
            self._poll_at = min(self._poll_at, self._clock.monotonic() + GRACE_PERIOD)
        self._remaining = remaining

    def _report_progress(self, frame: Frame) -> None:
        match frame:
            case ProgressMessage() if self.state.step is not None:
                self._steps.step(self._context, self.state.node, *self.state.step)
            case Executing() if self.state.node is not None:
                self._steps.enter(self._context, self.state.node)
            case _:
                pass


def _close_socket(socket: JobSocket | None) -> None:
    if socket is not None:
        socket.close()


class _StepReport:
    """Reports the progress of a job; the fraction never decreases.

    ComfyUI counts steps for each node and has no overall percentage (0.3.64).
    """

    def __init__(self, graph: ApiWorkflow) -> None:
        self._graph = graph
        self._samplers = {node for node in graph if _is_sampler(graph, node)}
        self._seen: list[str] = []
        self._fraction: float | None = None

    def enter(self, context: JobContext, node: str) -> None:
        """Report what a node does when it starts."""
        self.report(context, _describe_activity(self._graph, node))

    def step(
        self, context: JobContext, node: str | None, value: int, total: int
    ) -> None:
        """Report step `value` of `total` of a node; only samplers count."""
        if node is None or (self._samplers and node not in self._samplers):
            return
        if node not in self._seen:
            self._seen.append(node)
        passes = max(len(self._samplers), len(self._seen))
        done = self._seen.index(node) + value / total
        self._fraction = max(self._fraction or 0.0, min(1.0, done / passes))
        context.progress(
            self._fraction, "sampling", steps=total if passes == 1 else None
        )

    def report(self, context: JobContext, note: str) -> None:
        """Report a note without a new fraction."""
        context.progress(self._fraction, note)


def _is_sampler(graph: ApiWorkflow, node: str) -> bool:
    kind = str(graph[node].get("class_type", ""))
    return kind.startswith(("KSampler", "SamplerCustom")) and kind != "KSamplerSelect"


def _describe_activity(graph: ApiWorkflow, node: str) -> str:
    kind = str(graph.get(node, {}).get("class_type", ""))
    for part, activity in _ACTIVITIES.items():
        if part in kind:
            return activity
    return display_node_name(graph, node)


# A loader sends no progress while it loads: 9 s of silence for a FLUX checkpoint
# (observed on 0.3.64). The note is all that a user sees in that time.
_ACTIVITIES = {
    "Loader": "loading the model",
    "TextEncode": "encoding the prompt",
    "KSampler": "sampling",
    "SamplerCustom": "sampling",
    "VAEDecode": "decoding",
    "SaveImage": "saving",
    "PreviewImage": "saving",
}
