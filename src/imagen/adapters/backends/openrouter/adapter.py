"""The adapter of OpenRouter."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from imagen.adapters.backends.openrouter.catalog import ModelCatalog
from imagen.adapters.backends.openrouter.vendor import OpenRouter
from imagen.adapters.remote.backend import key_meta, remote_backend, url_meta
from imagen.adapters.remote.vendor import bearer
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend

DEFAULT_MODEL = "black-forest-labs/flux.2-pro"
DEFAULT_URL = "https://openrouter.ai/api/v1"


class OpenRouterOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The options of an OpenRouter backend in the config."""

    model: Annotated[
        str,
        Meta(
            pattern=r"^[^\s/]+/[^\s/]+$",
            description="The model: author/name.",
            examples=["openai/gpt-image-2.5-flare"],
            extra={"shape": f"a model such as {DEFAULT_MODEL}"},
        ),
    ] = DEFAULT_MODEL
    providers: Annotated[
        tuple[str, ...],
        Meta(
            description="The providers that may be used; all if there are none. With"
            " one, its price is known in advance.",
            examples=[["black-forest-labs"]],
        ),
    ] = ()
    allow_fallbacks: Annotated[
        bool,
        Meta(
            description="Whether OpenRouter tries another provider if one fails.",
            examples=[False],
        ),
    ] = True
    api_key_env: Annotated[
        str,
        key_meta("OPENROUTER_API_KEY"),
    ] = "OPENROUTER_API_KEY"
    base_url: Annotated[
        str,
        url_meta(DEFAULT_URL),
    ] = DEFAULT_URL


def create(options: OpenRouterOptions, context: BackendContext) -> ImageBackend:
    """Return the backend; nothing is sent yet."""
    catalog = ModelCatalog(
        default=options.model,
        providers=options.providers,
        url=options.base_url,
        folder=None if context.cache is None else Path(context.cache),
        clock=context.clock,
    )
    key = context.secrets.get("api_key_env")
    return remote_backend(
        OpenRouter(catalog, allow_fallbacks=options.allow_fallbacks),
        context,
        base_url=options.base_url,
        credentials=bearer(key) if key else None,
        hint="Set it to a key from openrouter.ai/keys.",
        key_env=options.api_key_env,
    )


adapter = Adapter(
    summary="Image models of many providers, with one key; the real cost.",
    options=OpenRouterOptions,
    create=create,
    multiprocess=True,
)
