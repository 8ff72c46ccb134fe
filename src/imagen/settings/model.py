"""Every key of imagen.yaml, said once: its type, its limits, its default, its words.

The validator reads the types, the sample is printed from the descriptions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from imagen.domain.instance import DEFAULT_TIMEOUT, Instance
from imagen.domain.naming import DEFAULT_TEMPLATE, PLACEHOLDERS
from imagen.domain.size import Size
from imagen.domain.style import Style

MOCK = "mock"
"""The instance that is there without any config."""

_NAMES = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)


class OutputSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where images go and what goes with them."""

    dir: Annotated[
        Path,
        Meta(
            description="The folder for images; default: the current one.",
            examples=["~/Pictures/imagen"],
        ),
    ] = Path()
    naming: Annotated[
        str,
        Meta(
            min_length=1,
            description=f"What a file is called, from {_NAMES}; may contain /.",
            examples=["{date}/{time}-{slug}-{seed}.{ext}"],
        ),
    ] = DEFAULT_TEMPLATE
    sidecar: Annotated[
        bool,
        Meta(description="A JSON file beside each image: how to make it again."),
    ] = True
    metadata: Annotated[bool, Meta(description="The same inside the image file.")] = (
        True
    )


class BackendBlock(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of an instance that mean the same for every adapter."""

    adapter: Annotated[
        str,
        Meta(description="Which adapter it is an instance of.", examples=["mock"]),
    ]
    timeout: Annotated[
        float,
        Meta(
            gt=0,
            description="Seconds for one image; then the job is cancelled.",
            examples=[120],
            extra={"unit": "seconds"},
        ),
    ] = DEFAULT_TIMEOUT
    concurrency: Annotated[
        int,
        Meta(ge=1, description="Calls at once for one request.", examples=[4]),
    ] = 1
    size: Annotated[
        Size | None,
        Meta(
            description="Used unless the request or its style names one.",
            examples=["1024x1024"],
        ),
    ] = None
    steps: Annotated[
        int,
        Meta(ge=0, description="Likewise; 0 leaves it to the backend.", examples=[20]),
    ] = 0

    def instance(self, name: str) -> Instance:
        """Return the instance under its name."""
        return Instance(
            name=name,
            adapter=self.adapter,
            size=self.size,
            steps=self.steps,
            timeout=self.timeout,
            concurrency=self.concurrency,
        )


class StyleBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A way of asking."""

    prompt: Annotated[
        str,
        Meta(
            description="{prompt} is where the prompt goes; without it, in front.",
            examples=["{prompt}, watercolour on rough paper"],
        ),
    ] = "{prompt}"
    negative: Annotated[
        str, Meta(description="What to keep out.", examples=["text, watermark"])
    ] = ""
    size: Annotated[
        Size | None,
        Meta(description="Used unless the request names one.", examples=["1536x768"]),
    ] = None
    steps: Annotated[
        int,
        Meta(ge=0, description="Likewise; 0 leaves it to the backend.", examples=[30]),
    ] = 0
    seed: Annotated[
        int, Meta(ge=0, description="Likewise; 0 draws one.", examples=[42])
    ] = 0
    set: Annotated[
        Mapping[str, object],
        Meta(
            description="Parameters of the backend's own, as with --set.",
            examples=[{"guidance": 3.5}],
        ),
    ] = {}

    def style(self, name: str) -> Style:
        """Return the style under its name."""
        return Style(
            name=name,
            prompt=self.prompt,
            negative=self.negative,
            size=self.size,
            steps=self.steps,
            seed=self.seed,
            options=self.set,
        )


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """The keys at the top of the file."""

    default_backend: Annotated[
        str | None,
        Meta(
            description="Default: the only instance there is, else mock.",
            examples=[MOCK],
        ),
    ] = None
    output: Annotated[
        OutputSettings, Meta(description="Where images go and what goes with them.")
    ] = OutputSettings()
    backends: Annotated[
        Mapping[str, BackendBlock],
        Meta(
            description="Instances, each a name with its adapter and that adapter's"
            " own keys."
        ),
    ] = {}
    styles: Annotated[
        Mapping[str, StyleBlock],
        Meta(description="Ways of asking, for --style."),
    ] = {}


class BackendSettings(msgspec.Struct, frozen=True, kw_only=True):
    """An instance, and what the config says to its adapter.

    Attributes:
        instance: What imagen itself needs to know of it.
        options: The adapter's own block, valid.
    """

    instance: Instance
    options: msgspec.Struct


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a config says, valid and with the defaults filled in.

    Attributes:
        default_backend: The instance that is used unless another is named.
        output: Where images go and what goes with them.
        backends: Every instance by its name; `mock` is always among them.
        styles: Every style by its name.
        path: The file that it came from; None without one.
    """

    default_backend: str
    output: OutputSettings
    backends: Mapping[str, BackendSettings]
    styles: Mapping[str, Style]
    path: Path | None = None
