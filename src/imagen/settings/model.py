"""Every key of imagen.yaml, said once: its type, its limits, its default, its words.

The validator reads the types, the sample is printed from the descriptions.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from imagen.domain.errors import InvalidRequest
from imagen.domain.instance import DEFAULT_TIMEOUT, Instance
from imagen.domain.modes import Mode
from imagen.domain.money.budget import Budget, Unknown
from imagen.domain.money.cost import usd_to_micros
from imagen.domain.money.price import MILLION, Price, Rate, Unit
from imagen.domain.naming import DEFAULT_TEMPLATE, PLACEHOLDERS
from imagen.domain.request import MAX_IMAGES
from imagen.domain.size import Size
from imagen.domain.style import Style

MOCK = "mock"
"""The instance that is there without any config."""

_NAMES = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)


Dollars: TypeAlias = Annotated[
    float, Meta(ge=0, le=1_000_000_000, extra={"unit": "US dollars"})
]
"""As it is written; it becomes exact before anything is reckoned with it."""


CloudSync: TypeAlias = Literal["auto", "on", "off"]

UserId: TypeAlias = Annotated[
    str,
    Meta(
        pattern="^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$",
        extra={"shape": "a UUID"},
    ),
]
"""The id of a user of Supabase; "" is nobody."""


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
    cloud_sync: Annotated[
        CloudSync,
        Meta(
            description="A copy of each image in Supabase: auto (if it is set up), on"
            " or off.",
            examples=["auto"],
        ),
    ] = "auto"
    preview: Annotated[
        Mode,
        Meta(
            description="Whether a tmux window shows each image, auto, on or off; auto"
            " does in tmux if stdout is a terminal.",
            examples=["auto"],
        ),
    ] = "auto"


class PriceBlock(msgspec.Struct, frozen=True, kw_only=True):
    """What one call is charged: all of it together."""

    per_call: Dollars | None = None
    per_image: Annotated[Dollars | None, Meta(extra={"alone": True})] = None
    per_megapixel: Dollars | None = None
    per_second: Dollars | None = None
    per_million_tokens: Mapping[str, Dollars] = {}

    def __post_init__(self) -> None:
        if not self._rates():
            raise InvalidRequest(
                "The price says nothing.",
                hint=f"Give a number, or some of {', '.join(self.__struct_fields__)}.",
            )

    def to_price(self) -> Price:
        """Return it as it is reckoned with."""
        return Price(rates=self._rates(), source="config")

    def _rates(self) -> tuple[Rate, ...]:
        units: dict[Unit, float | None] = {
            "per_call": self.per_call,
            "per_image": self.per_image,
            "per_megapixel": self.per_megapixel,
            "per_second": self.per_second,
        }
        rates = [
            Rate(unit=unit, usd=to_decimal(usd))
            for unit, usd in units.items()
            if usd is not None
        ]
        rates += [
            Rate(unit="per_token", usd=to_decimal(usd) / MILLION, kind=kind)
            for kind, usd in self.per_million_tokens.items()
        ]
        return tuple(rates)


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
    price: Annotated[
        PriceBlock | None,
        Meta(
            description="US dollars for an image; or some of per_call, per_image,"
            " per_megapixel, per_second (a number each) and per_million_tokens (for"
            " each kind). Goes before the price table.",
            examples=[{"per_call": 0.01, "per_megapixel": 0.015}],
        ),
    ] = None

    def to_instance(self, name: str) -> Instance:
        """Return the instance under its name."""
        return Instance(
            name=name,
            adapter=self.adapter,
            size=self.size,
            steps=self.steps,
            timeout=self.timeout,
            concurrency=self.concurrency,
            price=None if self.price is None else self.price.to_price(),
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

    def to_style(self, name: str) -> Style:
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


class BudgetBlock(msgspec.Struct, frozen=True, kw_only=True):
    """What may be spent."""

    call_usd: Annotated[
        Dollars | None,
        Meta(description="At most this for one call, in US dollars.", examples=[0.1]),
    ] = None
    day_usd: Annotated[
        Dollars | None, Meta(description="In one day, UTC.", examples=[2])
    ] = None
    week_usd: Annotated[
        Dollars | None, Meta(description="In one ISO week, UTC.", examples=[20])
    ] = None
    unknown: Annotated[
        Unknown | None,
        Meta(
            description="What becomes of a call whose price is not known: refuse or"
            " allow.",
            examples=["refuse"],
        ),
    ] = None

    def to_budget(
        self, backend: str = "", *, caller: str = "", unknown: Unknown | None = None
    ) -> Budget:
        """Return it as it is reckoned with.

        Args:
            backend: The one instance that it is about; "" is all of them together.
            caller: Whose calls it is about; "" is everybody's.
            unknown: What holds if it does not say.

        Raises:
            ValueError: an amount is finer than a micro-dollar.
        """
        return Budget(
            backend=backend,
            caller=caller,
            call=to_micros(self.call_usd),
            day=to_micros(self.day_usd),
            week=to_micros(self.week_usd),
            unknown=self.unknown or unknown or "refuse",
        )

    @property
    def is_set(self) -> bool:
        """Whether any of the keys is given."""
        keys = BudgetBlock.__struct_fields__
        return any(getattr(self, key) is not None for key in keys)


class BudgetSettings(BudgetBlock, frozen=True, kw_only=True):
    """What may be spent on all backends together, and on some of them."""

    backends: Annotated[
        Mapping[str, BudgetBlock],
        Meta(
            description="The same for one backend by its name; both hold.",
            examples=[{MOCK: {"day_usd": 1}}],
        ),
    ] = {}

    def to_budgets(self) -> tuple[Budget, ...]:
        """Return every budget that there is."""
        own = (self.to_budget(),) if self.is_set else ()
        return own + tuple(
            block.to_budget(name, unknown=self.unknown)
            for name, block in self.backends.items()
            if block.is_set
        )


class HistorySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long what was made is remembered."""

    keep_days: Annotated[
        Annotated[int, Meta(ge=1, le=36500)] | None,
        Meta(
            description="Days after which prompts are forgotten, if at all. The images"
            " stay.",
            examples=[90],
        ),
    ] = None


class OwnerKey(msgspec.Struct, frozen=True, kw_only=True):
    """Whose the copies in the cloud are."""

    owner_user_id: Annotated[
        UserId,
        Meta(
            description="Your auth.users id on Supabase, whose the copies are; empty:"
            " no copy.",
            examples=[""],
        ),
    ] = ""


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `imagen serve` lets in, and how much of it at once."""

    hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Names under which the server is reached, besides localhost,"
            " this machine's own and addresses.",
            examples=[["images.example.org"]],
        ),
    ] = ()
    url: Annotated[
        str,
        Meta(
            description="How clients reach the server, for links to images; default: as"
            " each of them called it.",
            examples=["https://images.example.org"],
        ),
    ] = ""
    concurrency: Annotated[
        int,
        Meta(
            ge=1, le=10_000, description="Requests that one backend works on at once."
        ),
    ] = 8
    queue: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Requests that may wait for one backend; more are told to come"
            " back later (429).",
        ),
    ] = 1000
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | None,
        Meta(
            description="Processes that make images: one, and up to so many when it is"
            " busy. Default: as many as there are cores, 4 at most.",
            examples=[2],
        ),
    ] = None
    grace: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Seconds that running requests get to end when the server is"
            " told to stop.",
        ),
    ] = 30.0
    count: Annotated[
        int,
        Meta(ge=1, le=MAX_IMAGES, description="Images that one request may ask for."),
    ] = 10
    prompt: Annotated[
        int,
        Meta(ge=1, description="Characters that a prompt may have."),
    ] = 32_000
    megapixels: Annotated[
        float,
        Meta(gt=0, description="Millions of pixels that one image may have."),
    ] = 36.0
    body: Annotated[
        int,
        Meta(ge=1024, description="Bytes that one request may have."),
    ] = 64_000_000
    budgets: Annotated[
        Mapping[str, BudgetBlock],
        Meta(
            description="What a caller may spend, by the name of the API key; beside"
            " `budget`.",
            examples=[{"team": {"day_usd": 1}}],
        ),
    ] = {}

    def to_budgets(self) -> tuple[Budget, ...]:
        """Return every budget of a caller."""
        return tuple(
            block.to_budget(caller=name)
            for name, block in self.budgets.items()
            if block.is_set
        )


class ConfigFile(OwnerKey, frozen=True, kw_only=True):
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
    budget: Annotated[
        BudgetSettings, Meta(description="What may be spent; more is not sent.")
    ] = BudgetSettings()
    history: Annotated[
        HistorySettings, Meta(description="How long what was made is remembered.")
    ] = HistorySettings()
    serve: Annotated[
        ServeSettings, Meta(description="What `imagen serve` lets in.")
    ] = ServeSettings()
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
        owner_user_id: Whose the copies in the cloud are; "" is nobody.
        backends: Every instance by its name; `mock` is always among them.
        styles: Every style by its name.
        budgets: What may be spent.
        history: How long what was made is remembered.
        serve: What `imagen serve` lets in.
        path: The file that it came from; None without one.
    """

    default_backend: str
    output: OutputSettings
    owner_user_id: str = ""
    backends: Mapping[str, BackendSettings]
    styles: Mapping[str, Style]
    budgets: tuple[Budget, ...] = ()
    history: HistorySettings = HistorySettings()
    serve: ServeSettings = ServeSettings()
    path: Path | None = None


def to_decimal(usd: float) -> Decimal:
    """Return an amount as it was written."""
    return Decimal(str(usd))


def to_micros(usd: float | None) -> int | None:
    """Return an amount in micro-dollars.

    Raises:
        ValueError: it is finer than that.
    """
    return None if usd is None else usd_to_micros(to_decimal(usd))
