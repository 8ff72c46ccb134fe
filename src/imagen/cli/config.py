"""The commands `imagen config init`, `validate` and `path`."""

from imagen import bootstrap
from imagen.cli import exit_codes
from imagen.cli.output import Output
from imagen.cli.parameters import ConfigFlag, path_of
from imagen.registry import built_in_adapters
from imagen.settings.environment import process_environment
from imagen.settings.load import find_config


def init() -> int:
    """Print a complete sample imagen.yaml on stdout, with a comment on each key.

    ```
    imagen config init > ~/.config/imagen.yaml
    ```
    """
    from imagen.settings.sample import sample_config  # noqa: PLC0415 - only here

    Output().text(sample_config(built_in_adapters()).rstrip("\n"))
    return exit_codes.DONE


def validate(*, config: ConfigFlag = None) -> int:
    """Check the active config: every error, with its file, line and key.

    ```
    imagen config validate --config ./imagen.yaml
    ```
    """
    environment = process_environment()
    settings = bootstrap.load(path_of(config), environment=environment)
    if settings.path is None:
        path, _ = find_config(path_of(config), environment)
        Output().text(f"{path}: not there, the defaults hold")
        return exit_codes.DONE
    backends = _counted(len(settings.backends), "backend")
    styles = _counted(len(settings.styles), "style")
    Output().text(f"{settings.path}: valid, {backends}, {styles}")
    return exit_codes.DONE


def path(*, config: ConfigFlag = None) -> int:
    """Print the path of the active config, whether or not there is a file yet."""
    found, _ = find_config(path_of(config), process_environment())
    Output().text(str(found))
    return exit_codes.DONE


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
