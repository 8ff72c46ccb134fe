"""Draws on a ComfyUI server, with a built-in workflow or any of the user's own.

What talks over the network is imported when there is something to say: every config
that names an instance loads this module.
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
    find_output_nodes,
    list_required_files,
    list_required_nodes,
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
from imagen.domain.money.cost import FREE, Cost
from imagen.domain.plan import ImageJob
from imagen.domain.result import Generated, GeneratedImage
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.backend import (
    Adapter,
    BackendContext,
    ImageBackend,
    JobContext,
    Readiness,
)
from imagen.ports.clock import Clock

if TYPE_CHECKING:
    from imagen.adapters.backends.comfyui.client import ComfyClient
    from imagen.adapters.backends.comfyui.protocol import OutputFile

DEFAULT_URL = "http://localhost:8188"
DEFAULT_PREFIX = "imagen"
MAX_CHOICES_LISTED = 12


class ComfyOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """ComfyUI's own block of the config."""

    base_url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s/?#]+[^\s?#]*$",
            description="Where ComfyUI is, with its path if it has one.",
            examples=[DEFAULT_URL],
        ),
    ] = DEFAULT_URL
    workflow: Annotated[
        str,
        Meta(
            min_length=1,
            description="What it does: " + ", ".join(BUILT_IN) + ";"
            " or the path of a workflow of your own, exported with Export (API).",
            examples=["flux-schnell"],
        ),
    ] = "flux-schnell"
    files: Annotated[
        Mapping[str, str],
        Meta(
            description="Model files on the server, instead of those that the workflow"
            f" names, by {', '.join(FILE_KEYS)} or by node.input.",
            examples=[{"unet": "flux1-schnell-fp8.safetensors"}],
        ),
    ] = {}
    bindings: Annotated[
        Mapping[str, str | tuple[str, ...]],
        Meta(
            description="Where a workflow takes what, as node.input, if it is not found"
            " by itself; an empty list says nowhere.",
            examples=[{"prompt": "6.text", "output": "9"}],
        ),
    ] = {}
    prefix: Annotated[
        str,
        Meta(
            pattern=r"^(?!/|\\)(?!.*\.\.)[^\x00-\x1f]{0,100}$",
            description="What its files are called on the server, in which folder of"
            " its output; empty leaves it to the workflow.",
            examples=["imagen/picture"],
        ),
    ] = DEFAULT_PREFIX
    api_key_env: Annotated[
        str | None,
        Meta(
            description="The environment variable with the key for a rented or guarded"
            " server, sent as `Authorization: Bearer`.",
            examples=["COMFY_API_KEY"],
        ),
    ] = None
    headers_env: Annotated[
        Mapping[str, str],
        Meta(
            description="Other headers that it asks for, each with the environment"
            " variable that holds its value.",
            examples=[{"X-API-Key": "COMFY_API_KEY"}],
        ),
    ] = {}


class ComfyBackend:
    """One ComfyUI server with one workflow."""

    def __init__(
        self, options: ComfyOptions, context: BackendContext, *, workflow: Workflow
    ) -> None:
        self._options = options
        self._workflow = workflow
        self._clock: Clock = context.clock
        self._free = not options.api_key_env and not options.headers_env
        self._headers, self._unset = _build_headers(options, context)
        self._lock = Lock()
        self._server: ComfyClient | None = None

    def __repr__(self) -> str:
        return f"ComfyBackend({self._workflow.name!r})"

    def capabilities(self) -> Capabilities:
        """What the workflow lets one choose; a server behind a key may cost money."""
        return msgspec.structs.replace(
            workflow_capabilities(self._workflow), may_cost=not self._free
        )

    def prepare(self) -> None:
        """Load what talks over the network."""
        import_module("imagen.adapters.backends.comfyui.run")
        import_module("imagen.adapters.backends.comfyui.download")
        self._connect()

    def generate(self, job: ImageJob, context: JobContext) -> Generated:
        """Hand the job in, stay with it, fetch the pictures."""
        graph = fill_workflow(self._workflow, job, prefix=self._options.prefix)
        if self._unset:
            raise _missing_credentials_error(self._unset)
        return self._build_result(*self._generate_files(graph, job, context), job)

    def resume(self, job: ImageJob, reference: str, context: JobContext) -> Generated:
        """Look for a job that was handed in before until it is over; fetch it."""
        from imagen.adapters.backends.comfyui.client import FileGone  # noqa: PLC0415
        from imagen.adapters.backends.comfyui.download import (  # noqa: PLC0415
            read_download,
        )
        from imagen.adapters.backends.comfyui.run import JobRun  # noqa: PLC0415

        if self._unset:
            raise _missing_credentials_error(self._unset)
        server = self._connect()
        run = JobRun(
            server,
            fill_workflow(self._workflow, job, prefix=self._options.prefix),
            outputs=find_output_nodes(self._workflow),
            context=context,
            clock=self._clock,
            free=self._free,
            reference=reference,
        )
        files = run.rejoin()
        try:
            contents = [read_download(server, file, context) for file in files]
        except FileGone as gone:
            raise _file_gone_error(server, gone) from gone
        return self._build_result(files, contents, job)

    def find(
        self, job: ImageJob, *, since: datetime, context: JobContext
    ) -> tuple[str, ...]:
        """Look for jobs with the very same workflow, seed and all."""
        from imagen.adapters.remote.client import BackgroundCall  # noqa: PLC0415 - network

        graph = fill_workflow(self._workflow, job, prefix=self._options.prefix)
        server, moment = self._connect(), since.timestamp()
        search = partial(server.find_prompts_like, graph, since=moment)
        return BackgroundCall(search).result(context)

    def _build_result(
        self,
        files: list["OutputFile"],
        contents: list[tuple[bytes, str]],
        job: ImageJob,
    ) -> Generated:
        return Generated(
            images=tuple(_build_image(*content, job) for content in contents),
            model=job.model or self.capabilities().model,
            steps=self._workflow.defaults.steps if job.steps is None else job.steps,
            cost=FREE if self._free else Cost(),
            parameters={
                "workflow": self._workflow.name,
                "files": [_display_file(file) for file in files],
            },
        )

    def check(self, context: JobContext) -> tuple[Readiness, ...]:
        """Look for the server, and for each node and model file of the workflow."""
        context.sleep(0)
        try:
            return tuple(self._check_server(context))
        except Cancelled:
            raise
        except ImagenError as error:
            return (_not_ready("server", error),)

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.close()

    def _generate_files(
        self, graph: dict[str, dict[str, object]], job: ImageJob, context: JobContext
    ) -> tuple[list["OutputFile"], list[tuple[bytes, str]]]:
        """Return the pictures, drawn anew if the server names one that is gone.

        It answers the same workflow from memory, with the name of the old file, even
        when that was deleted since.
        """
        from imagen.adapters.backends.comfyui.client import FileGone  # noqa: PLC0415
        from imagen.adapters.backends.comfyui.download import (  # noqa: PLC0415
            read_download,
        )
        from imagen.adapters.backends.comfyui.run import (  # noqa: PLC0415 - network
            JobRun,
            new_id,
        )

        server, outputs = self._connect(), find_output_nodes(self._workflow)
        reference: str | None = None
        for last in (False, True):
            run = JobRun(
                server,
                graph,
                outputs=outputs,
                context=context,
                clock=self._clock,
                free=self._free,
                reference=reference,
            )
            files = run.run()
            reference = run.reference
            try:
                return files, [read_download(server, file, context) for file in files]
            except FileGone as gone:
                if last or not self._free:
                    raise _file_gone_error(server, gone) from gone
            prefix = f"{self._options.prefix or DEFAULT_PREFIX}-{new_id()[:8]}"
            graph, before = fill_workflow(self._workflow, job, prefix=prefix), graph
            if graph == before:  # nothing in it is called by a prefix
                server.free_cache()
        raise AssertionError("the second time returns or raises")

    def _connect(self) -> "ComfyClient":
        from imagen.adapters.backends.comfyui.client import (  # noqa: PLC0415 - network
            ComfyClient,
        )

        with self._lock:
            if self._server is None:
                self._server = ComfyClient(
                    self._options.base_url, headers=self._headers
                )
            return self._server

    def _check_server(self, context: JobContext) -> Iterator[Readiness]:
        from imagen.adapters.remote.client import BackgroundCall  # noqa: PLC0415 - network

        if self._unset:
            yield _not_ready("key", _missing_credentials_error(self._unset))
            return
        server = self._connect()
        version = BackgroundCall(server.version).result(context)
        yield Readiness(name="server", ready=True, note=f"{server.name}, {version}")
        files = list_required_files(self._workflow)
        for kind in list_required_nodes(self._workflow):
            inputs = BackgroundCall(partial(server.node_inputs, kind)).result(context)
            yield _node_readiness(kind, known=inputs is not None)
            for file in files:
                if file.class_type == kind and inputs is not None:
                    yield _file_readiness(file, inputs)


def _file_gone_error(server: "ComfyClient", gone: Exception) -> BackendError:
    return BackendError(f"{server.name} made {gone}, and does not have it any more.")


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


def _build_image(content: bytes, said: str, job: ImageJob) -> GeneratedImage:
    return GeneratedImage(
        content=content, media_type=_detect_media_type(content, said), seed=job.seed
    )


def _detect_media_type(content: bytes, said: str) -> str:
    try:
        return read_facts(content).media_type
    except NotAnImage:
        return said or "application/octet-stream"


def _display_file(file: "OutputFile") -> str:
    return "/".join(filter(None, (file.type, file.subfolder, file.filename)))


def _not_ready(what: str, error: ImagenError) -> Readiness:
    note = " ".join(filter(None, (error.message, error.hint)))
    return Readiness(name=what, ready=False, note=note)


def _node_readiness(kind: str, *, known: bool) -> Readiness:
    note = "" if known else "the server has no such node; install it, or update ComfyUI"
    return Readiness(name=f"node {kind}", ready=known, note=note)


def _file_readiness(file: RequiredFile, inputs: Mapping[str, object]) -> Readiness:
    from imagen.adapters.backends.comfyui.errors import parse_choices  # noqa: PLC0415

    what, choices = f"file {file.name}", parse_choices(inputs.get(file.input))
    if choices is None:
        return Readiness(name=what, ready=True, note=f"{file.input} takes any name")
    if file.name in choices:
        return Readiness(name=what, ready=True)
    there = ", ".join(map(str, choices[:MAX_CHOICES_LISTED]))
    more = len(choices) - MAX_CHOICES_LISTED
    return Readiness(
        name=what,
        ready=False,
        note=f"{file.class_type} does not have it; "
        + (f"it has {there}" if choices else "it has none at all")
        + (f" and {more} more" if more > 0 else ""),
    )


def create(options: ComfyOptions, context: BackendContext) -> ImageBackend:
    """Read the workflow; nothing is sent yet.

    Raises:
        Misconfigured: it cannot be used.
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
    summary="A ComfyUI server, one's own or a rented one, with any workflow.",
    options=ComfyOptions,
    create=create,
    multiprocess=True,
)
