"""The command `imagen --install-completion`."""

import os
import shlex
from pathlib import Path
from typing import Literal

from imagen.cli import app
from imagen.cli.output import Output, print_message
from imagen.domain.errors import Misconfigured, UsageError

_ZSH_FOLDER = Path(".zsh", "completions")


def install(*, shell: Literal["bash", "zsh", "fish"] | None = None) -> None:
    """Install completion of commands, flags, backends and styles for your shell.

    Writes the completion script to the shell's own folder and prints its path. For
    bash and zsh, adds a line to the start-up file.

    Args:
        shell: The shell. [default: the current one]
    """
    from cyclopts.completion import ShellDetectionError
    from cyclopts.completion.detect import detect_shell

    try:
        found = shell or detect_shell()
        path = app.build_app().install_completion(
            shell=found, add_to_startup=found != "zsh"
        )
        if path.parent == Path.home() / _ZSH_FOLDER:
            _add_to_zshrc(path.parent)
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
    # file does not run.
    if found == "zsh" and not _runs_compinit(Path.home() / ".zshrc"):
        print_message(
            "Add this line to ~/.zshrc too: autoload -Uz compinit && compinit"
        )


def _add_to_zshrc(folder: Path) -> None:
    """Let zsh find completions in the folder; Oh My Zsh finds them by itself."""
    # cyclopts 5.4 writes this line without quotes: a space in the home breaks it.
    line = f"fpath=({shlex.quote(str(folder))} $fpath)\n"
    zshrc = (Path.home() / ".zshrc").resolve()
    content = zshrc.read_bytes() if zshrc.exists() else b""
    if os.fsencode(line) not in content:
        # At the beginning, because compinit reads the path.
        zshrc.write_bytes(os.fsencode(f"# imagen completions\n{line}") + content)


def _runs_compinit(zshrc: Path) -> bool:
    try:
        return "compinit" in zshrc.read_text("utf-8", errors="replace")
    except OSError:
        return False
