"""Talks with one ComfyUI server, so that the end of no job is missed.

Frames tell how a job goes; they can be lost, so beside them a look at the queue, and
then at the history, decides. In that order: a job moves from the queue to the history
under one lock, so whoever asks the other way round can miss it in between (seen 74
times in 150; in this order never).

Each job has a socket and a client id of its own. A server sends a job's frames to one
socket, and forgets a client id when an older socket of that name closes: what is shared
between jobs would have to be shared with care, what is not cannot be confused.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import Event
from uuid import uuid4  # noqa: TID251 - newer servers want a job's id of this kind

import httpx
import msgspec

from imagen.adapters.backends.comfyui.client import (
    ComfyClient,
    JobSocket,
    SocketClosed,
    UnreadableMessage,
)
from imagen.adapters.backends.comfyui.errors import (
    display_node_name,
    explain_failure,
    explain_node_errors,
    explain_refusal,
)
from imagen.adapters.backends.comfyui.graph import ApiWorkflow
from imagen.adapters.backends.comfyui.history import (
    PromptHistory,
    PromptState,
    QueuePosition,
)
from imagen.adapters.backends.comfyui.progress import StepReport
from imagen.adapters.backends.comfyui.protocol import (
    PREVIEW_REQUEST,
    SENT_AT_KEY,
    Executing,
    Frame,
    OutputFile,
    PreviewFrame,
    ProgressMessage,
    PromptAccepted,
    Status,
)
from imagen.adapters.remote.client import (
    A_SLICE,
    BackgroundCall,
    to_status_error,
)
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    OutOfCredit,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
    Unfinished,
)
from imagen.ports.backend import JobContext, LiveJobContext
from imagen.ports.clock import Clock

POLL_INTERVAL = 3.0
"""Seconds without a word on our job, after which we look for ourselves."""


FAST_POLL_INTERVAL = 1.0
"""Likewise while there is no socket, or one that may have gone deaf."""


GRACE_PERIOD = 0.1
"""Seconds that a frame may still be on its way, before we look for ourselves."""


MAX_OUTAGE = 60.0
"""Seconds that a server may be gone while it has our job."""


MAX_CANCEL_TIME = 1.3
"""Seconds to see that a cancelled job is gone; 2 is what was promised."""


_LOOKUP_TRIES = 3


_CANCEL_TRIES = 8


_MAX_SILENCES = 4
"""Frames were seen to be 0.4 seconds late, and a silence may be cut short."""


_CONFLICT, _BAD_REQUEST = 409, 400


def new_id() -> str:
    """Return a name for a job or a socket that nobody else uses."""
    return str(uuid4())


class JobRun:
    """One job, from its order to its end."""

    def __init__(
        self,
        server: ComfyClient,
        graph: ApiWorkflow,
        *,
        outputs: Sequence[str],
        context: JobContext,
        clock: Clock,
        free: bool,
        reference: str | None = None,
    ) -> None:
        """Prepare to watch over a job; nothing is sent yet.

        Args:
            server: Who gets it.
            graph: What it is.
            outputs: The nodes whose pictures are wanted.
            context: Hears how it goes.
            clock: Tells when to look.
            free: Whether it costs nothing to ask again for what was lost.
            reference: What the context was told that the job is called, if it was.
        """
        self._server = server
        self._graph = graph
        self._outputs = outputs
        self._context = context
        self._live = isinstance(context, LiveJobContext)
        self._clock = clock
        self._free = free
        self._reference = reference
        self._state = PromptState(new_id())
        self._socket: JobSocket | None = None
        self._sockets = True
        self._client_id = new_id()
        self._may_be_there = False
        self._ours = True
        self._answered = True
        self._resent = False
        self._remaining = 0
        self._look_at = 0.0
        self._absent = 0.0
        self._was_away = False
        self._steps = StepReport(graph)

    @property
    def reference(self) -> str | None:
        """What the context was told that the job is called."""
        return self._reference

    def run(self) -> list[OutputFile]:
        """Hand the job in, stay with it until it is over, and return its pictures.

        Raises:
            ImagenError: it was not made.
        """
        try:
            self._open_socket()
            self._hand_in()
            while not self._state.finished:
                self._hear()
                if self._clock.monotonic() >= self._look_at:
                    self._look()
            return self._result()
        except Cancelled as stopped:
            raise self._cancelled(stopped) from stopped
        finally:
            self._close_socket()

    def rejoin(self) -> list[OutputFile]:
        """Stay with a job that was handed in before, and return its pictures.

        Its frames go to whoever handed it in, so we look for ourselves.

        Raises:
            ImagenError: it was not made, or is gone.
        """
        self._state.prompt_id = self._reference or ""
        self._may_be_there, self._ours, self._sockets = True, False, False
        try:
            while not self._state.finished:
                self._look()
                if not self._state.finished:
                    self._context.sleep(FAST_POLL_INTERVAL)
            return self._result()
        except Cancelled as stopped:
            raise self._cancelled(stopped) from stopped

    # Handing in

    def _open_socket(self) -> None:
        call = BackgroundCall(
            partial(self._server.open_socket, self._client_id, live=self._live),
            undo=_close,
        )
        self._socket = call.result(self._context)
        self._sockets = self._socket is not None
        if self._socket is not None:
            self._client_id = self._socket.client_id

    def _hand_in(self) -> None:
        extra: dict[str, object] = {SENT_AT_KEY: self._clock.now().timestamp()}
        if self._live:
            extra |= PREVIEW_REQUEST
        body = {
            "prompt": self._graph,
            "prompt_id": self._state.prompt_id,
            "client_id": self._client_id,
            "extra_data": extra,
        }
        self._context.sleep(0)
        self._may_be_there, self._answered = True, False
        call = BackgroundCall(
            partial(self._server.submit, msgspec.json.encode(body)),
            undo=lambda _: self._server.cancel(self._state.prompt_id),
        )
        try:
            answer = self._receipt(call)
        except Unfinished as unknown:
            self._answered = True
            self._find_out(unknown)
        except Unavailable:
            self._may_be_there = False
            raise
        except Cancelled:
            call.leave()
            raise
        else:
            self._answered = True
            if answer is None:
                self._accepted()
            else:
                self._read_receipt(answer)
        self._wait_for_word()

    def _receipt(self, call: BackgroundCall[httpx.Response]) -> httpx.Response | None:
        """Return the answer; None if the job shows itself before the answer comes."""
        self._wait_for_word()
        while not call.ends_within(A_SLICE):
            self._context.sleep(0)
            self._catch_up()
            if self._state.started:
                return None
            if self._clock.monotonic() >= self._look_at:
                self._wait_for_word()
                with suppress(Unavailable, BackendError):
                    search = BackgroundCall(
                        partial(self._server.find_prompt, self._state.prompt_id)
                    )
                    if search.result(self._context) is not None:
                        return None
        return call.result(self._context)

    def _catch_up(self) -> None:
        """Take in all that was said and not yet heard."""
        while self._socket is not None and self._hear(at_most=0.0):
            pass

    def _read_receipt(self, answer: httpx.Response) -> None:
        if not answer.is_success and answer.status_code != _CONFLICT:
            trouble = to_status_error(answer, self._server.name, creates=True)
            if isinstance(trouble, Unfinished):
                self._find_out(trouble)
                return
            self._may_be_there = False
            if answer.status_code == _BAD_REQUEST:
                raise Refused(
                    f"{self._server.name} refuses the workflow."
                    f" {explain_refusal(answer.content, self._graph)}",
                    hint="`imagen backends check` shows what it needs.",
                )
            raise trouble
        if answer.status_code == _CONFLICT:  # an order of ours that we thought lost
            self._accepted()
            return
        try:
            receipt = msgspec.json.decode(answer.content, type=PromptAccepted)
        except (msgspec.DecodeError, UnicodeError):
            self._find_out(Unfinished(f"{self._server.name} made no sense."))
            return
        self._state.prompt_id = receipt.prompt_id  # an older server makes its own
        self._accepted()
        self._refuse_to_miss_outputs(receipt)

    def _refuse_to_miss_outputs(self, receipt: PromptAccepted) -> None:
        """Give up a job that is to run without what was wanted of it."""
        faults = explain_node_errors(
            receipt.node_errors, self._graph, outputs=self._outputs
        )
        if not faults:
            return
        self._withdraw()
        raise Refused(
            f"{self._server.name} refuses a part of the workflow."
            f" {' '.join(faults.values())}",
            hint="`imagen backends check` shows what it needs.",
        )

    def _accepted(self) -> None:
        if self._reference is None:
            self._reference = self._state.prompt_id
            self._context.accepted(self._reference)

    def _find_out(self, unknown: Unfinished) -> None:
        """Look for an order whose answer was lost; it is not handed in again."""
        for _ in range(_LOOKUP_TRIES):
            found = self._searched()
            if found is not None or self._state.started:
                self._accepted()
                if isinstance(found, PromptHistory):
                    self._state.apply_history(found)
                return
            self._context.sleep(GRACE_PERIOD)
        if not self._free:
            raise unknown
        self._may_be_there = False
        raise Unavailable(f"{unknown.message} It has no such job.") from unknown

    def _searched(self) -> QueuePosition | PromptHistory | None:
        """Look until the server says something, or the frames have said it all."""
        self._absent, looks = 0.0, 0
        while not self._state.finished:
            began = self._clock.monotonic()
            search = BackgroundCall(
                partial(self._server.find_prompt, self._state.prompt_id)
            )
            try:
                return search.result(self._context)
            except (Unavailable, BackendError) as error:
                self._catch_up()
                pause = min(FAST_POLL_INTERVAL, GRACE_PERIOD * 2**looks)
                looks += 1
                self._endure(error, self._clock.monotonic() - began + pause)
                self._context.sleep(pause)
        return None

    def _endure(self, error: ImagenError, seconds: float) -> None:
        """Bear that the server says nothing, but not for ever.

        As long as the socket is open it is there, and only very busy.
        """
        if self._socket is not None:
            return
        self._was_away = True
        self._absent += seconds
        if self._absent > MAX_OUTAGE:
            raise Unfinished(
                f"{self._server.name} went away while it had the job, and did not come"
                f" back in {MAX_OUTAGE:g} seconds.",
                hint=error.message,
            ) from error
        self._steps.report(self._context, "waiting for the server to come back")

    # Staying with it

    def _hear(self, *, at_most: float = A_SLICE) -> bool:
        """Take in the next word; say whether there was one."""
        if self._socket is None:
            self._context.sleep(FAST_POLL_INTERVAL)
            self._look_at = 0.0
            return False
        seconds = min(at_most, max(0.0, self._look_at - self._clock.monotonic()))
        try:
            word = self._socket.receive(seconds)
        except SocketClosed:
            self._was_away = True
            self._close_socket()
            self._look_at = 0.0
            return False
        self._context.sleep(0)
        if word is not None:
            self._take(word)
        return word is not None

    def _take(self, word: Frame | PreviewFrame | UnreadableMessage) -> None:
        match word:
            case PreviewFrame():
                self._show(word)
            case UnreadableMessage():
                return
            case Status(data=data):
                self._count(data.status.exec_info.queue_remaining)
            case _ if self._state.apply(word):
                self._wait_for_word()
                self._tell(word)
            case _:
                pass

    def _show(self, picture: PreviewFrame) -> None:
        """Pass on what is ours: older servers send only what runs, and name nobody."""
        if isinstance(self._context, LiveJobContext) and (
            picture.prompt_id == self._state.prompt_id
            or (picture.prompt_id is None and self._state.node is not None)
        ):
            self._context.show(picture.content, media_type=picture.media_type)

    def _count(self, remaining: int | None) -> None:
        """Look soon when a job left the queue: it may have been ours."""
        if remaining is None:
            return
        if remaining < self._remaining:
            self._look_at = min(self._look_at, self._clock.monotonic() + GRACE_PERIOD)
        self._remaining = remaining

    def _wait_for_word(self) -> None:
        blindly = self._socket is None or self._was_away
        patience = FAST_POLL_INTERVAL if blindly else POLL_INTERVAL
        if self._state.outcome is not None:
            patience = GRACE_PERIOD
        self._look_at = self._clock.monotonic() + patience

    def _tell(self, frame: Frame) -> None:
        match frame:
            case ProgressMessage() if self._state.step is not None:
                self._steps.step(self._context, self._state.node, *self._state.step)
            case Executing() if self._state.node is not None:
                self._steps.enter(self._context, self._state.node)
            case _:
                pass

    def _look(self) -> None:
        if self._socket is None and self._sockets:
            self._reconnect()
        found = self._searched()
        self._wait_for_word()
        match found:
            case _ if self._state.finished:
                pass
            case PromptHistory():
                self._state.apply_history(found)
            case QueuePosition(running=False, ahead=ahead):
                note = f"waiting, {ahead} before it" if ahead else "waiting"
                self._steps.report(self._context, note)
            case QueuePosition():
                pass
            case None:
                self._missing()

    def _reconnect(self) -> None:
        """Listen again under the same name, to which the frames go.

        A server that still holds the old socket may forget the new one as well; that
        is why we go on looking for ourselves after this.
        """
        call = BackgroundCall(
            partial(self._server.open_socket, self._client_id, live=self._live),
            undo=_close,
        )
        with suppress(Unavailable, Unauthorized, BackendError, Throttled, OutOfCredit):
            self._socket = call.result(self._context)

    def _missing(self) -> None:
        """Decide what it means that the job is nowhere."""
        self._hear_out()
        if self._state.outcome is not None:  # the history was wiped behind its back
            self._state.finished = True
        elif not self._ours:
            raise BackendError(
                f"{self._server.name} does not have the job any more.",
                hint="It was restarted since, or its history was cleared.",
            )
        elif not self._was_away:
            raise BackendError(
                f"The job is gone from {self._server.name}: somebody took it off the"
                " queue.",
            )
        elif not self._free:
            raise Unfinished(
                f"{self._server.name} was away for a while, and has lost the job.",
                hint="It may have been billed, so it is not repeated by itself.",
            )
        elif self._resent:
            raise BackendError(
                f"{self._server.name} was restarted twice, and lost the job each time.",
                hint="If the job itself brings it down, ask for a smaller size.",
            )
        else:
            self._resend()

    def _hear_out(self) -> None:
        """Hear what is still on its way; the end may be among it."""
        silences = 0
        while self._socket is not None and silences < _MAX_SILENCES:
            if self._state.finished or self._state.outcome is not None:
                return
            silences += not self._hear()

    def _resend(self) -> None:
        """Hand in once more what a restart lost: it costs nothing.

        Under the same name, so that a server that has it after all says so.
        """
        self._resent = True
        self._steps.report(
            self._context, "the server lost the job; handing it in again"
        )
        self._state = PromptState(self._state.prompt_id)
        if self._socket is None and self._sockets:
            self._reconnect()
        self._hand_in()

    # The end

    def _result(self) -> list[OutputFile]:
        """Return the pictures if it ends well.

        Raises:
            BackendError: it does not.
        """
        state = self._state
        if state.outcome is None or (state.outcome == "success" and not self._files()):
            self._fill_in()
        if state.outcome == "error":
            failure = explain_failure(state.error, self._graph)
            raise BackendError(failure.message, hint=failure.hint)
        if state.outcome == "interrupted":
            raise BackendError(f"Somebody interrupted the job at {self._server.name}.")
        if not self._files():
            wanted = ", ".join(
                display_node_name(self._graph, node) for node in self._outputs
            )
            raise BackendError(
                f"{self._server.name} finished without a picture from {wanted}.",
                hint="The workflow must end in SaveImage or PreviewImage.",
            )
        return self._files()

    def _files(self) -> list[OutputFile]:
        files = self._state.files
        return [file for node in self._outputs for file in files.get(node, ())]

    def _fill_in(self) -> None:
        """Read in the history what no frame told."""
        self._state.finished = False
        found = self._searched()
        self._state.finished = True
        if isinstance(found, PromptHistory):
            self._state.apply_history(found)
        elif self._state.outcome is None:
            raise Unfinished(f"{self._server.name} does not say how the job ended.")

    def _cancelled(self, stopped: Cancelled) -> Cancelled:
        """Take the job back, and say whether that is certain."""
        return Cancelled(stopped.message, settled=self._withdraw())

    def _withdraw(self) -> bool:
        """Take the job back, and watch until it is gone, for as long as we may."""
        if not self._may_be_there:
            return True
        until = self._clock.monotonic() + MAX_CANCEL_TIME
        for _ in range(_CANCEL_TRIES):
            asked = BackgroundCall(self._is_gone)
            if not asked.ends_within(until - self._clock.monotonic()):
                return False
            with suppress(ImagenError):
                if asked.result(_DetachedContext()):
                    return True
            if self._clock.monotonic() + GRACE_PERIOD > until:
                return False
            self._pause()
        return False

    def _is_gone(self) -> bool:
        self._server.cancel(self._state.prompt_id)
        return (
            self._server.queue_position(self._state.prompt_id) is None
            and self._answered
        )

    def _pause(self) -> None:
        try:
            if self._socket is not None:
                self._socket.receive(GRACE_PERIOD)
                return
        except SocketClosed:
            self._close_socket()
        Event().wait(GRACE_PERIOD)

    def _close_socket(self) -> None:
        """Close the socket without waiting for the other side."""
        socket, self._socket = self._socket, None
        if socket is not None:
            BackgroundCall(socket.close)


class _DetachedContext:
    """A watch for what is over already."""

    def accepted(self, reference: str) -> None: ...

    def progress(
        self, fraction: float | None, note: str = "", *, steps: int | None = None
    ) -> None: ...

    def sleep(self, seconds: float) -> None: ...

    def on_cancel(self, close: Callable[[], None]) -> None: ...


def _close(socket: JobSocket | None) -> None:
    if socket is not None:
        socket.close()
