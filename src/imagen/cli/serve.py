"""The command `imagen serve`."""

from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.adapters.system.installation import format_install_command
from imagen.bootstrap.runtime import Runtime
from imagen.cli.output import print_message
from imagen.cli.parameters import ConfigFlag, keep_path, report_temporary
from imagen.domain.errors import Misconfigured
from imagen.settings.environment import process_environment


def serve(
    *,
    addr: Annotated[str, Parameter(metavar="HOST:PORT", show_default=True)] = ":8080",
    config: ConfigFlag = None,
) -> int:
    """Serve the OpenAI images API and a gallery, over every backend.

    `8080` or `:8080` listens on loopback only, `unix:PATH` on a Unix socket. To listen
    on another interface, set $IMAGEN_SERVE_KEYS to the accepted API keys: `NAME:KEY`,
    separated by commas.

    ```
    imagen serve
    IMAGEN_SERVE_KEYS=team:$(openssl rand -hex 24) imagen serve --addr 0.0.0.0:8080
    ```

    Args:
        addr: The address to listen on: loopback without HOST, or unix:PATH.
    """
    environment = process_environment()
    settings = Runtime.load(keep_path(config), environment=environment).settings
    # The extra `serve` is optional, and loading Litestar takes time.
    try:
        from imagen.server import listener, run  # noqa: PLC0415 - an extra; costs Litestar
    except ImportError as error:
        raise Misconfigured(
            f"`imagen serve` needs {error.name}, which is not installed.",
            hint=f"Run: {format_install_command('serve')}",
        ) from error
    address = listener.parse_address(addr)
    report_temporary(environment)
    return run.serve(settings, address, environment=environment, log=print_message)
