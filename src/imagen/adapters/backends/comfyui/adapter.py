"""Image backend for a ComfyUI server, with a built-in workflow or the user's own.

Every config that names an instance loads this module. The modules that need the network
libraries are therefore imported by the methods that use them.
"""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from imagen.adapters.backends.comfyui.vendor import (
    DEFAULT_PREFIX,
    ComfyUI,
    EditorComfyUI,
)
from imagen.adapters.backends.comfyui.workflow import (
    BUILT_IN,
    FILE_KEYS,
    PREFERRED,
    EditorWorkflow,
    name_instance,
    open_workflow,
)
from imagen.adapters.remote.backend import remote_backend
from imagen.adapters.remote.vendor import basic_auth
from imagen.domain.errors import Misconfigured
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend

DEFAULT_URL = "http://localhost:8188"


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
            " or the path of your own, in API format or as the editor saves it.",
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


def _split_login(url: str) -> tuple[str, Mapping[str, str]]:
    """Return the URL without user and password, and the header for them."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    headers: Mapping[str, str] = basic_auth(unquote(login)) if login else {}
    return urlunsplit(parts._replace(netloc=host)), headers


def create(options: ComfyOptions, context: BackendContext) -> ImageBackend:
    """Build the backend and read its workflow; nothing is sent.

    Raises:
        Misconfigured: the workflow cannot be used.
    """
    try:
        workflow = open_workflow(
            options.workflow, files=options.files, bindings=options.bindings
        )
    except Misconfigured as error:
        raise name_instance(error, context.name) from error
    url, login = _split_login(options.base_url)
    headers, unset = _build_headers(options, context)
    # A server behind a key may be a rented one, which costs money.
    free = not options.api_key_env and not options.headers_env
    kind = EditorComfyUI if isinstance(workflow, EditorWorkflow) else ComfyUI
    vendor = kind(
        workflow,
        instance=context.name,
        url=url,
        prefix=options.prefix,
        free=free,
        extras="output" not in options.bindings,
        clock=context.clock,
    )
    return remote_backend(
        vendor,
        context,
        base_url=url,
        credentials=None if unset else {**login, **headers},
        hint="It holds the key for ComfyUI.",
        key_env=unset,
    )


adapter = Adapter(
    summary="A ComfyUI server, local or rented, with any workflow.",
    options=ComfyOptions,
    create=create,
    multiprocess=True,
    ports=(8000,),
    presets=tuple({"workflow": name} for name in PREFERRED),
)
