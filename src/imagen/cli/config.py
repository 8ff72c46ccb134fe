"""The commands `imagen config init`, `validate`, `migrations` and `path`."""

from imagen.cli import exit_codes
from imagen.cli.output import Output
from imagen.cli.parameters import ConfigFlag, keep_path, load_runtime
from imagen.registry import installed_adapters
from imagen.settings.environment import process_environment
from imagen.settings.load import find_config


def init() -> None:
    """Print a complete sample imagen.yaml on stdout, with a comment for each key.

    Three backends are configured: mock, a ComfyUI server on this machine (the default),
    and Replicate. Other installed adapters have a block that is commented out.

    ```
    imagen config init > ~/.config/imagen.yaml
    ```
    """
    from imagen.settings.sample import sample_config  # noqa: PLC0415 - rare

    Output().print_lines(sample_config(installed_adapters()).splitlines())


def validate(
    *,
    online: bool = False,
    config: ConfigFlag = None,
) -> int:
    """Check the active config; list every error with its file, line and key.

    ```
    imagen config validate --config ./imagen.yaml
    imagen config validate --online
    ```

    Args:
        online: Also check the set-up of Supabase; exits 1 if it is incomplete.
    """
    runtime = load_runtime(config)
    settings = runtime.settings
    # A missing file is valid, unless --config or $IMAGEN_CONFIG names it.
    if settings.path is None:
        path, _ = find_config(keep_path(config), runtime.environment)
        Output().print_text(f"{path}: not found, using the defaults")
    else:
        backends = _format_count(len(settings.backends), "backend")
        styles = _format_count(len(settings.styles), "style")
        Output().print_text(f"{settings.path}: valid, {backends}, {styles}")
    ready = True
    if online:
        from imagen.bootstrap.cloud import check_supabase  # noqa: PLC0415 - rare

        for finding in check_supabase(runtime):
            ready = ready and finding.ready
            Output().print_finding("supabase", finding)
    return exit_codes.DONE if ready else exit_codes.NOT_READY


def migrations() -> None:
    """Print the SQL that creates the tables, policies and bucket in Supabase.

    It can be run again at any time without losing data.

    ```
    imagen config migrations | psql "$DATABASE_URL" -v ON_ERROR_STOP=1
    ```
    """
    from imagen.bootstrap.cloud import read_migrations  # noqa: PLC0415 - rare

    Output().print_lines(read_migrations().split("\n"))


def path(*, config: ConfigFlag = None) -> None:
    """Print the path of the active config, even if the file does not exist."""
    found, _ = find_config(keep_path(config), process_environment())
    Output().print_path(str(found))


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
