"""One job on a ComfyUI server, from its submission to its result.

WebSocket messages tell how a job proceeds, but messages can be lost. So the server is
polled as well: the queue first, then the history (see `ComfyClient.find_prompt`).
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import httpx
import msgspec

from imagen.adapters.backends.comfyui.client import ComfyClient
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
from imagen.adapters.backends.comfyui.listener import (
    FAST_POLL_INTERVAL,
    GRACE_PERIOD,
    JobListener,
)
from imagen.adapters.backends.comfyui.protocol import (
    PREVIEW_REQUEST,
    SENT_AT_KEY,
    OutputFile,
    PromptAccepted,
)
from imagen.adapters.remote.background import CHECK_INTERVAL, BackgroundCall
from imagen.adapters.remote.errors import mark_unsent, to_status_error
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    Refused,
    Unavailable,
    Unfinished,
)
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext

MAX_OUTAGE = 60.0
"""Seconds that a server may be unavailable while it has the job."""

MAX_CANCEL_TIME = 1.3
"""Seconds to confirm that a cancelled job is gone; the port allows 2 in all."""

_LOOKUP_TRIES = 3
_CANCEL_TRIES = 8
_CONFLICT, _BAD_REQUEST = 409, 400


class JobRun:
    """Submits a job, or resumes a submitted one, and waits for its files.

    Attributes:
        reference: The job's reference, once it was reported to the context.
    """

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
        """Prepare the run; nothing is sent yet.

        Args:
            outputs: The nodes whose images are the result.
            free: True if the server costs nothing, so a lost job may be repeated.
            reference: The job's reference, if the context has it already.
        """
        self._server = server
        self._graph = graph
        self._outputs = outputs
        self._context = context
        self._clock = clock
        self._free = free
        self.reference = reference
        self._listener = JobListener(server, graph, context=context, clock=clock)
        self._may_be_queued = False
        self._submitted_here = True
        self._response_received = True
        self._resubmitted = False

    @property
    def _state(self) -> PromptState:
        return self._listener.state

    def run(self) -> list[OutputFile]:
        """Submit the job, wait until it is finished, and return its files.

        Raises:
            ImagenError: the job was not accepted, failed, or was cancelled.
        """
        try:
            with mark_unsent():
                self._listener.open()
            self._submit()
            while not self._state.finished:
                self._listener.receive()
                if self._listener.poll_due:
                    self._poll()
            return self._collect_files()
        except Cancelled as error:
            settled = self._cancel_and_confirm()
            raise Cancelled(error.message, used=error.used, settled=settled) from error
        finally:
            self._listener.close()

    def rejoin(self) -> list[OutputFile]:
        """Wait for a job that was submitted before, and return its files.

        Raises:
            ImagenError: the job failed, was cancelled, or the server no longer has it.
        """
        # Without a socket: the messages go to the client id that submitted the job.
        self._state.prompt_id = self.reference or ""
        self._may_be_queued, self._submitted_here = True, False
        try:
            while not self._state.finished:
                self._poll()
                if not self._state.finished:
                    self._context.sleep(FAST_POLL_INTERVAL)
            return self._collect_files()
        except Cancelled as error:
            settled = self._cancel_and_confirm()
            raise Cancelled(error.message, settled=settled) from error

    def _submit(self) -> None:
        with mark_unsent():
            body = self._encode_prompt()
            self._context.sleep(0)
        # Set before the request: after a cancellation, a prompt that arrives late must
        # be cancelled as well.
        self._may_be_queued, self._response_received = True, False
        call = BackgroundCall(
            partial(self._server.submit, body),
            undo=lambda _: self._server.cancel(self._state.prompt_id),
        )
        try:
            response = self._await_response(call)
        except Unfinished as error:
            self._response_received = True
            self._look_up_submitted(error)
        except Unavailable:
            self._may_be_queued = False
            raise
        except Cancelled:
            call.abandon()
            raise
        else:
            self._response_received = True
            if response is None:
                self._report_accepted()
            else:
                self._handle_response(response)
        self._listener.schedule_poll()

    def _encode_prompt(self) -> bytes:
        extra: dict[str, object] = {SENT_AT_KEY: self._clock.now().timestamp()}
        if self._listener.live:
            extra |= PREVIEW_REQUEST
        return msgspec.json.encode(
            {
                "prompt": self._graph,
                "prompt_id": self._state.prompt_id,
                "client_id": self._listener.client_id,
                "extra_data": extra,
            }
        )

    def _await_response(
        self, call: BackgroundCall[httpx.Response]
    ) -> httpx.Response | None:
        """Return the response; None if the job shows up on the server before it."""
        self._listener.schedule_poll()
        while not call.wait(CHECK_INTERVAL):
            self._context.sleep(0)
            self._listener.drain()
            # Messages arrived before the response for 5 of 93 prompts (0.3.64).
            if self._state.started:
                return None
            if self._listener.poll_due:
                self._listener.schedule_poll()
                with suppress(Unavailable, BackendError):
                    if self._find_prompt().result(self._context) is not None:
                        return None
        return call.result(self._context)

    def _find_prompt(self) -> BackgroundCall[QueuePosition | PromptHistory | None]:
        return BackgroundCall(partial(self._server.find_prompt, self._state.prompt_id))

    def _handle_response(self, response: httpx.Response) -> None:
        # Newer servers answer 409 to a prompt id that they already have: an earlier
        # submission arrived although its response was lost.
        if response.status_code == _CONFLICT:
            self._report_accepted()
            return
        if not response.is_success:
            self._handle_error_status(response)
            return
        try:
            accepted = msgspec.json.decode(response.content, type=PromptAccepted)
        except (msgspec.DecodeError, UnicodeError):
            self._look_up_submitted(
                Unfinished(f"{self._server.name} sent an unreadable response.")
            )
            return
        # Older servers ignore the submitted prompt id and choose their own.
        self._state.prompt_id = accepted.prompt_id
        self._report_accepted()
        self._check_outputs(accepted)

    def _handle_error_status(self, response: httpx.Response) -> None:
        # A 500 does not prove that nothing was queued: it was seen for a prompt that
        # was queued and ran (0.3.64).
        error = to_status_error(response, self._server.name, creates=True)
        if isinstance(error, Unfinished):
            self._look_up_submitted(error)
            return
        self._may_be_queued = False
        if response.status_code == _BAD_REQUEST:
            raise Refused(
                f"{self._server.name} rejected the workflow."
                f" {explain_refusal(response.content, self._graph)}",
                hint="`imagen backends check` lists missing nodes and files.",
            )
        raise error

    def _check_outputs(self, accepted: PromptAccepted) -> None:
        """Cancel a job that was accepted without one of its output nodes."""
        errors = explain_node_errors(
            accepted.node_errors, self._graph, outputs=self._outputs
        )
        if not errors:
            return
        self._cancel_and_confirm()
        raise Refused(
            f"{self._server.name} rejected a part of the workflow."
            f" {' '.join(errors.values())}",
            hint="`imagen backends check` lists missing nodes and files.",
        )

    def _report_accepted(self) -> None:
        if self.reference is None:
            self.reference = self._state.prompt_id
            self._context.accepted(self.reference)

    def _look_up_submitted(self, unfinished: Unfinished) -> None:
        """Look for a job whose response was lost; never submit it again here.

        Raises:
            Unavailable: the server does not have it, and it cost nothing.
            Unfinished: the server does not have it, but may have billed it.
        """
        for _ in range(_LOOKUP_TRIES):
            found = self._search()
            if found is not None or self._state.started:
                self._report_accepted()
                if isinstance(found, PromptHistory):
                    self._state.apply_history(found)
                return
            self._context.sleep(GRACE_PERIOD)
        if not self._free:
            raise unfinished
        self._may_be_queued = False
        raise Unavailable(
            f"{unfinished.message} The server does not have the job."
        ) from unfinished

    def _poll(self) -> None:
        self._listener.reconnect()
        found = self._search()
        self._listener.schedule_poll()
        match found:
            case _ if self._state.finished:
                pass
            case None:
                self._handle_missing()
            case PromptHistory():
                self._state.apply_history(found)
            case QueuePosition(running=running, ahead=ahead):
                if not running:
                    note = f"queued, {ahead} ahead" if ahead else "queued"
                    self._listener.report(note)

    def _search(self) -> QueuePosition | PromptHistory | None:
        """Ask the server until it answers or a message ends the job."""
        absent, tries = 0.0, 0
        while not self._state.finished:
            started = self._clock.monotonic()
            try:
                return self._find_prompt().result(self._context)
            except (Unavailable, BackendError) as error:
                self._listener.drain()
                pause = min(FAST_POLL_INTERVAL, GRACE_PERIOD * 2**tries)
                tries += 1
                # While the socket is open, the server is there and only busy.
                if not self._listener.connected:
                    absent += self._clock.monotonic() - started + pause
                    self._check_outage(error, absent)
                self._context.sleep(pause)
        return None

    def _check_outage(self, error: ImagenError, absent: float) -> None:
        self._listener.was_away = True
        if absent > MAX_OUTAGE:
            raise Unfinished(
                f"{self._server.name} stopped responding while it had the job, and did"
                f" not come back within {MAX_OUTAGE:g} s.",
                hint=error.message,
            ) from error
        self._listener.report("waiting for the server to come back")

    def _handle_missing(self) -> None:
        """Decide what to do when neither queue nor history has the job."""
        self._listener.receive_late_messages()
        # The history was cleared after the job's last message.
        if self._state.outcome is not None:
            self._state.finished = True
        elif not self._submitted_here:
            raise BackendError(
                f"{self._server.name} no longer has the job.",
                hint="It was restarted, or its history was cleared.",
            )
        elif not self._listener.was_away:
            raise BackendError(
                f"{self._server.name} no longer has the job: another client deleted it"
                " from the queue."
            )
        elif not self._free:
            raise Unfinished(
                f"{self._server.name} was unavailable for a while and lost the job.",
                hint="It may have been billed, so imagen does not submit it again.",
            )
        elif self._resubmitted:
            raise BackendError(
                f"{self._server.name} was restarted twice and lost the job each time.",
                hint="If the job itself crashes the server, use a smaller size.",
            )
        else:
            self._resubmit()

    def _resubmit(self) -> None:
        """Submit a job that a restart lost once more."""
        # With the same prompt id: a server that has the job after all answers 409.
        self._resubmitted = True
        self._listener.report("the server lost the job; submitting it again")
        self._listener.reset()
        self._listener.reconnect()
        self._submit()

    def _collect_files(self) -> list[OutputFile]:
        """Return the files of a successful job; raise the error of any other."""
        if self._state.outcome is None or (
            self._state.outcome == "success" and not self._output_files()
        ):
            self._complete_state()
        if self._state.outcome == "error":
            raise explain_failure(self._state.error, self._graph)
        if self._state.outcome == "interrupted":
            raise BackendError(f"The job was interrupted on {self._server.name}.")
        files = self._output_files()
        if not files:
            nodes = ", ".join(
                display_node_name(self._graph, node) for node in self._outputs
            )
            raise BackendError(
                f"{self._server.name} finished the job without an image from {nodes}.",
                hint="The workflow must end in SaveImage or PreviewImage.",
            )
        return files

    def _output_files(self) -> list[OutputFile]:
        files = self._state.files
        return [file for node in self._outputs for file in files.get(node, ())]

    def _complete_state(self) -> None:
        """Read from the history what the lost messages contained."""
        self._state.finished = False
        found = self._search()
        self._state.finished = True
        if isinstance(found, PromptHistory):
            self._state.apply_history(found)
        elif self._state.outcome is None:
            raise Unfinished(f"{self._server.name} does not report how the job ended.")

    def _cancel_and_confirm(self) -> bool:
        """Cancel the job; return True if it has certainly left the server."""
        if not self._may_be_queued:
            return True
        # Repeated until the job is gone: an interrupt takes effect only at the next
        # sampler step or node, and an unfinished submission can arrive in between.
        until = self._clock.monotonic() + MAX_CANCEL_TIME
        for _ in range(_CANCEL_TRIES):
            call = BackgroundCall(self._cancel_once)
            with suppress(ImagenError):
                gone = call.result_within(until - self._clock.monotonic())
                if gone is None:  # no answer in time
                    return False
                if gone:
                    return True
            if self._clock.monotonic() + GRACE_PERIOD > until:
                return False
            self._listener.pause()
        return False

    def _cancel_once(self) -> bool:
        self._server.cancel(self._state.prompt_id)
        position = self._server.queue_position(self._state.prompt_id)
        return position is None and self._response_received
