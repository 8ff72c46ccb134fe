"""The `openai` backend: OpenAI, and what speaks its images API in a dialect.

Every config that names an instance loads this module, so the modules that use the
network are imported when the first request is sent.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from imagen.adapters.backends.openai.dialect import apply_row, load_table, merge
from imagen.adapters.backends.openai.vendor import OpenAI
from imagen.adapters.remote.backend import remote_backend
from imagen.adapters.remote.vendor import bearer
from imagen.domain.suggestion import suggest
from imagen.ports.adapter import Adapter, BackendContext
from imagen.ports.backend import ImageBackend


class OpenAIOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The options of an `openai` backend in the config."""

    dialect: Annotated[
        str,
        Meta(
            description=f"The service or program: {', '.join(load_table())}.",
            examples=["openai"],
        ),
    ] = "openai"
    model: Annotated[
        str,
        Meta(
            description="The model, or the deployment of Azure. Without it each request"
            " has to name one, except for vllm-omni, sglang, sd-server and imagen.",
            examples=["gpt-image-2.6-flare"],
        ),
    ] = ""
    base_url: Annotated[
        str,
        Meta(
            description="The URL of the API; that of the dialect if it is not set.",
            examples=["https://api.openai.com/v1"],
            extra={"shape": "a URL such as https://api.openai.com/v1"},
            pattern=r"^(https?://[^\s/?#@]+[^\s?#@]*)?$",
        ),
    ] = ""
    api_key_env: Annotated[
        str,
        Meta(
            description="The environment variable that holds the API key; that of the"
            " dialect if it is not set.",
            examples=["OPENAI_API_KEY"],
        ),
    ] = ""
    overrides: Annotated[
        Mapping[str, object],
        Meta(
            description="Changes of the dialect's row in the table of dialects, for a"
            " server that differs.",
            examples=[{"timeout": 900}],
        ),
    ] = {}

    def __post_init__(self) -> None:
        """Complete the options from the row of the dialect.

        Raises:
            ValueError: they do not fit together.
        """
        table = load_table()
        if self.dialect not in table:
            known = f"Known: {', '.join(table)}."
            hint = suggest(self.dialect, table, known)
            raise ValueError(f"unknown dialect {self.dialect!r} ({hint})")
        try:
            row = apply_row(merge(table[self.dialect], self.overrides), self.model)
        except msgspec.ValidationError as error:
            raise ValueError(f"overrides: {error}") from error
        if not (self.base_url or row.base_url):
            raise ValueError(f"the dialect needs a base_url, such as {row.example_url}")
        url = (self.base_url or row.base_url).rstrip("/")
        if url.endswith(f"/{row.path}"):
            short = url.removesuffix(f"/{row.path}")
            raise ValueError(f"base_url ends before /{row.path}: set it to {short}")
        force_setattr(self, "base_url", url)
        force_setattr(self, "api_key_env", self.api_key_env or row.key_env)


def create(options: OpenAIOptions, context: BackendContext) -> ImageBackend:
    """Return the backend; nothing is sent yet."""
    row = merge(load_table()[options.dialect], options.overrides)
    dialect = apply_row(row, options.model)
    key = context.secrets.get("api_key_env")
    credentials: Mapping[str, str] | None = None if dialect.needs_key else {}
    if key:
        header = dialect.key_header
        credentials = {header: key} if header else bearer(key)
    vendor = OpenAI(
        row, base_url=options.base_url, model=options.model, clock=context.clock
    )
    return remote_backend(
        vendor,
        context,
        base_url=options.base_url,
        credentials=credentials,
        hint=f"Set it to a key for {dialect.title}.",
        key_env=options.api_key_env,
    )


adapter = Adapter(
    summary="OpenAI's images, and services and servers with its API.",
    options=OpenAIOptions,
    create=create,
    multiprocess=True,
    presets=({"model": "gpt-image-2.6-flare"},),
)
