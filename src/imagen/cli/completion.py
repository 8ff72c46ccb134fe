"""The command `imagen --install-completion`."""

from pathlib import Path
from typing import Literal

from imagen.cli import app
from imagen.cli.output import Output, print_message
from imagen.domain.errors import Misconfigured, UsageError


def install(*, shell: Literal["bash", "zsh", "fish"] | None = None) -> None:
    """Install completion of commands, flags, backends and styles for your shell.

    Writes the completion script to the shell's own folder and prints its path. For
    bash and zsh, adds a line to the start-up file.

    Args:
        shell: The shell. [default: the current one]
    """
    from cyclopts.completion import ShellDetectionError

    try:
        path = app.build_app().install_completion(shell=shell)
    except ShellDetectionError as error:
        raise UsageError(
            "The current shell could not be detected.",
            hint="Name it: imagen --install-completion --shell zsh.",
        ) from error
    except OSError as error:
        raise Misconfigured(
            f"The completion could not be installed: {error.strerror or error}: "
            f"{error.filename}."
        ) from error
    Output().print_path(str(path))
    print_message("Open a new shell to use it.")
    # zsh loads completion functions only after compinit, which its default start-up
    # file does not run; the file name of a zsh completion begins with `_`.
    if path.name.startswith("_") and not _runs_compinit(Path.home() / ".zshrc"):
        print_message(
            "Add this line to ~/.zshrc too: autoload -Uz compinit && compinit"
        )


def _runs_compinit(zshrc: Path) -> bool:
    try:
        return "compinit" in zshrc.read_text("utf-8", errors="replace")
    except OSError:
        return False
