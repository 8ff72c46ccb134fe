"""The dialects of OpenAI's images API: the rows of `dialects.json`, and their meaning.

A row names the fields of a request, the forms of sizes and images, and where a cost is
reported. What is not in a row is not sent: no default of a service is relied on.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias, cast

import msgspec

from imagen.adapters.remote.json_values import as_mapping
from imagen.domain.errors import InvalidRequest
from imagen.domain.reference import ReferenceLimits
from imagen.domain.size import Size, SizeRule

Row: TypeAlias = Mapping[str, object]
"""A row of the table, before it is applied to a model."""

_KINDS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
}
_A_KIND = {
    "text": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
}


class Option(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parameter that `--set` accepts.

    Attributes:
        field: Where it is written; "" for a field of its own name.
    """

    kind: Literal["text", "integer", "number", "boolean", "object"] = "text"
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    help: str = ""
    field: str = ""

    @property
    def description(self) -> str:
        """The meaning, and the values."""
        return f"{self.help}: {self.values}" if self.values else self.help

    @property
    def values(self) -> str:
        """The valid values in words; "" for any of the kind."""
        if self.choices:
            return ", ".join(self.choices)
        limits = (("from", self.least), ("to", self.most))
        return " ".join(f"{word} {at:g}" for word, at in limits if at is not None)

    def check(self, name: str, value: object) -> None:
        """Check a value.

        Raises:
            InvalidRequest: it is of another kind, or out of range.
        """
        if self._allows(value):
            return
        kind = "one of" if self.choices else _A_KIND[self.kind]
        expected = f"{kind} {self.values}".rstrip()
        raise InvalidRequest(
            f"{name} must be {expected}, not {value!r}.",
            hint="Change the value of --set.",
        )

    def _allows(self, value: object) -> bool:
        if self.kind == "boolean" or isinstance(value, bool):
            return self.kind == "boolean" and isinstance(value, bool)
        if not isinstance(value, _KINDS[self.kind]):
            return False
        if isinstance(value, int | float):
            low = self.least is not None and value < self.least
            return not (low or (self.most is not None and value > self.most))
        return not self.choices or value in self.choices


class Sizes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sizes of a dialect.

    Attributes:
        ratios: Aspect ratios, for a service that takes those; the size of each follows
            from the sides of a square in `tiers`.
        tiers: The side of a square of each resolution, by the service's name for it.
    """

    choices: tuple[str, ...] = ()
    ratios: tuple[str, ...] = ()
    tiers: Mapping[str, int] = {}
    multiple: int = 1
    smallest: int = 16
    largest: int = 16384
    min_pixels: int = 0
    max_pixels: int | None = None
    max_ratio: float | None = None
    default: str = ""

    @property
    def named(self) -> dict[Size, tuple[str, str]]:
        """The ratio and the tier of each size."""
        named: dict[Size, tuple[str, str]] = {}
        for tier, side in self.tiers.items():
            for ratio in self.ratios:
                width, height = map(float, ratio.split(":"))
                scale = side / (width * height) ** 0.5
                sides = (round(each * scale / 16) * 16 for each in (width, height))
                named.setdefault(Size(*sides), (ratio, tier))
        return named

    @property
    def rule(self) -> SizeRule:
        """The rule for imagen."""
        return SizeRule(
            choices=tuple(self.named) or tuple(map(Size.parse, self.choices)),
            multiple=self.multiple,
            smallest=self.smallest,
            largest=self.largest,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            max_ratio=self.max_ratio,
            default=Size.parse(self.default) if self.default else None,
        )


class Images(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How reference images are sent.

    Attributes:
        path: Where an edit is sent; "" where a generation is sent.
        form: As files of a form, as data URIs in a list, as one data URI, as objects
            with a data URI, or as Base64 in a list.
        one: The field of a single image, if it has another name.
        mask: What is painted anew: the mask's transparent or its white pixels; "" for
            a service without masks.
    """

    path: str = ""
    form: Literal["files", "uris", "uri", "objects", "base64"] = msgspec.field(
        name="as"
    )
    field: str
    one: str = ""
    most: int
    mask: Literal["alpha", "white", ""] = ""
    limits: ReferenceLimits = ReferenceLimits()
    mask_limits: ReferenceLimits = ReferenceLimits()


class ReportedCost(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Where a response has the cost: in a header, or at a path of the body.

    Attributes:
        per_usd: How many of its units are a dollar.
        tokens: Whether the response has the numbers of tokens instead.
    """

    header: str = ""
    path: str = ""
    per_usd: int = 1
    tokens: bool = False


class Dialect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dialect, applied to a model.

    Attributes:
        title: The name for messages.
        key_header: The header of the key; "" for `Authorization: Bearer`.
        provider: The name in the price table.
        example: The example of a model; "" if the model need not be named.
        free: Whether an image costs nothing.
        fields: The field of each parameter: a path with dots; `@` and a path within
            the tag in the prompt; `|` for a negative prompt behind that sign in the
            prompt.
        tag: The name of the tag in the prompt that has further parameters.
        formats: The values of the field `format`, the default first.
        any_format: Whether a format is only requested if the user has requested it.
        batch: The largest number of images in one request.
        options: The parameters for `--set`; None for any.
        always: Fields that are always sent.
        warnings: What a header of the response means, unless it is empty or false.
        codes: What a code in an error means, by patterns.
        models: Changes for models, by patterns; all that match apply.
    """

    title: str
    base_url: str
    example_url: str = ""
    key_env: str
    key_header: str = ""
    needs_key: bool = True
    provider: str = ""
    example: str
    free: bool = False
    timeout: float
    path: str = "images/generations"
    check: str = "models"
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    fields: Mapping[str, str]
    tag: str = ""
    largest_seed: int = 2**31 - 1
    response_format: str = ""
    formats: tuple[str, ...] = ()
    any_format: bool = False
    output_type: str = ""
    batch: int = 1
    sizes: Sizes
    options: Mapping[str, Option] | None = {}
    always: Mapping[str, object] = {}
    images: Images | None = None
    cost: ReportedCost = ReportedCost()
    stream: bool = False
    idempotent: bool = False
    refuses_with: frozenset[int] = frozenset()
    fails_with: frozenset[int] = frozenset()
    warnings: Mapping[str, str] = {}
    codes: Mapping[str, Literal["refused", "no_credit", "no_model", "unknown"]]
    models: Mapping[str, object] = {}


@cache
def load_table() -> Mapping[str, Row]:
    """Return the rows by the names of the dialects, each complete."""
    file = Path(__file__).with_name("dialects.json")
    rows = msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, object]])
    default = rows.pop("default")
    complete: dict[str, Row] = {}
    for name, row in rows.items():
        base = complete.get(str(row.pop("like", "")), default)
        complete[name] = merge(base, row)
    return complete


def apply_row(row: Row, model: str) -> Dialect:
    """Return a row with its changes for a model.

    Raises:
        msgspec.ValidationError: the row has an unknown field, or one of another type.
    """
    for pattern, changes in as_mapping(row.get("models")).items():
        if fnmatchcase(model, pattern):
            row = merge(row, as_mapping(changes))
    return msgspec.convert(row, Dialect)


def merge(base: Row, changes: Row) -> Row:
    """Return the base with changes: within objects, and null removes (RFC 7396).

    The changes for models are kept as they are, and no `options` are any options.
    """
    merged = dict(base)
    for name, value in changes.items():
        if name == "models":
            merged[name] = {**as_mapping(merged.get(name)), **as_mapping(value)}
        elif value is None and name != "options":
            merged.pop(name, None)
        elif isinstance(value, dict):
            inner = as_mapping(merged.get(name))
            merged[name] = merge(inner, cast("Row", value))
        else:
            merged[name] = value
    return merged


def write_field(body: dict[str, object], path: str, value: object) -> None:
    """Write a value at a path with dots; `@name` is a path within the field `@`."""
    if path.startswith("@"):
        path = f"@.{path[1:]}"
    *parents, name = path.split(".")
    for parent in parents:
        body = cast("dict[str, object]", body.setdefault(parent, {}))
    body[name] = value


def read_field(body: object, path: str) -> object:
    """Return the value at a path with dots; None if there is none."""
    for name in path.split("."):
        body = as_mapping(body).get(name)
    return body
