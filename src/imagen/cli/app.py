"""The `imagen` program: the table of commands, and the process exit code."""

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from imagen.version import __version__

# A constant that type checkers know: importing `typing` would slow `imagen version`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from cyclopts import App
    from rich.console import Console

COMMANDS = {
    "generate": ("imagen.cli.generate:generate", "Generate images from a prompt."),
    "setup": ("imagen.cli.setup:setup", "Find your backends and write the config."),
    "doctor": ("imagen.cli.doctor:doctor", "Check what is ready and what is missing."),
    "models": ("imagen.cli.models:models", "List models, their prices and abilities."),
    "styles": ("imagen.cli.styles:styles", "List the styles."),
    "backends list": (
        "imagen.cli.backends:list_",
        "List the configured backends and the adapters.",
    ),
    "backends check": (
        "imagen.cli.backends:check",
        "Check that backends are ready; costs nothing.",
    ),
    "config init": ("imagen.cli.config:init", "Print a complete sample config."),
    "config validate": (
        "imagen.cli.config:validate",
        "Check the active config; list errors by line.",
    ),
    "config migrations": (
        "imagen.cli.config:migrations",
        "Print the SQL that sets up Supabase.",
    ),
    "config path": ("imagen.cli.config:path", "Print the path of the active config."),
    "jobs": ("imagen.cli.jobs:jobs", "List unfinished jobs, which may be billed."),
    "jobs forget": ("imagen.cli.jobs:forget", "Forget unfinished jobs."),
    "resume": ("imagen.cli.resume:resume", "Finish interrupted jobs."),
    "history": ("imagen.cli.history:history", "List the images made on this machine."),
    "history forget": (
        "imagen.cli.history:forget",
        "Remove images from the history; keep the files.",
    ),
    "sync": ("imagen.cli.sync:sync", "Upload pending data to the cloud."),
    "fetch": ("imagen.cli.fetch:fetch", "Download images from the cloud."),
    "show": ("imagen.cli.show:show", "Show images in the terminal."),
    "inspect": ("imagen.cli.inspect:inspect", "Print how an image was made."),
    "strip": ("imagen.cli.strip:strip", "Write a copy without prompt or metadata."),
    "rerun": ("imagen.cli.rerun:rerun", "Generate an image again."),
    "sweep": ("imagen.cli.sweep:sweep", "Generate combinations, with a contact sheet."),
    "trash list": ("imagen.cli.trash:list_", "List replaced and deleted files."),
    "trash restore": (
        "imagen.cli.trash:restore",
        "Move files from the trash back to where they were.",
    ),
    "trash empty": ("imagen.cli.trash:empty", "Delete the files in the trash."),
    "usage": ("imagen.cli.usage:usage", "Print costs and usage."),
    "serve": ("imagen.cli.serve:serve", "Serve the OpenAI images API and a gallery."),
    "prices": ("imagen.cli.prices:prices", "Print the known prices."),
    "help": ("imagen.cli.help:help_", "Print the help of a command."),
    "version": ("imagen.cli.version:version", "Print the version."),
    "--install-completion": (
        "imagen.cli.completion:install",
        "Install completion for your shell (bash, zsh or fish).",
    ),
}
PROMPTED = ("generate", "sweep")
"""The commands whose argument is a prompt, which may be piped in."""
GROUPS = {
    "backends": "Manage image backends.",
    "config": "Create, check and find the config file.",
    "trash": "Manage replaced and deleted files, kept 30 days.",
    # Groups that are commands themselves keep the summary of the command.
    **{name: COMMANDS[name][1] for name in ("history", "jobs")},
}
HELP_WIDTH = 100
"""Columns of the help, at most."""
SUMMARY = "A prompt in, an image file out, through any backend."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code of the process.

    Args:
        argv: The words of the command line. None: those of this process, which ends
            afterwards.
    """
    if argv is None:
        # Imports create many objects and no garbage: fewer collections save 8 ms.
        gc.set_threshold(50_000)
    words = list(sys.argv[1:] if argv is None else argv)
    _replace_closed_streams()
    code = 0
    try:
        code = run(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        # Only while modules are imported: StopSignals handles it after that.
        code = 130
    except BrokenPipeError:
        # The reader closed the pipe. The work is done, so this is not an error.
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        if code == 0:
            code = 1
            with suppress(OSError):
                reason = error.strerror
                sys.stderr.write(
                    f"imagen: Standard output cannot be written: {reason}.\n"
                )
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)
    if argv is None:
        # The process ends, and the interpreter would search all objects for garbage
        # again and again: 70 of the 400 ms of CPU time of `imagen generate` (2026-12).
        gc.freeze()
    return code


def _discard(stream: "TextIO") -> None:
    """Point the stream to /dev/null.

    Otherwise the interpreter flushes it once more on exit, and fails again.
    """
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _replace_closed_streams() -> None:
    """Open /dev/null for each standard stream that the parent closed (`>&-`).

    Python sets such a stream to None.
    """
    # In the order of the file descriptors: otherwise the first image file that is
    # opened gets descriptor 1, and printed text ends up in it.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - stays open


def run(words: list[str]) -> int:
    """Run one command, print its error if it has one, and return its exit code."""
    if words in (["--version"], ["version"]):
        sys.stdout.write(f"{__version__}\n")
        return 0
    from cyclopts import CycloptsError

    from imagen.cli import exit_codes  # noqa: PLC0415
    from imagen.cli.output import Output  # noqa: PLC0415

    out = Output(
        json=_has_flag(words, "--json"), verbose=_has_flag(words, "-v", "--verbose")
    )
    app = build_app(words)
    if _prints_help(words):
        app.console = _build_help_console()
    try:
        _check_prompt(words, app)
        result = app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        from imagen.cli.usage_errors import explain_usage_error  # noqa: PLC0415 - rare

        usage_error = explain_usage_error(error, app, words)
        out.print_error(usage_error)
        return exit_codes.exit_code_for(usage_error)
    except BrokenPipeError:
        raise
    except Exception as error:
        # The help, which cyclopts prints: stdout cannot be written.
        if isinstance(error, OSError) and _prints_help(words):
            raise
        out.print_error(error)
        return exit_codes.exit_code_for(error)
    # A command that returns nothing can only succeed or raise an error.
    return result if isinstance(result, int) else exit_codes.DONE


def _check_prompt(words: list[str], app: "App") -> None:
    """Refuse a prompt that is the name of a command, which may be what was meant.

    Raises:
        UsageError: the prompt is `help` or a command, and no `--` is before it.
    """
    names = {name.partition(" ")[0] for name in COMMANDS}
    if " ".join(words[:1]) in PROMPTED and not names.isdisjoint(words[1:]):
        from imagen.cli.usage_errors import check_prompt_word  # noqa: PLC0415 - rare

        check_prompt_word(words, app, names)


def _prints_help(words: Sequence[str]) -> bool:
    if words[:1] == ["help"] or _has_flag(words, "-h", "--help"):
        return True
    return " ".join(words) in {"", *(GROUPS.keys() - COMMANDS.keys())}


def _build_help_console() -> "Console":
    from rich.console import Console

    console = Console()
    # Longer lines are hard to read, however wide the terminal is.
    console.width = min(console.width, HELP_WIDTH)
    return console


def _has_flag(words: Sequence[str], *flags: str) -> bool:
    """Return true if a flag is set, even on a command line that cannot be parsed."""
    return any(
        word in flags
        or (sign and option in flags and value.lower() not in _FALSE_WORDS)
        for word in words
        for option, sign, value in [word.partition("=")]
    )


# The words that cyclopts reads as false, as in `--json=no`.
_FALSE_WORDS = {"no", "n", "0", "false", "f"}


def build_app(words: Sequence[str] = ()) -> "App":
    """Build the cyclopts app; each command is imported when it is called.

    A group that is a command itself (`history`, `jobs`) is imported when its name is
    among the words; no words mean any command. The command that they name is described
    by its docstring, the others by their summaries.
    """
    from cyclopts import App, Parameter

    # A flag shows its default only where that says more than `False` or nothing.
    defaults = Parameter(negative=(), show_default=False)
    app = App(
        name="imagen",
        help=SUMMARY,
        version=__version__,
        version_flags=["--version"],
        result_action="return_value",
        default_parameter=defaults,
        help_format="markdown",
    )
    parents = {"": app}
    for name, summary in GROUPS.items():
        # None: cyclopts takes the help from the docstring of the command.
        help_text = None if name in COMMANDS and _is_command(words, name) else summary
        parents[name] = App(name=name, help=help_text, version_flags=[])
        app.command(parents[name])
    for name, (target, summary) in COMMANDS.items():
        if name in GROUPS:
            if not words or name in words:
                module, _, attribute = target.partition(":")
                parents[name].default(getattr(import_module(module), attribute))
            continue
        parent, _, last = name.rpartition(" ")
        help_text = None if _is_command(words, name) else summary
        # cyclopts calls an argument that may be left out ARGS.
        usage = f"Usage: imagen {name} [OPTIONS] [PROMPT]" if name in PROMPTED else None
        parents[parent].command(target, name=last, help=help_text, usage=usage)
    return app


def _is_command(words: Sequence[str], command: str) -> bool:
    return list(words[: command.count(" ") + 1]) == command.split()
