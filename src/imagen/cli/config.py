"""The commands `imagen config init`, `validate`, `migrations` and `path`."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from imagen.cli import exit_codes
from imagen.cli.output import Output, display_path, print_message
from imagen.cli.parameters import (
    ConfigFlag,
    JsonFlag,
    check_config,
    keep_path,
    load_runtime,
)
from imagen.registry import installed_adapters
from imagen.settings.environment import process_environment
from imagen.settings.load import find_config

if TYPE_CHECKING:
    from imagen.ports.backend import Readiness


def init(
    *, write: bool = False, config: ConfigFlag = None, json: JsonFlag = False
) -> None:
    """Print a complete sample imagen.yaml on stdout, with a comment for each key.

    Three backends are configured: mock, a ComfyUI server on this machine (the default),
    and Replicate. Other installed adapters have a block that is commented out.

    ```
    imagen config init
    imagen config init --write
    ```

    Args:
        write: Write the sample to the path of the config file, which must not exist
            yet, and print that path.
    """
    from imagen.settings.sample import sample_config  # noqa: PLC0415 - rare

    out, text = Output(json=json), sample_config(installed_adapters())
    if not write:
        if json:
            out.print_json({"config": text})
        else:
            out.print_lines(text.splitlines())
        return
    from imagen.adapters.system.config_file import create_config  # noqa: PLC0415 - rare

    found, _ = find_config(keep_path(config), process_environment())
    create_config(found, text)
    _print_path(out, found)
    print_message("Edit the file, then run `imagen backends check`.")


def validate(
    *,
    online: bool = False,
    config: ConfigFlag = None,
    json: JsonFlag = False,
) -> int:
    """Check the active config; list every error with its file, line and key.

    ```
    imagen config validate --config ./imagen.yaml
    imagen config validate --online
    ```

    Args:
        online: Also check the set-up of Supabase; exits 1 if it is incomplete.
    """
    runtime, out = load_runtime(config), Output(json=json)
    settings = runtime.settings
    # A missing file is valid, unless --config or $IMAGEN_CONFIG names it.
    found, _ = find_config(keep_path(config), runtime.environment)
    findings: list[Readiness] = []
    if online:
        from imagen.bootstrap.cloud import check_supabase  # noqa: PLC0415 - rare

        findings += check_supabase(runtime)
    if json:
        out.print_json(
            {
                "path": display_path(str(found)),
                "exists": settings.path is not None,
                "backends": list(settings.backends),
                "styles": list(settings.styles),
                **({"supabase": msgspec.to_builtins(findings)} if online else {}),
            }
        )
    else:
        if settings.path is None:
            out.print_text(f"{found}: not found, using the defaults")
        else:
            backends = _format_count(len(settings.backends), "backend")
            styles = _format_count(len(settings.styles), "style")
            out.print_text(f"{found}: valid, {backends}, {styles}")
        for finding in findings:
            out.print_finding("supabase", finding)
    ready = all(finding.ready for finding in findings)
    return exit_codes.DONE if ready else exit_codes.NOT_READY


def migrations(*, config: ConfigFlag = None, json: JsonFlag = False) -> None:
    """Print the SQL that creates the tables, policies and bucket in Supabase.

    It can be run again at any time without losing data.

    ```
    imagen config migrations | psql "$DATABASE_URL" -v ON_ERROR_STOP=1
    ```
    """
    from imagen.bootstrap.cloud import read_migrations  # noqa: PLC0415 - rare

    check_config(config)
    out, sql = Output(json=json), read_migrations()
    if json:
        out.print_json({"sql": sql})
    else:
        out.print_lines(sql.split("\n"))


def path(*, config: ConfigFlag = None, json: JsonFlag = False) -> None:
    """Print the path of the active config, even if the file does not exist."""
    found, _ = find_config(keep_path(config), process_environment())
    _print_path(Output(json=json), found)


def _print_path(out: Output, path: Path) -> None:
    if out.json:
        out.print_json({"path": display_path(str(path))})
    else:
        out.print_path(str(path))


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
