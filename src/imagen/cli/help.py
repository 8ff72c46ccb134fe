"""The command `imagen help`."""

from typing import Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.cli import app
from imagen.cli.parameters import ConfigFlag, check_config, complete_commands


def help_(
    *command: Annotated[str, Parameter(metavar="COMMAND", completer=complete_commands)],
    config: ConfigFlag = None,
) -> int:
    """Print the help of COMMAND, or the list of commands.

    ```
    imagen help generate
    imagen help config init
    ```

    Args:
        command: The words of a command.
    """
    check_config(config)
    return app.run([*command, "--help"])
