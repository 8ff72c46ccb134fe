"""Image backend for a ComfyUI server, with a built-in workflow or the user's own.

Every config that names an instance loads this module. The modules that need the network
libraries are therefore imported by the methods that use them.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from imagen.adapters.backends.comfyui.filling import fill_workflow
from imagen.adapters.backends.comfyui.workflow import (
    BUILT_IN,
    FILE_KEYS,
    RequiredFile,
    Workflow,
    list_required_files,
    load_workflow,
    workflow_capabilities,
)
from imagen.domain.capabilities import Capabilities
from imagen.domain.errors import (
    BackendError,
    Cancelled,
    ImagenError,
    Misconfigured,
    Unauthorized,
)
from imagen.domain.job import ImageJob
from imagen.domain.money.cost import FREE, Cost
from imagen.domain.result import Generated, GeneratedImage
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend, Readiness
from imagen.ports.clock import Clock
from imagen.ports.job_context import JobContext

if TYPE_CHECKING:
    from imagen.adapters.backends.comfyui.client import ComfyClient
    from imagen.adapters.backends.comfyui.protocol import OutputFile
    from imagen.adapters.backends.comfyui.run import JobRun

DEFAULT_URL = "http://localhost:8188"
DEFAULT_PREFIX = "imagen"


class ComfyOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The config block of a ComfyUI backend."""

    base_url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s/?#]+[^\s?#]*$",
            description="The URL of ComfyUI, with its path if it has one.",
            examples=[DEFAULT_URL],
        ),
    ] = DEFAULT_URL
    workflow: Annotated[
        str,
        Meta(
            min_length=1,
            description="A built-in workflow (" + ", ".join(BUILT_IN) + "),"
            " or the path of your own, exported with Export (API).",
            examples=["flux-schnell"],
        ),
    ] = "flux-schnell"
    files: Annotated[
        Mapping[str, str],
        Meta(
            description="Model files on the server to use instead of the workflow's,"
            f" by {', '.join(FILE_KEYS)} or by node.input.",
            examples=[{"unet": "flux1-schnell-fp8.safetensors"}],
        ),
    ] = {}
    bindings: Annotated[
        Mapping[str, str | tuple[str, ...]],
        Meta(
            description="The inputs for the values of a job, as node.input, if imagen"
            " does not find them itself; an empty list binds none.",
            examples=[{"prompt": "6.text", "output": "9"}],
        ),
    ] = {}
    # Without `..` and without a leading slash: ComfyUI 0.3.64 saves a file named
    # `dots..x` but refuses to serve it (400), and fails to save outside its folder.
    prefix: Annotated[
        str,
        Meta(
            pattern=r"^(?!/|\\)(?!.*\.\.)[^\x00-\x1f]{0,100}$",
            description="Prefix of the file names on the server, may start with a"
            " folder; empty uses that of the workflow.",
            examples=["imagen/picture"],
            extra={
                "shape": "at most 100 characters without `..` and without a leading"
                " slash"
            },
        ),
    ] = DEFAULT_PREFIX
    api_key_env: Annotated[
        str | None,
        Meta(
            description="The environment variable with the key of a rented or protected"
            " server, sent as `Authorization: Bearer`.",
            examples=["COMFY_API_KEY"],
        ),
    ] = None
    headers_env: Annotated[
        Mapping[str, str],
        Meta(
            description="Other headers to send, each with the environment variable that"
            " holds its value.",
            examples=[{"X-API-Key": "COMFY_API_KEY"}],
        ),
    ] = {}


class ComfyBackend:
    """A ComfyUI server with one workflow."""

    def __init__(
        self, options: ComfyOptions, context: BackendContext, *, workflow: Workflow
    ) -> None:
        self._options = options
        self._workflow = workflow
        self._clock: Clock = context.clock
        # A server behind a key may be a rented one, which costs money.
        self._free = not options.api_key_env and not options.headers_env
        self._headers, self._unset = _build_headers(options, context)
        self._lock = Lock()
        self._server: ComfyClient | None = None

    def __repr__(self) -> str:
        return f"ComfyBackend({self._workflow.name!r})"

    def capabilities(self) -> Capabilities:
        """Return what a job may choose in the workflow."""
        return msgspec.structs.replace(
            workflow_capabilities(self._workflow), may_cost=not self._free
        )

    def prepare(self) -> None:
        """Import the network modules and build the client."""
        import_module("imagen.adapters.backends.comfyui.run")
        import_module("imagen.adapters.backends.comfyui.download")
        self._connect()

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Submit the job, wait until it is finished, and download the images."""
        from imagen.adapters.backends.comfyui.client import FileGone  # noqa: PLC0415 - network
        from imagen.adapters.backends.comfyui.listener import new_id  # noqa: PLC0415 - network
        from imagen.adapters.remote.errors import mark_unsent  # noqa: PLC0415 - network

        with mark_unsent():
            graph = self._fill(job)
        reference: str | None = None
        # The server answers an unchanged workflow from its cache, with the name of the
        # old file, even if that was deleted (observed on 0.3.64). A second run with
        # another prefix, or without the cache, makes the file again.
        for last in (False, True):
            with mark_unsent():
                run = self._new_run(graph, context, reference)
            files = run.run()
            reference = run.reference
            try:
                return self._download(files, job, context)
            except FileGone as error:
                if last or not self._free:
                    raise self._file_gone_error(error) from error
            prefix = f"{self._options.prefix or DEFAULT_PREFIX}-{new_id()[:8]}"
            graph, before = fill_workflow(self._workflow, job, prefix=prefix), graph
            if graph == before:  # no output node has a prefix
                self._connect().free_cache()
        raise AssertionError("the second run returns or raises")

    def resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        """Wait for a job that was submitted before, and download the images."""
        from imagen.adapters.backends.comfyui.client import FileGone  # noqa: PLC0415 - network

        files = self._new_run(self._fill(job), context, reference).rejoin()
        try:
            return self._download(files, job, context)
        except FileGone as error:
            raise self._file_gone_error(error) from error

    def find(
        self, job: ImageJob, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        """Return the references of jobs with exactly this workflow, seed included."""
        from imagen.adapters.remote.background import BackgroundCall  # noqa: PLC0415 - network

        graph, moment = self._fill(job), since.timestamp()
        search = partial(self._connect().find_prompts_like, graph, since=moment)
        return BackgroundCall(search).result(context)

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        """Check the server, and each node and model file of the workflow."""
        context.sleep(0)
        try:
            return tuple(self._check_server(context))
        except Cancelled:
            raise
        except ImagenError as error:
            return (_not_ready("server", error),)

    def close(self) -> None:
        """Close the HTTP client."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.close()

    def _fill(self, job: ImageJob) -> dict[str, dict[str, object]]:
        return fill_workflow(self._workflow, job, prefix=self._options.prefix)

    def _new_run(
        self,
        graph: dict[str, dict[str, object]],
        context: JobContext,
        reference: str | None,
    ) -> "JobRun":
        from imagen.adapters.backends.comfyui.run import JobRun  # noqa: PLC0415 - network

        if self._unset:
            raise _missing_credentials_error(self._unset)
        return JobRun(
            self._connect(),
            graph,
            outputs=self._workflow.bindings.output,
            context=context,
            clock=self._clock,
            free=self._free,
            reference=reference,
        )

    def _download(
        self, files: list["OutputFile"], job: ImageJob, context: JobContext
    ) -> Generated:
        from imagen.adapters.backends.comfyui.download import read_download  # noqa: PLC0415 - network

        downloads = [read_download(self._connect(), file, context) for file in files]
        return Generated(
            images=tuple(
                GeneratedImage(
                    content=content,
                    media_type=_detect_media_type(content, reported),
                    seed=job.seed,
                )
                for content, reported in downloads
            ),
            model=job.model or self.capabilities().model,
            steps=self._workflow.steps if job.steps is None else job.steps,
            cost=FREE if self._free else Cost(),
            parameters={
                "workflow": self._workflow.name,
                "files": [
                    "/".join(filter(None, (file.type, file.subfolder, file.filename)))
                    for file in files
                ],
            },
        )

    def _file_gone_error(self, error: Exception) -> BackendError:
        name = self._connect().name
        return BackendError(f"{name} made {error}, but no longer has the file.")

    def _connect(self) -> "ComfyClient":
        from imagen.adapters.backends.comfyui.client import ComfyClient  # noqa: PLC0415 - network

        with self._lock:
            if self._server is None:
                self._server = ComfyClient(
                    self._options.base_url, headers=self._headers
                )
            return self._server

    def _check_server(self, context: JobContext) -> Iterator[Readiness]:
        from imagen.adapters.remote.background import BackgroundCall  # noqa: PLC0415 - network

        if self._unset:
            yield _not_ready("key", _missing_credentials_error(self._unset))
            return
        server = self._connect()
        version = BackgroundCall(server.version).result(context)
        yield Readiness(name="server", ready=True, note=f"{server.name}, {version}")
        files = list_required_files(self._workflow)
        nodes = self._workflow.graph.nodes.values()
        for kind in sorted({node.class_type for node in nodes}):
            inputs = BackgroundCall(partial(server.node_inputs, kind)).result(context)
            if inputs is None:
                note = "unknown on the server; install it, or update ComfyUI"
                yield Readiness(name=f"node {kind}", ready=False, note=note)
                continue
            yield Readiness(name=f"node {kind}", ready=True)
            for file in files:
                if file.class_type == kind:
                    yield _file_readiness(file, inputs)


def _build_headers(
    options: ComfyOptions, context: BackendContext
) -> tuple[dict[str, str], list[str]]:
    """Return the headers with their secrets, and the variables that are not set."""
    named = {
        f"headers_env.{header}": (header, variable)
        for header, variable in options.headers_env.items()
    }
    if options.api_key_env:
        named["api_key_env"] = "Authorization", options.api_key_env
    headers: dict[str, str] = {}
    unset: list[str] = []
    for key, (header, variable) in named.items():
        secret = context.secrets.get(key)
        if secret is None:
            unset.append(variable)
        else:
            headers[header] = f"Bearer {secret}" if key == "api_key_env" else secret
    return headers, unset


def _missing_credentials_error(unset: list[str]) -> Unauthorized:
    names = ", ".join(f"${name}" for name in unset)
    return Unauthorized(f"{names} is not set.", hint="It holds the key for ComfyUI.")


def _detect_media_type(content: bytes, reported: str) -> str:
    try:
        return read_facts(content).media_type
    except NotAnImage:
        return reported or "application/octet-stream"


def _not_ready(name: str, error: ImagenError) -> Readiness:
    note = " ".join(filter(None, (error.message, error.hint)))
    return Readiness(name=name, ready=False, note=note)


def _file_readiness(file: RequiredFile, inputs: Mapping[str, object]) -> Readiness:
    from imagen.adapters.backends.comfyui.errors import (  # noqa: PLC0415 - only here
        join_choices,
        parse_choices,
    )

    name, choices = f"file {file.name}", parse_choices(inputs.get(file.input))
    if choices is None:
        return Readiness(name=name, ready=True, note=f"{file.input} accepts any name")
    if file.name in choices:
        return Readiness(name=name, ready=True)
    available = f"it has {join_choices(choices)}" if choices else "it has no files"
    return Readiness(
        name=name,
        ready=False,
        note=f"{file.class_type} does not have this file; {available}",
    )


def create(options: ComfyOptions, context: BackendContext) -> ImageBackend:
    """Build the backend and read its workflow; nothing is sent.

    Raises:
        Misconfigured: the workflow cannot be used.
    """
    try:
        workflow = load_workflow(
            options.workflow, files=options.files, bindings=options.bindings
        )
    except Misconfigured as error:
        raise Misconfigured(
            f"{context.name}: {error.message}", hint=error.hint
        ) from error
    return ComfyBackend(options, context, workflow=workflow)


adapter = Adapter(
    summary="A ComfyUI server, local or rented, with any workflow.",
    options=ComfyOptions,
    create=create,
    multiprocess=True,
)
