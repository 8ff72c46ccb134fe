"""The adapter of the Gemini API."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from imagen.adapters.backends.gemini.interactions import Interactions
from imagen.adapters.backends.gemini.models import DEFAULT_MODEL
from imagen.adapters.backends.gemini.vendor import GenerateContent
from imagen.adapters.remote.backend import http_adapter


class GeminiOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a Gemini backend in the config, besides address and key."""

    model: Annotated[
        str,
        Meta(
            min_length=1,
            description="The model.",
            examples=["gemini-3-pro-image"],
        ),
    ] = DEFAULT_MODEL
    interactions: Annotated[
        bool,
        Meta(
            description="Whether jobs run in the background, so that an image can be"
            " fetched after any failure; false for an address without interactions.",
            examples=[False],
        ),
    ] = True


def _create_vendor(options: GeminiOptions) -> GenerateContent:
    vendor = Interactions if options.interactions else GenerateContent
    return vendor(options.model)


def _credentials(key: str) -> Mapping[str, str]:
    return {"x-goog-api-key": key}


adapter = http_adapter(
    _create_vendor,
    summary="Google's image models: Nano Banana 2.1, Gemini 3 Pro Image.",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    key_env="GEMINI_API_KEY",
    other_key_envs=("GOOGLE_API_KEY",),
    credentials=_credentials,
    options=GeminiOptions,
)
