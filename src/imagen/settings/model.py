"""The schema of imagen.yaml: type, limits, default and description of every key.

The validator reads the types and limits, the sample config is printed from the
descriptions and examples. In `Meta.extra`, `shape` says what is expected in place of
the type, `unit` follows a number, `alone` marks the short form of a struct, and `check`
raises an error for a value that the type allows.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from imagen.domain.errors import Misconfigured
from imagen.domain.instance import DEFAULT_TIMEOUT, Instance
from imagen.domain.money.budget import Budget
from imagen.domain.naming import DEFAULT_TEMPLATE, PLACEHOLDERS, Destination
from imagen.domain.request import MAX_IMAGES
from imagen.domain.seed import validate_seed
from imagen.domain.size import Size
from imagen.domain.style import Style
from imagen.settings.environment import Mode
from imagen.settings.money import BudgetBlock, BudgetSettings, PriceBlock, key

MOCK = "mock"
"""The name of the backend that exists without any config."""

_NAMES = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)


def _check_template(template: str) -> None:
    # Now, and on any day: a wrong one would fail after the image is paid for.
    some_day = datetime(2026, 5, 8, tzinfo=UTC)
    destination = Destination(template=template)
    destination.check(at=some_day, backend=MOCK, count=1, sidecar=True)


def _check_proxy(address: str) -> None:
    from ipaddress import ip_network  # noqa: PLC0415 - only for the server

    if address != "unix":
        try:
            ip_network(address, strict=False)
        except ValueError:
            raise Misconfigured(
                f"{address!r} is not the address of a proxy",
                hint="Give an IP address, a network such as 10.0.0.0/8, or unix",
            ) from None


# Lower and upper case; `validate` makes it lower, as PostgreSQL prints UUIDs.
UserId: TypeAlias = Annotated[
    str,
    Meta(
        pattern="^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$",
        extra={"shape": "a UUID"},
    ),
]
"""The id of a Supabase user; "" for no user."""


Origin: TypeAlias = Annotated[
    str,
    Meta(
        pattern="^[a-z][a-z0-9+.-]*://[^/?#*]+$",
        extra={"shape": "an origin such as https://app.example.org, without a path"},
    ),
]
"""The scheme, host and port of a site."""


class OutputSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The folder and names of images, and the files beside them."""

    dir: Annotated[
        Path,
        key(
            "The folder for images; without it, the current folder.",
            "~/Pictures/imagen",
        ),
    ] = Path()
    naming: Annotated[
        str,
        Meta(min_length=1, extra={"check": _check_template}),
        key(
            f"Template of file names, from {_NAMES}; / makes folders.",
            "{date}/{time}-{slug}-{seed}.{ext}",
        ),
    ] = DEFAULT_TEMPLATE
    sidecar: Annotated[
        bool, key("Write a JSON file with the parameters of each image.")
    ] = True
    metadata: Annotated[bool, key("Write the same into the image file.")] = True
    cloud_sync: Annotated[
        Mode,
        key(
            "Keep a copy of each image on Supabase: auto (if configured), on or off.",
            "auto",
        ),
    ] = "auto"
    preview: Annotated[
        Mode,
        key(
            "Show each image in a tmux window: auto (in tmux, if stdout is"
            " a terminal), on or off.",
            "auto",
        ),
    ] = "auto"


class BackendBlock(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a backend that mean the same for every adapter."""

    adapter: Annotated[str, key("The adapter of this backend.", "mock")]
    timeout: Annotated[
        Annotated[float, Meta(gt=0, extra={"unit": "seconds"})] | msgspec.UnsetType,
        key(
            "Seconds for one image, after which the job is cancelled; else those of"
            f" the model, or {DEFAULT_TIMEOUT:g}.",
            120,
        ),
    ] = msgspec.UNSET
    concurrency: Annotated[
        int, Meta(ge=1), key("Parallel calls of one request.", 4)
    ] = 1
    size: Annotated[
        Size | None,
        key("Used if neither the request nor its style has a size.", "1024x1024"),
    ] = None
    steps: Annotated[
        int,
        Meta(ge=0),
        key(
            "Used if neither the request nor its style has steps; 0: the"
            " backend's default.",
            20,
        ),
    ] = 0
    price: Annotated[
        PriceBlock | None,
        key(
            "US dollars for an image; or some of per_call, per_image,"
            " per_megapixel, per_second (a number each) and per_million_tokens (for"
            " each kind). Overrides the price table.",
            {"per_call": 0.01, "per_megapixel": 0.015},
        ),
    ] = None

    def to_instance(self, name: str) -> Instance:
        """Return the instance with that name."""
        keys = msgspec.structs.asdict(self)
        keys["price"] = None if self.price is None else self.price.to_price()
        keys["timeout"] = None if self.timeout is msgspec.UNSET else self.timeout
        return Instance(name=name, **keys)


class StyleBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A named prompt template with its parameters."""

    prompt: Annotated[
        str,
        key(
            "The prompt replaces {prompt}; without it, it comes first.",
            "{prompt}, watercolour on rough paper",
        ),
    ] = "{prompt}"
    negative: Annotated[str, key("The negative prompt.", "text, watermark")] = ""
    size: Annotated[
        Size | None, key("Used if the request has no size.", "1536x768")
    ] = None
    steps: Annotated[
        int,
        Meta(ge=0),
        key("Used if the request has no steps; 0: the backend's default.", 30),
    ] = 0
    seed: Annotated[
        int,
        Meta(ge=0, extra={"check": validate_seed}),
        key("Used if the request has no seed; 0: a random one.", 42),
    ] = 0
    options: Annotated[
        Mapping[str, object],
        key("Backend-specific parameters, as with --set.", {"guidance": 3.5}),
    ] = msgspec.field(default_factory=dict[str, object], name="set")
    images: Annotated[
        tuple[Path, ...],
        key("Reference images, after those of the request.", ["~/brand/palette.png"]),
    ] = ()

    def to_style(self, name: str) -> Style:
        """Return the style with that name."""
        keys = msgspec.structs.asdict(self)
        keys["images"] = tuple(map(str, self.images))
        return Style(name=name, **keys)


class UsageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The shared ledger."""

    remote: Annotated[
        Literal["auto", "off"],
        key("Upload usage rows to Supabase: auto (if it is set up) or off."),
    ] = "auto"


class HistorySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long the history keeps its entries."""

    keep_days: Annotated[
        Annotated[int, Meta(ge=1, le=36500)] | None,
        key(
            "Days after which entries of the history are deleted; default:"
            " never. The image files stay.",
            90,
        ),
    ] = None


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Host names and limits of `imagen serve`."""

    hosts: Annotated[
        tuple[str, ...],
        key(
            "Host names of the server, besides localhost, the name of this"
            " machine and IP addresses.",
            ["images.example.org"],
        ),
    ] = ()
    url: Annotated[
        str,
        key(
            "The URL of the server in links to images, with the base path if there is"
            " one. Default: the Host header of each request.",
            "https://images.example.org",
        ),
    ] = ""
    origins: Annotated[
        tuple[Origin, ...],
        key(
            "Other sites whose pages may use the server (CORS).",
            ["https://app.example.org"],
        ),
    ] = ()
    trusted_proxies: Annotated[
        tuple[Annotated[str, Meta(extra={"check": _check_proxy})], ...],
        key(
            "IP addresses or networks of proxies whose X-Forwarded headers are"
            " believed; unix stands for the clients of a Unix socket.",
            ["127.0.0.1"],
        ),
    ] = ()
    keys_file: Annotated[
        Path | None,
        key(
            "A file of API keys with roles and budgets, besides $IMAGEN_SERVE_KEYS;"
            " SIGHUP reads it again.",
            "~/.config/imagen-keys.yaml",
        ),
    ] = None
    models: Annotated[
        Mapping[str, str],
        key(
            "Other names for `model`, as programs send them, and the backend or"
            " BACKEND/MODEL of each; * stands for any characters.",
            {"gpt-image-1": MOCK, "dall-e-*": MOCK},
        ),
    ] = {}
    default_model: Annotated[
        str,
        key(
            "The backend or BACKEND/MODEL of requests for an unknown model. Without"
            " this key they get HTTP 404.",
            MOCK,
        ),
    ] = ""
    concurrency: Annotated[
        int, Meta(ge=1, le=10_000), key("Requests that one backend processes at once.")
    ] = 8
    connections: Annotated[
        int,
        Meta(ge=1, le=60_000),
        key("Connections that may be open at once; more get HTTP 503."),
    ] = 4000
    queue: Annotated[
        int,
        Meta(ge=0, le=1_000_000),
        key("Requests that may wait for one backend; more get HTTP 429."),
    ] = 1000
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | None,
        key(
            "Worker processes, started as they are needed. Default: one for"
            " each core, 4 at most.",
            2,
        ),
    ] = None
    grace: Annotated[
        float,
        Meta(ge=0, le=3600),
        key("Seconds that running requests have to finish when the server stops."),
    ] = 30.0
    linger: Annotated[
        float,
        Meta(ge=0, le=86400),
        key(
            "Seconds for which a request waits in the queue without its client, and for"
            " which a repeated request gets the images of the first one."
        ),
    ] = 600.0
    count: Annotated[
        int, Meta(ge=1, le=MAX_IMAGES), key("Images in one request, at most.")
    ] = 10
    prompt: Annotated[int, Meta(ge=1), key("Characters in a prompt, at most.")] = 32_000
    megapixels: Annotated[
        float, Meta(gt=0), key("Megapixels of one image, at most.")
    ] = 36.0
    body: Annotated[int, Meta(ge=1024), key("Bytes of one request body, at most.")] = (
        64_000_000
    )
    budgets: Annotated[
        Mapping[str, BudgetBlock],
        key(
            "Limits for single callers, by the name of the API key, besides `budget`.",
            {"team": {"day_usd": 1}},
        ),
    ] = {}

    def to_budgets(self) -> tuple[Budget, ...]:
        """Return the budget of each caller that has a limit."""
        return tuple(
            block.to_budget(caller=name)
            for name, block in self.budgets.items()
            if block.is_set
        )


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """The keys at the top level of the file."""

    default_backend: Annotated[
        str | None,
        Meta(extra={"shape": "the name of a backend"}),
        key(
            "The backend of requests that name none. Without this key: the"
            " only one besides mock; with several, each request names one.",
            MOCK,
        ),
    ] = None
    owner_user_id: Annotated[
        UserId,
        key(
            "Your user id on Supabase (auth.users), which owns the copies."
            " Leave it out to keep no copies.",
            "",
        ),
    ] = ""
    output: Annotated[
        OutputSettings, key("Folder and names of images, sidecars, copies.")
    ] = OutputSettings()
    budget: Annotated[
        BudgetSettings, key("Limits of spending; calls above are not sent.")
    ] = BudgetSettings()
    usage: Annotated[UsageSettings, key("The ledger that several machines share.")] = (
        UsageSettings()
    )
    history: Annotated[
        HistorySettings, key("How long the history keeps its entries.")
    ] = HistorySettings()
    serve: Annotated[ServeSettings, key("Host names and limits of `imagen serve`.")] = (
        ServeSettings()
    )
    backends: Annotated[
        Mapping[str, BackendBlock],
        key("Backends by name, each with its adapter and that adapter's own keys."),
    ] = {}
    styles: Annotated[
        Mapping[str, StyleBlock], key("Prompt templates for --style, by name.")
    ] = {}


class BackendSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A backend of the config."""

    instance: Instance
    options: msgspec.Struct


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The validated config, with the defaults filled in.

    Attributes:
        default_backend: The backend of requests that name none; None if they must.
        owner_user_id: The owner of the copies in the cloud; "" for none.
        backends: The backends by name; always includes `mock`.
        styles: The styles by name: those of the config, then the built-in ones.
        budgets: The limits of spending, those of single callers included.
        path: The config file; None without one.
    """

    default_backend: str | None
    output: OutputSettings
    owner_user_id: str = ""
    backends: Mapping[str, BackendSettings]
    styles: Mapping[str, Style]
    budgets: tuple[Budget, ...] = ()
    usage: UsageSettings = UsageSettings()
    history: HistorySettings = HistorySettings()
    serve: ServeSettings = ServeSettings()
    path: Path | None = None


BUILT_IN_STYLES = (
    Style(
        name="blog-header",
        prompt=(
            "{prompt}, wide editorial illustration, muted palette, generous negative"
            " space"
        ),
        negative="text, watermark",
        size=Size(1536, 768),
    ),
    Style(
        name="photo",
        prompt=(
            "{prompt}, natural light, shallow depth of field, true colours, fine detail"
        ),
        negative="illustration, rendering, text, watermark",
        size=Size(1216, 832),
    ),
    Style(
        name="line-art",
        prompt=(
            "{prompt}, clean black line drawing on a white background, even line"
            " weight, no shading"
        ),
        negative="colour, shading, text",
        size=Size(1024, 1024),
    ),
    Style(
        name="square-icon",
        prompt=(
            "{prompt}, one simple centred shape, flat colours, plain background,"
            " readable when small"
        ),
        negative="text, clutter, photograph",
        size=Size(512, 512),
    ),
)
"""The built-in styles, which the sample config shows."""
