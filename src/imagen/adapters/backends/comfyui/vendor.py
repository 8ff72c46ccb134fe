"""ComfyUI as a vendor file: its requests, and the meaning of responses and messages."""

from collections.abc import Mapping
from copy import copy
from datetime import datetime
from itertools import chain
from urllib.parse import urlencode

import msgspec

from imagen.adapters.backends.comfyui.checks import (
    check_server,
    check_workflow,
    decoding,
)
from imagen.adapters.backends.comfyui.errors import (
    build_lost_error,
    build_no_image_error,
    explain_failure,
    explain_node_errors,
    explain_refusal,
    is_about_installation,
)
from imagen.adapters.backends.comfyui.filling import fill_workflow
from imagen.adapters.backends.comfyui.graph import ApiWorkflow, encode_graph
from imagen.adapters.backends.comfyui.history import (
    PromptHistory,
    PromptState,
    find_prompts,
    find_queue_position,
    parse_history,
)
from imagen.adapters.backends.comfyui.preparation import (
    check_model,
    convert_workflow,
    prepare_job,
)
from imagen.adapters.backends.comfyui.progress import PromptProgress
from imagen.adapters.backends.comfyui.protocol import (
    PREVIEW_REQUEST,
    SENT_AT_KEY,
    OutputFile,
    PromptAccepted,
    Status,
    parse_message,
    parse_preview,
)
from imagen.adapters.backends.comfyui.workflow import (
    EditorWorkflow,
    Workflow,
    name_instance,
    workflow_capabilities,
)
from imagen.adapters.remote.vendor import (
    Checks,
    Exchange,
    HttpRequest,
    HttpResponse,
    JobAccepted,
    JobFailed,
    JobOutput,
    JobPreview,
    JobRunning,
    JobStatus,
    JobSucceeded,
    PollNow,
    UnreadableResponse,
    WebSocketRequest,
    quote_segment,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import BackendError, Misconfigured, Refused
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import FREE, Cost
from imagen.ports.clock import Clock

DEFAULT_PREFIX = "imagen"

MAX_HISTORY_ITEMS = 500
"""Number of the newest finished prompts that a search reads."""

LONG_TIMEOUT = 30.0
"""Seconds to wait for a response that may be large."""

SOCKET_CLASS = "SaveImageWebsocket"
"""The node that sends its images over the WebSocket, and stores none."""

MAX_LATE_POLLS = 3
"""Polls of a finished prompt for which its last message is waited for."""

# A server puts the prompt id into previews only if this is the socket's first message;
# as the second message it is ignored (observed on 0.3.64).
_FEATURE_FLAGS = '{"type":"feature_flags","data":{"supports_preview_metadata":true}}'

_BAD_REQUEST, _NOT_FOUND = 400, 404


class ComfyUI:
    """A ComfyUI server with one workflow; for one job with what is known of it.

    The prompt id and the client id of a job are its key. So each job has its own
    WebSocket: the server sends a prompt's messages to one socket, and forgets a client
    id when an older socket with this id closes (observed on 0.3.64).
    """

    # With 503 a server has not processed the request (RFC 9110). A 500 does not prove
    # that nothing was queued: it was seen for a prompt that ran (0.3.64).
    refuses_with = frozenset({503})
    fails_with: frozenset[int] = frozenset()
    named = True

    _job: ImageJob
    """Set by `for_job`."""

    def __init__(
        self,
        workflow: Workflow | EditorWorkflow,
        *,
        instance: str,
        url: str,
        prefix: str,
        free: bool,
        extras: bool,
        clock: Clock,
    ) -> None:
        """Create the vendor file.

        Args:
            workflow: The workflow; one in the editor's format is converted before its
                first use, as that needs the types of the nodes on the server.
            instance: The name of the instance, for messages.
            url: The base URL.
            prefix: Prefix of the file names on the server; "" for the workflow's own.
            free: Whether the server costs nothing.
            extras: Whether the images of other output nodes are stored as well.
            clock: The clock, for the time at which a prompt was submitted.
        """
        self._editor = workflow if isinstance(workflow, EditorWorkflow) else None
        # Shared by the vendor files of all jobs.
        self._converted = [] if isinstance(workflow, EditorWorkflow) else [workflow]
        self._instance = instance
        self._url = url
        self._prefix = prefix
        self._free = free
        self._extras = extras
        self._clock = clock
        self._previews = False
        self._graph: ApiWorkflow = {}
        self._forget()

    def _forget(self) -> None:
        """Begin without any message."""
        self._state = PromptState("")
        self._progress = PromptProgress(self._graph)
        self._images: dict[str, list[bytes]] = {}
        self._remaining = 0
        self._late_polls = 0

    @property
    def name(self) -> str:
        """The name for messages: with the address."""
        from imagen.adapters.remote.errors import display_url  # noqa: PLC0415 - network

        return f"ComfyUI at {display_url(self._url)}"

    @property
    def _workflow(self) -> Workflow:
        """The workflow, after `_load`."""
        return self._converted[0]

    def capabilities(self) -> Capabilities:
        """Return what a job may choose in the workflow, as far as it is known."""
        if self._editor is None:
            return self._describe_workflow()
        return Capabilities(
            models=None, parameters=None, live=True, may_cost=not self._free
        )

    def _describe_workflow(self) -> Capabilities:
        return msgspec.structs.replace(
            workflow_capabilities(self._workflow), may_cost=not self._free
        )

    def _load(self) -> Exchange[None]:
        """Convert the workflow, the first time.

        Raises:
            Misconfigured: it cannot be converted, or not be used.
            UnreadableResponse: another program answers.
        """
        if self._editor is None or self._converted:
            return
        try:
            self._converted.append((yield from convert_workflow(self._editor)))
        except Misconfigured as error:
            raise name_instance(error, self._instance) from error
        except BackendError as error:
            # This request was not about the job, so the job has not failed.
            raise UnreadableResponse(error.message, hint="Check base_url.") from error

    # Submission

    def for_job(self, job: ImageJob, *, previews: bool) -> "ComfyUI":
        """Return a vendor file for one job, which keeps what its messages say."""
        found = copy(self)
        found._job, found._previews = job, previews  # noqa: SLF001 - the same class
        found._forget()  # noqa: SLF001
        return found

    def repeat(self) -> "Exchange[ComfyUI]":
        """Return the vendor file for a job whose files were deleted, or not received.

        The server answers an unchanged node from its cache, with the name of the old
        file (observed on 0.3.64). Another prefix, or no cache, makes it again.
        """
        moment = int(self._clock.now().timestamp() * 1000)
        prefix = f"{self._prefix or DEFAULT_PREFIX}-{moment:x}"
        again = self.for_job(self._job, previews=self._previews)
        again._prefix = prefix  # noqa: SLF001 - the same class
        changed = fill_workflow(self._workflow, self._job, prefix=prefix) != self._graph
        if not changed or self._state.files.keys() - {*self._workflow.bindings.output}:
            yield HttpRequest(method="POST", path="free", json={"free_memory": True})
        return again

    def prepare(self, job: ImageJob) -> Exchange[ImageJob]:
        """Check the options of the job, upload its images, and return it."""
        yield from self._load()
        # What cannot be filled in is refused before its first request.
        fill_workflow(self._workflow, job, prefix=self._prefix)
        yield from prepare_job(self._workflow, job)
        return job

    def submit(self, job: ImageJob, key: str) -> HttpRequest:
        """Return the request that queues the prompt."""
        self._graph = fill_workflow(self._workflow, job, prefix=self._prefix)
        self._progress = PromptProgress(self._graph)
        extra: dict[str, object] = {SENT_AT_KEY: self._clock.now().timestamp()}
        if self._previews:
            extra |= PREVIEW_REQUEST
        return HttpRequest(
            method="POST",
            path="prompt",
            headers={"Content-Type": "application/json"},
            content=msgspec.json.encode(
                {
                    "prompt": msgspec.Raw(encode_graph(self._graph)),
                    "prompt_id": key,
                    "client_id": key,
                    "extra_data": extra,
                }
            ),
        )

    def submitted(self, job: ImageJob, response: HttpResponse) -> JobAccepted:
        """Return the id of the prompt, which older servers choose themselves."""
        accepted = response.json(PromptAccepted)
        errors = explain_node_errors(
            accepted.node_errors, self._graph, outputs=self._workflow.bindings.output
        )
        if not errors:
            return JobAccepted(reference=accepted.prompt_id)
        refusal = Refused(
            f"{self.name} rejected a part of the workflow. {' '.join(errors.values())}"
        )
        return JobAccepted(
            reference=accepted.prompt_id, status=JobFailed(error=refusal, cancel=True)
        )

    def error(self, response: HttpResponse) -> Refused | None:
        """Return the reasons for which the server rejects the workflow."""
        if response.status != _BAD_REQUEST or b'"error"' not in response.content:
            return None
        check = is_about_installation(response.content)
        return Refused(
            f"{self.name} rejected the workflow."
            f" {explain_refusal(response.content, self._graph)}",
            hint="`imagen backends check` lists missing nodes and files."
            if check
            else "",
        )

    # Messages

    def events(self, key: str) -> WebSocketRequest:
        """Return the WebSocket of the client."""
        return WebSocketRequest(
            path="ws", query={"clientId": key}, first=_FEATURE_FLAGS
        )

    def event(
        self, reference: str, message: str | bytes
    ) -> JobRunning | JobPreview | PollNow | None:
        """Update the state of the prompt, and return its progress."""
        self._state.prompt_id = reference
        if isinstance(message, bytes):
            return self._read_image(message)
        frame = parse_message(message)
        if isinstance(frame, Status):
            return self._read_remaining(frame.data.status.exec_info.queue_remaining)
        if frame is None or not self._state.apply(frame):
            return None
        if frame.type == "execution_start":
            self._images.clear()  # of a run that a restart has ended
        if self._state.finished:
            return PollNow()
        return self._progress.read(frame, self._state)

    def _read_image(self, message: bytes) -> JobRunning | JobPreview | None:
        preview, state = parse_preview(message), self._state
        # Older servers do not name the prompt of a preview, and broadcast previews of
        # prompts without a client id: take them only while this job runs.
        if preview is None or not (
            preview.prompt_id == state.prompt_id
            or (preview.prompt_id is None and state.node is not None)
        ):
            return None
        node = preview.node or state.node or ""
        if self._graph.get(node, {}).get("class_type") == SOCKET_CLASS:
            self._images.setdefault(node, []).append(preview.content)
            return JobRunning(note="receiving")
        if not self._previews:
            return None
        return JobPreview(content=preview.content, media_type=preview.media_type)

    def _read_remaining(self, remaining: int | None) -> PollNow | None:
        """Return PollNow if a prompt has left the queue, and it can be this one.

        A deleted prompt gets no message of its own: a smaller queue is the only sign.
        """
        if remaining is None:
            return None
        fewer, self._remaining = remaining < self._remaining, remaining
        waits = not self._state.started or self._state.outcome is not None
        return PollNow() if fewer and waits else None

    # Status

    def poll(self, reference: str) -> Exchange[JobStatus]:
        """Return the status of a prompt, from the queue or else from the history."""
        yield from self._load()
        if self._state.outcome is not None:
            entry = yield from self._read_history(reference)
            if entry is not None:
                return self._read_end(entry)
        # The queue first: a prompt moves from the queue to the history under one lock,
        # so the other order missed it in 74 of 150 lookups, and this order in none.
        queue = yield HttpRequest(path="queue")
        with decoding(self.name):
            position = find_queue_position(queue.content, reference)
        if position is not None:
            if position.running:
                return JobRunning(note=self._progress.activity)
            ahead = f", {position.ahead} ahead" if position.ahead else ""
            return JobRunning(note=f"queued{ahead}")
        entry = yield from self._read_history(reference)
        if entry is None and self._state.outcome is None:
            return JobFailed(error=build_lost_error(self.name), lost=True)
        return self._read_end(entry)

    def _read_history(self, reference: str) -> Exchange[PromptHistory | None]:
        response = yield HttpRequest(path=f"history/{quote_segment(reference)}")
        with decoding(self.name):
            return parse_history(response.content, reference)

    def _read_end(self, entry: PromptHistory | None) -> JobStatus:
        """Return the result, from the history or else from the messages."""
        state = self._state
        if entry is not None:
            state.apply_history(entry)
        if state.outcome == "error":
            return JobFailed(error=explain_failure(state.error, self._graph))
        if state.outcome == "interrupted":
            message = f"The job was interrupted on {self.name}."
            return JobFailed(error=BackendError(message))
        wanted = self._workflow.bindings.output
        sent = [node for node in wanted if self._is_sent(node)]
        # The images of a socket arrive before the last message.
        if sent and not state.finished and self._late_polls < MAX_LATE_POLLS:
            self._late_polls += 1
            return JobRunning(note="receiving")
        if not (sent or any(state.files.get(node) for node in wanted)):
            return JobFailed(
                error=build_no_image_error(
                    self.name, self._graph, self._workflow.bindings.output
                )
            )
        return self._succeed()

    def _list_sent(self, node: str) -> list[JobOutput]:
        """Return the images that a node has sent over the WebSocket."""
        lost = (
            f"{self.name} finished the job, but its image is lost: {SOCKET_CLASS} sends"
            " an image once over the WebSocket, and the connection was lost. SaveImage"
            " keeps it on the server."
        )
        images = self._images.get(node, ())
        seed = self._job.seed
        return [JobOutput(content=image, seed=seed) for image in images] or [
            JobOutput(lost=lost)
        ]

    def _list_files(self, node: str) -> list[JobOutput]:
        """Return the files that a node has saved."""
        return [
            JobOutput(
                url=f"view?{urlencode(msgspec.structs.asdict(file))}",
                seed=self._job.seed,
                deleted_with=frozenset({_NOT_FOUND} if self._free else ()),
            )
            for file in self._select_files(node)
        ]

    def _select_files(self, node: str) -> list[OutputFile]:
        # A node that only shows images stores temporary files.
        files, wanted = self._state.files.get(node, ()), self._workflow.bindings.output
        return [file for file in files if node in wanted or file.type == "output"]

    def _succeed(self) -> JobSucceeded:
        """Return the images of the requested nodes, and then of the others."""
        job, wanted = self._job, self._workflow.bindings.output
        others = [node for node in self._state.files if node not in wanted]
        nodes = [*wanted, *(others if self._extras else ())]
        outputs = [
            self._list_sent(node) if self._is_sent(node) else self._list_files(node)
            for node in nodes
        ]
        return JobSucceeded(
            outputs=tuple(chain.from_iterable(outputs)),
            model=job.model or workflow_capabilities(self._workflow).model,
            steps=self._workflow.steps if job.steps is None else job.steps,
            cost=FREE if self._free else Cost(),
            parameters={
                "workflow": self._workflow.name,
                "files": [
                    "/".join(filter(None, (file.type, file.subfolder, file.filename)))
                    for node in nodes
                    for file in self._select_files(node)
                ],
            },
        )

    def _is_sent(self, node: str) -> bool:
        entry = self._workflow.graph.nodes.get(node)
        return entry is not None and entry.class_type == SOCKET_CLASS

    def cancel(self, reference: str) -> Exchange[None]:
        """Delete a prompt from the queue, and interrupt it if it runs."""
        # Both requests, because the prompt can start between them. An interrupt without
        # a prompt id would stop the running prompt, also another client's prompt.
        yield HttpRequest(method="POST", path="queue", json={"delete": [reference]})
        yield HttpRequest(
            method="POST", path="interrupt", json={"prompt_id": reference}
        )

    # Free requests

    def find(self, job: ImageJob, since: datetime) -> Exchange[tuple[str, ...]]:
        """Return the ids of all prompts with exactly this workflow, seed included.

        Searches the queue and the newest `MAX_HISTORY_ITEMS` finished prompts, except
        for what imagen sent before `since`.
        """
        yield from self._load()
        graph = fill_workflow(self._workflow, job, prefix=self._prefix)
        queue = yield HttpRequest(path="queue", timeout=LONG_TIMEOUT)
        history = yield HttpRequest(
            path="history",
            query={"max_items": str(MAX_HISTORY_ITEMS)},
            timeout=LONG_TIMEOUT,
        )
        with decoding(self.name):
            return find_prompts(
                queue.content, history.content, graph, since=since.timestamp()
            )

    def check(self) -> Mapping[str, Exchange[str | Checks]]:
        """Check the server, and then each node and model file of the workflow."""
        return {
            "server": check_server(self.name),
            "workflow": self._check_workflow(),
        }

    def _check_workflow(self) -> Exchange[str | Checks]:
        yield from self._load()
        return (yield from check_workflow(self._workflow))


class EditorComfyUI(ComfyUI):
    """A ComfyUI server with a workflow in the editor's format."""

    def look_up_model(self, model: str) -> Exchange[Capabilities]:
        """Return what a job may choose in the converted workflow."""
        yield from self._load()
        yield from check_model(self._workflow, model)
        return self._describe_workflow()
