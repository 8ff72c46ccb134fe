"""The sample imagen.yaml, generated from the schema that validates one."""

import re
import textwrap
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import FieldInfo

from imagen.domain.size import Size
from imagen.domain.style import Style
from imagen.ports.adapter import Adapter
from imagen.settings.model import (
    BUILT_IN_STYLES,
    MOCK,
    BackendBlock,
    ConfigFile,
    StyleBlock,
)
from imagen.settings.reading import describe_field

WIDTH = 78
"""Two columns are left for a "#" before a whole block."""
_COLUMN = 38
"""The column of comments, behind keys that are short enough."""

_HEAD = """\
# imagen.yaml. `imagen config validate` checks it, `imagen config path` prints
# its path. A key behind a "#" is optional, and is shown with its default or an
# example. Do not put tokens here: a key that ends in _env has the name of the
# environment variable that holds one.
"""

_DEFAULT = "flux-schnell-local"
_BACKENDS: Mapping[str, Mapping[str, object]] = {
    MOCK: {"adapter": MOCK},
    _DEFAULT: {
        "adapter": "comfyui",
        "base_url": "http://localhost:8188",
        "workflow": "flux-schnell",
    },
    "flux-dev-replicate": {
        "adapter": "replicate",
        "model": "black-forest-labs/flux-dev",
        "api_token_env": "REPLICATE_API_TOKEN",
    },
}
"""The backends that the sample configures; blocks of other adapters are comments."""


def sample_config(
    adapters: Mapping[str, Adapter[Any]],
    *,
    backends: Mapping[str, Mapping[str, object]] = _BACKENDS,
    default: str = _DEFAULT,
    folder: str = "",
) -> str:
    """Return a config with every key, its description and its default.

    Args:
        adapters: The installed adapters, by name.
        backends: The keys of the backends that are configured, by the name of each.
        default: The default backend.
        folder: The folder for images; "" leaves it out.
    """
    backends = {
        name: keys for name, keys in backends.items() if keys["adapter"] in adapters
    }
    lines = [*_HEAD.splitlines(), ""]
    for field in msgspec.structs.fields(ConfigFile):
        keys: tuple[FieldInfo, ...] = ()
        if isinstance(field.default, msgspec.Struct):
            keys = msgspec.structs.fields(field.default)
        elif field.encode_name not in {"backends", "styles"}:
            is_default = field.encode_name == "default_backend" and default in backends
            value = default if is_default else None
            lines += _format_key(field, indent=0, value=value)
            continue
        description, _ = describe_field(field.type)
        lines += ["", *_add_comment(f"{field.encode_name}:", description, indent=0)]
        for key in keys:
            is_folder = (field.encode_name, key.encode_name) == ("output", "dir")
            lines += _format_key(key, indent=2, value=(is_folder and folder) or None)
        if field.encode_name == "backends":
            for name, values in backends.items():
                adapter = adapters[str(values["adapter"])]
                lines += format_backend(name, adapter, values, complete=name == MOCK)
            used = {values["adapter"] for values in backends.values()}
            for name in sorted(adapters.keys() - used):
                block = format_backend(name, adapters[name], {"adapter": name})
                lines += [f"  # {line[2:]}" for line in block]
    for style in BUILT_IN_STYLES:
        lines += _format_style(style, complete=style is BUILT_IN_STYLES[0])
    return "\n".join(lines) + "\n"


def format_backend(
    name: str,
    adapter: Adapter[Any],
    values: Mapping[str, object],
    *,
    complete: bool = False,
) -> list[str]:
    """Return a block with all keys of the adapter, and `complete` with common ones."""
    lines = _add_comment(f"  {_to_yaml(name)}:", adapter.summary, indent=2)
    common = msgspec.structs.fields(BackendBlock)
    shared = {field.encode_name for field in common}
    own = [
        field
        for field in msgspec.structs.fields(adapter.options)
        if field.encode_name not in shared
    ]
    for field in (*common, *own):
        value = values.get(field.encode_name)
        if complete or value is not None or field in own:
            lines += _format_key(field, indent=4, value=value)
    return lines


def _format_style(style: Style, *, complete: bool) -> list[str]:
    lines = [f"  {_to_yaml(style.name)}:"]
    for field in msgspec.structs.fields(StyleBlock):
        if value := getattr(style, field.name):
            lines += _format_key(field, indent=4, value=value, comment=complete)
        elif complete:
            lines += _format_key(field, indent=4)
    return lines


def _format_key(
    field: FieldInfo, *, indent: int, value: object = None, comment: bool = True
) -> list[str]:
    """Return the lines of one key, commented out if it is optional."""
    description, example = describe_field(field.type)
    description = description if comment else ""
    live = value is not None or field.required
    if value is None:
        default: object = None if field.required else field.default
        if default is msgspec.NODEFAULT:
            default = field.default_factory()
        empty = default in (None, msgspec.UNSET, "", {}, [], (), Path())
        value = default if example is None or not empty else example
    margin = " " * indent + ("" if live else "# ")
    entry = f"{margin}{field.encode_name}: {_to_yaml(value)}"
    if len(entry) <= WIDTH:
        return _add_comment(entry, description, indent=indent)
    folded = textwrap.wrap(
        str(value), WIDTH - indent - 4, break_long_words=False, break_on_hyphens=False
    )
    return [
        *_format_comment(description, indent=indent),
        f"{margin}{field.encode_name}: >-",
        *(f"{margin}  {line}" for line in folded),
    ]


def _add_comment(entry: str, comment: str, *, indent: int) -> list[str]:
    """Return a line with its comment: behind it if there is room, else above."""
    if not comment:
        return [entry]
    if len(entry) > _COLUMN - 2:
        return [*_format_comment(comment, indent=indent), entry]
    first, *others = textwrap.wrap(comment, WIDTH - _COLUMN - 2)
    beside = [f"{entry:<{_COLUMN}}# {first}"]
    return beside + [f"{'':<{_COLUMN}}# {line}" for line in others]


def _format_comment(text: str, *, indent: int) -> list[str]:
    margin = " " * indent + "# "
    return [margin + line for line in textwrap.wrap(text, WIDTH - len(margin))]


def _to_yaml(value: object) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, Enum):
        value = value.value
    elif isinstance(value, Path | Size):
        value = str(value)
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


# Text that YAML reads the same without quotes: not a number, and none of its keywords.
_PLAIN_TEXT = re.compile(
    r"(?!(?i:true|false|null)$)(?:[A-Za-z_/][\w./-]*|~?/[\w./-]+|[0-9]+x[0-9]+)"
    r"(?::[\w./-]+)*",
    re.ASCII,
)
