"""The `imagen` program: which commands there are, and how it ends."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from imagen.version import __version__

TYPE_CHECKING = False  # as checkers know it; `imagen version` can do without `typing`
if TYPE_CHECKING:
    from typing import TextIO

    from cyclopts import App

COMMANDS = {
    "generate": ("imagen.cli.generate:generate", "Generate images of a prompt."),
    "backends list": (
        "imagen.cli.backends:list_",
        "List the configured backends and the adapters.",
    ),
    "backends check": (
        "imagen.cli.backends:check",
        "Check whether backends would work; spends nothing.",
    ),
    "config init": ("imagen.cli.config:init", "Print a complete sample config."),
    "config validate": (
        "imagen.cli.config:validate",
        "Check the active config; every error with its line.",
    ),
    "config path": ("imagen.cli.config:path", "Print the path of the active config."),
    "jobs": ("imagen.cli.jobs:jobs", "List what did not finish, and may be billed."),
    "jobs forget": ("imagen.cli.jobs:forget", "Give up generations."),
    "resume": ("imagen.cli.resume:resume", "Finish what was interrupted."),
    "history": ("imagen.cli.history:history", "List the images made here."),
    "history forget": (
        "imagen.cli.history:forget",
        "Forget images; their files stay.",
    ),
    "sync": ("imagen.cli.sync:sync", "Deliver what is owed to the cloud."),
    "fetch": ("imagen.cli.fetch:fetch", "Bring an image back from the cloud."),
    "show": ("imagen.cli.show:show", "Show images in this terminal."),
    "inspect": ("imagen.cli.inspect:inspect", "Say what a file says of its making."),
    "strip": ("imagen.cli.strip:strip", "Write a copy without prompt or metadata."),
    "rerun": ("imagen.cli.rerun:rerun", "Make an image again."),
    "sweep": ("imagen.cli.sweep:sweep", "Make every combination; a contact sheet."),
    "usage": ("imagen.cli.usage:usage", "Print what was spent."),
    "serve": ("imagen.cli.serve:serve", "Serve the OpenAI images API and a gallery."),
    "prices": ("imagen.cli.prices:prices", "Print what is charged for what."),
    "version": ("imagen.cli.version:version", "Print the version."),
    "--install-completion": (
        "imagen.cli.completion:install",
        "Install completion for your shell (bash, zsh or fish).",
    ),
}
GROUPS = {
    "backends": "What makes the images.",
    "config": "The file that says what there is.",
    **{name: COMMANDS[name][1] for name in ("history", "jobs")},  # which do something
}
SUMMARY = "A prompt in, an image file out, through any backend."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return what the shell should be told."""
    words = list(sys.argv[1:] if argv is None else argv)
    _replace_closed_streams()
    code = 0
    try:
        code = _run(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130  # while nothing but imports went on
    except BrokenPipeError:
        _give_up(sys.stdout)  # whoever read it has gone; what could be done is done
    except OSError as error:
        _give_up(sys.stdout)
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
        _give_up(sys.stderr)
    return code


def _give_up(stream: "TextIO") -> None:
    """Keep the interpreter from flushing it once more at its end."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _replace_closed_streams() -> None:
    """Put nothing where the parent left a hole (`>&-`): Python has None there.

    In the order of their numbers, so that no image gets the number of stdout.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - to the end


def _run(words: list[str]) -> int:
    if words in (["--version"], ["version"]):
        sys.stdout.write(f"{__version__}\n")
        return 0
    from cyclopts import CycloptsError

    from imagen.cli import exit_codes  # noqa: PLC0415
    from imagen.cli.output import Output  # noqa: PLC0415

    said = Output(json=_asks(words, "--json"), verbose=_asks(words, "-v", "--verbose"))
    app = build_app(words)
    try:
        result = app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        from imagen.cli.usage_errors import explain_usage_error  # noqa: PLC0415 - only on mistakes

        mistake = explain_usage_error(error, app, words)
        said.error(mistake)
        return exit_codes.exit_code_for(mistake)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the end of the program
        said.error(error)
        return exit_codes.exit_code_for(error)
    return result if isinstance(result, int) else exit_codes.DONE


def _asks(words: Sequence[str], *flags: str) -> bool:
    """Whether a flag is among the words, though they may make no sense as a whole."""
    return any(
        word in flags or (sign and option in flags and value.lower() not in _NO)
        for word in words
        for option, sign, value in [word.partition("=")]
    )


_NO = {"no", "n", "0", "false", "f"}  # as cyclopts has it


def build_app(words: Sequence[str] = ()) -> "App":
    """Return the table of commands; none is imported before it is called.

    But for a group that does something by itself: what that is, is imported when its
    name is among the words.

    Args:
        words: The command line; empty is any. The help of the command that it names is
            the command's docstring; of the others, the summaries.
    """
    from cyclopts import App, Parameter

    defaults = Parameter(negative=())
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
        known = None if name in COMMANDS and _names(words, name) else summary
        parents[name] = App(name=name, help=known, version_flags=[])
        app.command(parents[name])
    for name, (target, summary) in COMMANDS.items():
        if name in GROUPS:
            if not words or name in words:
                module, _, attribute = target.partition(":")
                parents[name].default(getattr(import_module(module), attribute))
            continue
        parent, _, last = name.rpartition(" ")
        known = None if _names(words, name) else summary
        parents[parent].command(target, name=last, help=known)
    return app


def _names(words: Sequence[str], command: str) -> bool:
    return list(words[: command.count(" ") + 1]) == command.split()
