"""The fal backend: any image model that fal runs, by its name.

Every config that names an instance loads this module, so the modules that use the
network are imported when the first request is sent.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from imagen.adapters.backends.fal.catalog import Description, ModelCatalog
from imagen.adapters.backends.fal.vendor import Fal
from imagen.adapters.remote.backend import key_meta, remote_backend, url_meta
from imagen.adapters.remote.models.cache import DescriptionCache
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend

DEFAULT_MODEL = "fal-ai/flux/schnell"
DEFAULT_URL = "https://queue.fal.run"
PLATFORM_URL = "https://api.fal.ai/v1"

_WORD = r"[A-Za-z0-9][\w.-]*"
ModelName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^{_WORD}(/{_WORD})+$",
        extra={"shape": "a model such as fal-ai/flux/dev"},
    ),
]


class FalOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a fal backend in the config."""

    model: Annotated[
        ModelName, Meta(description="The model.", examples=["fal-ai/flux/dev"])
    ] = DEFAULT_MODEL
    input: Annotated[
        Mapping[str, object],
        Meta(
            description="Inputs sent with every job, by the model's own names; the"
            " parameters of the job take precedence.",
            examples=[{"guidance_scale": 3.5}],
        ),
    ] = {}
    file_lifetime: Annotated[
        Annotated[int, Meta(ge=3600, extra={"unit": "seconds"})] | None,
        Meta(
            description="Seconds for which fal keeps the images; unset: as your"
            " account says.",
            examples=[86400],
        ),
    ] = None
    api_key_env: Annotated[
        str,
        key_meta("FAL_KEY", "FAL_API_KEY", "FAL_AI_API_KEY"),
    ] = "FAL_KEY"
    base_url: Annotated[
        str,
        url_meta(DEFAULT_URL, description="The URL of the queue."),
    ] = DEFAULT_URL
    platform_url: Annotated[
        str,
        url_meta(
            PLATFORM_URL, description="The URL of the API about models and requests."
        ),
    ] = PLATFORM_URL


def create(options: FalOptions, context: BackendContext) -> ImageBackend:
    """Return the backend; nothing is sent yet."""
    url = options.platform_url.rstrip("/")
    folder = None if context.cache is None else Path(context.cache) / "fal"
    files = DescriptionCache(Description, url=url, folder=folder, clock=context.clock)
    catalog = ModelCatalog(
        files, url=url, default=options.model, configured=options.input
    )
    lifetime = {"expiration_duration_seconds": options.file_lifetime}
    headers = {
        "X-Fal-Object-Lifecycle-Preference": msgspec.json.encode(lifetime).decode()
    }
    key = context.secrets.get("api_key_env")
    return remote_backend(
        Fal(catalog=catalog, headers=headers if options.file_lifetime else {}),
        context,
        base_url=options.base_url.rstrip("/"),
        credentials={"Authorization": f"Key {key}"} if key else None,
        hint="Set it to a key from fal.ai/dashboard/keys.",
        key_env=options.api_key_env,
    )


adapter = Adapter(
    summary="Every image model on fal: FLUX, Nano Banana, Seedream, Qwen.",
    options=FalOptions,
    create=create,
    multiprocess=True,
)
