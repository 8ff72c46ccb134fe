"""The command `imagen version`."""

from imagen.cli.output import Output
from imagen.cli.parameters import ConfigFlag, JsonFlag, check_config
from imagen.version import __version__


def version(*, config: ConfigFlag = None, json: JsonFlag = False) -> None:
    """Print the version."""
    check_config(config)
    out = Output(json=json)
    if json:
        out.print_json({"version": __version__})
    else:
        out.print_text(__version__)
