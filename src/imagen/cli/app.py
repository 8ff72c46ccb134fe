"""The `imagen` program: which commands there are, and how it ends."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from imagen.version import __version__

TYPE_CHECKING = False  # as checkers know it; `imagen version` can do without `typing`
if TYPE_CHECKING:
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
    "version": ("imagen.cli.version:version", "Print the version."),
    "--install-completion": (
        "imagen.cli.completion:install",
        "Install completion for your shell (bash, zsh or fish).",
    ),
}
GROUPS = {
    "backends": "What makes the images.",
    "config": "The file that says what there is.",
}
SUMMARY = "A prompt in, an image file out, through any backend."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return what the shell should be told."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our stdout has gone. What could be done is done, and the
        # interpreter must not try to flush once more at its end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _run(words: list[str]) -> int:
    if words in (["--version"], ["version"]):
        sys.stdout.write(f"{__version__}\n")
        return 0
    from cyclopts import CycloptsError

    from imagen.cli import exit_codes  # noqa: PLC0415
    from imagen.cli.output import Output  # noqa: PLC0415

    said = Output(
        json="--json" in words, verbose=bool({"-v", "--verbose"} & set(words))
    )
    app = build_app()
    try:
        result = app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        from imagen.cli.mistakes import explained  # noqa: PLC0415 - only on mistakes

        mistake = explained(error, app, words)
        said.error(mistake)
        return exit_codes.code_of(mistake)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the end of the program
        said.error(error)
        return exit_codes.code_of(error)
    return result if isinstance(result, int) else exit_codes.DONE


def build_app() -> "App":
    """Return the table of commands; none is imported before it is called."""
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
        parents[name] = App(name=name, help=summary, version_flags=[])
        app.command(parents[name])
    for name, (target, summary) in COMMANDS.items():
        parent, _, last = name.rpartition(" ")
        parents[parent].command(target, name=last, help=summary)
    return app
