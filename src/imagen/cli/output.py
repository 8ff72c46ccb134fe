"""All that the command line prints: results to stdout, everything else to stderr."""

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from traceback import format_exception
from typing import TYPE_CHECKING

import msgspec

from imagen.cli.tables import Columns
from imagen.domain import events
from imagen.domain.delivery import CHANNEL_LABELS
from imagen.domain.errors import ImagenError
from imagen.domain.events import Event, Listener

if TYPE_CHECKING:
    from imagen.cli.progress import ProgressBar
    from imagen.domain.estimate import Estimate
    from imagen.domain.inspection import Inspection
    from imagen.domain.result import StoredImage
    from imagen.domain.sidecar import Sidecar
    from imagen.domain.sweep import SweepEstimate
    from imagen.settings.environment import Environment
    from imagen.usecases.check import CheckedBackend


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """Speaks to a person, or in JSON lines to a program.

    Attributes:
        json: Results and failures are JSON objects, one a line.
        csv: Results are comma-separated values.
        quiet: Warnings are not said.
        verbose: What happens is said, and a fault of ours is shown whole.
        silent_results: Results are not said, because stdout is the result.
    """

    json: bool = False
    csv: bool = False
    quiet: bool = False
    verbose: bool = False
    silent_results: bool = False

    @property
    def to_program(self) -> bool:
        """Whether what is printed is read by a program."""
        return self.json or self.csv

    def hear(self, event: Event) -> None:
        """Say what a person should know while it happens."""
        match event:
            case events.Warned(message=message) if not self.quiet:
                say(f"warning: {message}")
            case events.Retrying(message=message, wait=wait) if not self.quiet:
                say(f"{message} Trying again in {wait:g} s.")
            case events.Undelivered(channel=channel, message=message) if not self.quiet:
                say(f"{CHANNEL_LABELS[channel]}: {message}")
            case events.PreviewFailed(reason=reason):
                say(f"preview: {reason}")
            case _:
                pass

    def stored(self, image: "StoredImage") -> None:
        """Print where the image is, or all that is known of it."""
        if self.silent_results:
            return
        if self.json:
            self.note(image.sidecar, image.location)
        else:
            self.place(image.location)

    def place(self, location: str) -> None:
        """Print where a file is, byte for byte as it is called."""
        _write(os.fsencode(location) + b"\n")

    def note(self, sidecar: "Sidecar", location: str) -> None:
        """Print all that is known of an image, as a JSON object."""
        self.object({**msgspec.to_builtins(sidecar), "path": display_path(location)})

    def inspection(self, found: "Inspection") -> None:
        """Print all that a file and the notes about it say, as a JSON object."""
        self.object(
            msgspec.structs.replace(
                found,
                path=display_path(found.path),
                warnings=tuple(map(_encodable, found.warnings)),
            )
        )

    def error(self, error: BaseException, *, job: str = "", image: str = "") -> None:
        """Say what went wrong and what to do, in one or two lines.

        Args:
            error: What it was.
            job: The id of the job that it is about, where it is not the only one.
            image: Which image it is about, likewise.
        """
        if self.json:
            named = {"job": job, "image": image}
            about = {key: name for key, name in named.items() if name}
            with suppress(BrokenPipeError, ImagenError):  # stderr has it as well
                self.object({**about, "error": describe_error(error)})
        of_it = f"{job or image}: " if job or image else ""
        if isinstance(error, ImagenError):
            say(of_it + " ".join(filter(None, (error.message, error.hint))))
            return
        say(f"{of_it}a fault of our own: {type(error).__name__}: {_one_line(error)}")
        if self.verbose:
            say("".join(format_exception(error)))
        else:
            say("Please report it, with what --verbose adds.")

    def estimate(self, estimate: "Estimate") -> None:
        """Print what would be sent, and what it would cost."""
        if self.json:
            self.object(estimate)
            return
        calls = "call" if estimate.calls == 1 else "calls"
        facts = {
            "backend": f"{estimate.backend} ({estimate.adapter})",
            "model": estimate.model,
            "images": f"{estimate.images}, in {estimate.calls} {calls}",
            "size": estimate.size,
            "seed": ", ".join(map(str, estimate.seeds)) or "none",
            "steps": estimate.steps or "the backend's own",
            "prompt": estimate.prompt_sent,
            "negative": estimate.negative,
            **{f"ignored: {name}": why for name, why in estimate.ignored.items()},
            **{
                f"adjusted: {name}": f"{change.requested} becomes {change.used}"
                for name, change in estimate.adjusted.items()
            },
            "cost": _cost(estimate.cost_usd),
        }
        for name, fact in facts.items():
            if fact:
                self.text(f"{name}: {fact}")

    def sweep(self, estimate: "SweepEstimate") -> None:
        """Print what every combination would send, and what all of them would cost."""
        if self.json:
            self.object(estimate)
            return
        names = list(estimate.cells[0].cell)
        rows = [(*names, "makes", "from", "costs")]
        for each in estimate.cells:
            values = (str(value) for value in each.cell.values())
            made = each.estimate
            rows.append((*values, made.size, _seeds(made), _cost(made.cost_usd)))
        self.table(rows)
        images = "1 image" if estimate.images == 1 else f"{estimate.images} images"
        self.text(f"{images}, cost: {_cost(estimate.cost_usd)}")

    def checked(self, checked: "CheckedBackend") -> None:
        """Print what a backend needs, and whether it has it."""
        if self.json:
            self.object({**msgspec.to_builtins(checked), "ready": checked.ready})
            return
        for finding in checked.findings:
            state = "ready" if finding.ready else "NOT READY"
            note = f" ({finding.note})" if finding.note else ""
            self.text(f"{checked.name}: {state}: {finding.name}{note}")

    def records(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print values for a program: JSON objects, or else CSV with a header."""
        if self.json:
            for row in rows:
                self.object(dict(zip(columns, row, strict=True)))
            return
        import csv  # noqa: PLC0415 - rare

        writer = csv.writer(_Stdout())  # as RFC 4180 has it
        writer.writerow(columns)
        writer.writerows(rows)

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows with their columns aligned."""
        self.lines(Columns().lines(rows))

    def lines(self, lines: Iterable[str]) -> None:
        """Print lines of text."""
        for line in lines:
            self.text(line)

    def object(self, value: object) -> None:
        """Print one JSON object on a line of its own."""
        _write(_JSON.encode(value) + b"\n")

    def text(self, text: str) -> None:
        """Print a result that is text."""
        _write(text.encode(errors="surrogateescape") + b"\n")


def _seeds(estimate: "Estimate") -> str:
    return "".join(f"seed {seed}" for seed in estimate.seeds) or "no seed"


def _cost(usd: float | None) -> str:
    return "unknown" if usd is None else f"${usd:g}"


_JSON = msgspec.json.Encoder(decimal_format="number")
"""Writes an exact amount as the number that it is."""


class _Stdout:
    def write(self, text: str) -> None:
        _write(text.encode(errors="replace"))


def build_event_listener(
    said: Output,
    bar: "ProgressBar | None",
    environment: "Environment",
    *,
    first: Listener | None = None,
) -> Listener:
    """Return what hears the events of a run: words, a bar, a log if it is wanted.

    Args:
        said: The words.
        bar: Moves on; None for none.
        environment: Says whether there is a log.
        first: Hears each event before all of these.
    """

    def hear(event: Event) -> None:
        if first is not None:
            first(event)
        said.hear(event)
        if bar is not None:
            bar(event)

    if not (said.verbose or environment.log):
        return hear
    from imagen.bootstrap.display import build_log_listener  # noqa: PLC0415 - rare

    return build_log_listener(
        hear, as_json=environment.log == "json", colours=use_colours(environment)
    )


def create_progress_bar(
    *, quiet: bool, doing: str = "generating"
) -> "ProgressBar | None":
    """Return a bar for stderr, if that is a terminal where one can be shown."""
    if quiet or not sys.stderr.isatty():
        return None
    from imagen.cli.progress import create_progress_bar  # noqa: PLC0415 - costs rich

    return create_progress_bar(doing)


def use_colours(environment: "Environment") -> bool:
    """Whether what is said on stderr may have colours."""
    return sys.stderr.isatty() and not environment.no_color


def describe_error(error: BaseException) -> dict[str, str]:
    """Return an error as a program wants it: code, message, hint."""
    if isinstance(error, ImagenError):
        message, hint = _encodable(error.message), _encodable(error.hint)
        return {"code": error.code, "message": message, "hint": hint}
    return {
        "code": "internal_error",
        "message": f"{type(error).__name__}: {_one_line(error)}",
        "hint": "",
    }


def say(message: str) -> None:
    """Print to stderr, each line with our name before it.

    What would move the cursor or colour the terminal is shown and not done: words of
    a vendor, or of a file's name, are among it.
    """
    with suppress(OSError, ValueError):  # nobody is listening
        for line in _encodable(message).translate(_CONTROLS).splitlines():
            print(f"imagen: {line}", file=sys.stderr)
        sys.stderr.flush()


def display_path(location: str) -> str:
    """Return a path as JSON can hold it: bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(location).decode(errors="replace")


_CONTROLS = {
    number: f"\\x{number:02x}"
    for number in (*range(0x20), *range(0x7F, 0xA0))
    if chr(number) not in "\t\n\r"
}


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _write(line: bytes) -> None:
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror
        raise ImagenError(f"Standard output cannot be written: {reason}.") from error
