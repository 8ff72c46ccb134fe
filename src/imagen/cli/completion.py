"""The command `imagen --install-completion`."""

from pathlib import Path
from typing import Literal

from imagen.cli import app
from imagen.cli.output import Output, say
from imagen.domain.errors import Misconfigured, UsageError


def install(*, shell: Literal["bash", "zsh", "fish"] | None = None) -> int:
    """Install completion of commands, flags, backends and styles for your shell.

    It is written where the shell looks for it, and for bash and zsh a line is added to
    its start-up file. The path is printed.

    Args:
        shell: Which shell. [default: the one that this runs in]
    """
    from cyclopts.completion import ShellDetectionError

    try:
        path = app.build_app().install_completion(shell=shell)
    except ShellDetectionError as error:
        raise UsageError(
            "The shell that this runs in is not known.",
            hint="Name it: imagen --install-completion --shell zsh.",
        ) from error
    except OSError as error:
        raise Misconfigured(
            f"The completion could not be installed: {error.strerror or error}: "
            f"{error.filename}."
        ) from error
    Output().text(str(path))
    say("Open a new shell to use it.")
    if path.name.startswith("_") and not _starts_completion(Path.home() / ".zshrc"):
        say("In ~/.zshrc, zsh needs this as well: autoload -Uz compinit && compinit")
    return 0


def _starts_completion(zshrc: Path) -> bool:
    try:
        return "compinit" in zshrc.read_text("utf-8", errors="replace")
    except OSError:
        return False
