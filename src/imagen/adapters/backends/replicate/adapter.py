"""The Replicate backend: any image model that Replicate runs, by its name.

Every config that names an instance loads this module, so the modules that use the
network are imported when the first request is sent.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from imagen.adapters.backends.replicate.catalog import (
    DEFAULT_URL,
    ModelCatalog,
    Target,
)
from imagen.adapters.backends.replicate.vendor import Replicate
from imagen.adapters.remote.backend import key_meta, remote_backend, url_meta
from imagen.adapters.remote.vendor import bearer
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend

DEFAULT_MODEL = "black-forest-labs/flux-schnell"
MAX_WAIT = 60

_NAME = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
ModelName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^{_NAME}(:[0-9a-f]{{64}})?$",
        extra={"shape": "a model such as black-forest-labs/flux-dev"},
    ),
]
DeploymentName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^{_NAME}$",
        extra={"shape": "a deployment such as ada/my-deployment"},
    ),
]


class ReplicateOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The options of a Replicate backend in the config."""

    model: Annotated[
        ModelName | None,
        Meta(
            description="The model: owner/name, or owner/name:version;"
            f" {DEFAULT_MODEL} unless a deployment is set.",
            examples=["black-forest-labs/flux-dev"],
        ),
    ] = None
    deployment: Annotated[
        DeploymentName | None,
        Meta(
            description="Your own deployment, used instead of a model: owner/name.",
            examples=["ada/my-deployment"],
        ),
    ] = None
    input: Annotated[
        Mapping[str, object],
        Meta(
            description="Inputs sent with every job, by the model's own names; the"
            " parameters of the job take precedence.",
            examples=[{"guidance": 3.5}],
        ),
    ] = {}
    wait: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_WAIT,
            description="Seconds for which Replicate may delay its response to return"
            " the image in it; at 0 the id of the job is known at once.",
        ),
    ] = 0
    api_token_env: Annotated[
        str,
        key_meta("REPLICATE_API_TOKEN", "REPLICATE_API_KEY", name="token"),
    ] = "REPLICATE_API_TOKEN"  # noqa: S105 - a variable's name
    base_url: Annotated[
        str,
        url_meta(DEFAULT_URL),
    ] = DEFAULT_URL


def create(options: ReplicateOptions, context: BackendContext) -> ImageBackend:
    """Return the backend; nothing is sent yet."""
    url = options.base_url.rstrip("/")
    if options.deployment:
        target = Target(name=options.deployment, deployment=True)
    else:
        target = Target.parse(options.model or DEFAULT_MODEL)
    folder = None if context.cache is None else Path(context.cache)
    vendor = Replicate(
        url=url,
        target=target,
        inputs=options.input,
        wait=options.wait,
        catalog=ModelCatalog(url, folder=folder, clock=context.clock),
    )
    token = context.secrets.get("api_token_env")
    return remote_backend(
        vendor,
        context,
        base_url=url,
        credentials=bearer(token) if token else None,
        hint="Set it to a token from replicate.com/account/api-tokens.",
        key_env=options.api_token_env,
    )


adapter = Adapter(
    summary="Every image model on Replicate: FLUX, Imagen, Ideogram.",
    options=ReplicateOptions,
    create=create,
    multiprocess=True,
)
