"""The command `imagen version`."""

from imagen.cli.output import Output
from imagen.version import __version__


def version() -> None:
    """Print the version."""
    Output().print_text(__version__)
