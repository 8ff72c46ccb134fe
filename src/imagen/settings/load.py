"""Where the config file is looked for, and what holds without one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from imagen.domain.errors import Misconfigured
from imagen.domain.instance import Instance
from imagen.ports.backend import Adapter
from imagen.settings.environment import Environment
from imagen.settings.model import MOCK, BackendSettings, OutputSettings, Settings
from imagen.settings.styles import SAMPLE_STYLES

FILE_NAME = "imagen.yaml"
LARGEST_FILE = 4_000_000
"""Bytes; a config has a few thousand, and /dev/zero has no end."""


def find_config(explicit: str | None, environment: Environment) -> tuple[Path, bool]:
    """Return where the config is looked for, and whether somebody named that place.

    The flag, else `$IMAGEN_CONFIG`, else `~/.config/imagen.yaml`.
    """
    named = environment.config_path if explicit is None else explicit
    if named is None:
        return environment.config_home / FILE_NAME, False
    if not named:
        raise Misconfigured(
            "The path of the config is empty.", hint="Give --config a file."
        )
    return environment.expand_home(Path(named)), True


def load_settings(
    explicit: str | None,
    *,
    environment: Environment,
    adapter_of: Callable[[str], Adapter[Any]],
) -> Settings:
    """Return the settings of the config file, or the defaults without one.

    Args:
        explicit: The file that the flag names.
        environment: Where `$IMAGEN_CONFIG` and `~` are looked up.
        adapter_of: Finds an adapter by its name, or raises Misconfigured.

    Raises:
        Misconfigured: a file that was named is not there, or cannot be read.
        InvalidConfig: something is wrong in it.
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
    """Return what holds without a config: the mock, and the styles of the sample."""
    instance = Instance(name=MOCK, adapter=MOCK)
    options = adapter_of(MOCK).options()
    return Settings(
        default_backend=MOCK,
        output=OutputSettings(),
        backends={MOCK: BackendSettings(instance=instance, options=options)},
        styles={style.name: style for style in SAMPLE_STYLES},
    )


def _read_file(path: Path, *, named: bool) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        if not named:
            return None
        raise Misconfigured(
            f"There is no config at {path}.",
            hint="`imagen config init` prints a sample to begin with.",
        ) from None
    except IsADirectoryError:
        raise Misconfigured(
            f"The config {path} is a folder.", hint=f"Name a file in it: {FILE_NAME}."
        ) from None
    except OSError as error:
        raise Misconfigured(
            f"The config {path} cannot be read: {error.strerror or 'it is no file'}.",
            hint="Check that it is a file, and that you may read it.",
        ) from error
    except ValueError:  # a NUL, or half a surrogate
        raise Misconfigured(f"{str(path)!r} cannot be the path of a config.") from None
    if len(content) > LARGEST_FILE:
        raise Misconfigured(
            f"The config {path} is larger than {LARGEST_FILE} bytes.",
            hint="Check that it is the right file.",
        )
    return content
