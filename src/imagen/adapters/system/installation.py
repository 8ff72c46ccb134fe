"""How imagen is installed: the command that adds an extra to it."""

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import msgspec

NAME = "imagen-studio"


class _DirectUrl(msgspec.Struct, frozen=True):
    """The record of a package that was not installed from an index (PEP 610)."""

    url: str


def format_install_command(extra: str) -> str:
    """Return the shell command that installs an extra of imagen beside the others.

    It fits the tool that installed imagen: pipx, `uv tool`, uv or pip.
    """
    prefix = Path(sys.prefix)
    receipt = prefix / "uv-receipt.toml"
    if receipt.is_file():
        # `uv tool` removes the extras that the command does not name.
        spec = _build_spec({extra, *_read_extras(receipt)}) + _read_source()
        return f"uv tool install {shlex.quote(spec)}"
    spec = shlex.quote(_build_spec({extra}))
    if (prefix / "pipx_metadata.json").is_file():
        return f"pipx runpip {shlex.quote(prefix.name)} install {spec}"
    python = shlex.quote(sys.executable)
    if find_spec("pip") is None:
        # Environments of uv have no pip.
        return f"uv pip install --python {python} {spec}"
    # In an active environment, and in the only one of a container.
    if which("pip") == str(Path(sys.executable).with_name("pip")):
        return f"pip install {spec}"
    return f"{python} -m pip install {spec}"


def _build_spec(extras: set[str]) -> str:
    return f"{NAME}[{','.join(sorted(extras))}]"


def _read_extras(receipt: Path) -> list[str]:
    """Return the extras with which `uv tool` has installed imagen."""
    import tomllib  # noqa: PLC0415 - rare

    tool = tomllib.loads(receipt.read_text("utf-8")).get("tool", {})
    for requirement in tool.get("requirements", ()):
        if requirement.get("name") == NAME:
            return [str(each) for each in requirement.get("extras", ())]
    return []


def _read_source() -> str:
    """Return where imagen was installed from, as a suffix; "" for the package index."""
    from importlib.metadata import (  # noqa: PLC0415 - slow
        PackageNotFoundError,
        distribution,
    )

    try:
        found = distribution(NAME).read_text("direct_url.json")
    except PackageNotFoundError:
        return ""
    url = msgspec.json.decode(found, type=_DirectUrl).url if found else ""
    return f" @ {url}" if url else ""
