"""Find and read the config file; the defaults without one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imagen.domain.errors import Misconfigured
from imagen.domain.instance import Instance
from imagen.ports.adapter import Adapter
from imagen.settings.environment import Environment
from imagen.settings.model import (
    BUILT_IN_STYLES,
    MOCK,
    BackendSettings,
    OutputSettings,
    Settings,
)

FILE_NAME = "imagen.yaml"


def find_config(explicit: str | None, environment: Environment) -> tuple[Path, bool]:
    """Return the path of the config file, and whether the user chose it.

    `explicit` (the flag), else `$IMAGEN_CONFIG`, else `~/.config/imagen.yaml`.

    Raises:
        Misconfigured: the path is empty, or its home folder is unknown.
    """
    named = environment.config_path if explicit is None else explicit
    if named is None:
        return environment.config_home / FILE_NAME, False
    if not named:
        raise Misconfigured(
            "The path of the config file is empty.", hint="Give --config a file."
        )
    return environment.expand_home(Path(named)), True


def load_settings(
    explicit: str | None,
    *,
    environment: Environment,
    adapter_of: Callable[[str], Adapter[Any]],
) -> Settings:
    """Return the settings of the config file, or the defaults without one.

    Raises:
        Misconfigured: the file cannot be read, or the user chose it and it is missing.
        InvalidConfig: the file has errors.
    """
    path, named = find_config(explicit, environment)
    content = _read_file(path, named=named)
    if content is None:
        return default_settings(adapter_of)
    from imagen.settings.document import parse  # noqa: PLC0415 - costs yaml
    from imagen.settings.validate import validate  # noqa: PLC0415 - only for a file

    document = parse(content, source=str(path))
    return validate(
        document, adapter_of=adapter_of, expand=environment.expand_path, path=path
    )


def default_settings(adapter_of: Callable[[str], Adapter[Any]]) -> Settings:
    """Return the settings without a config: the mock, and the built-in styles."""
    instance = Instance(name=MOCK, adapter=MOCK)
    options = adapter_of(MOCK).options()
    return Settings(
        default_backend=MOCK,
        output=OutputSettings(),
        backends={MOCK: BackendSettings(instance=instance, options=options)},
        styles={style.name: style for style in BUILT_IN_STYLES},
    )


def _read_file(path: Path, *, named: bool) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if not named:
            return None
        raise Misconfigured(
            f"The config file {path} does not exist.",
            hint="`imagen setup` writes one, `imagen config init` prints a sample.",
        ) from None
    except IsADirectoryError:
        raise Misconfigured(
            f"The config file {path} is a folder.",
            hint=f"Give the path of a file in it, such as {FILE_NAME}.",
        ) from None
    except OSError as error:
        # The home folder of another user has no config for this one.
        if not (named or os.access(path.parent, os.X_OK)):
            return None
        raise Misconfigured(
            f"The config file {path} cannot be read: "
            f"{error.strerror or 'not a regular file'}.",
            hint="Check that it is a file, and that you have permission to read it.",
        ) from error
    except ValueError:  # a NUL character, or a lone surrogate
        raise Misconfigured(f"{str(path)!r} is not a valid path.") from None
