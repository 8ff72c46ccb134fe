"""The output of the command line: results on stdout, everything else on stderr."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from imagen.domain import events
from imagen.domain.delivery import CHANNEL_LABELS
from imagen.domain.errors import ImagenError
from imagen.domain.events import Event, Listener

if TYPE_CHECKING:
    from rich.console import Console

    from imagen.cli.progress import ProgressBar
    from imagen.domain.estimate import Estimate
    from imagen.domain.inspection import Inspection
    from imagen.domain.result import StoredImage
    from imagen.domain.sidecar import Sidecar
    from imagen.domain.sweep import SweepEstimate
    from imagen.ports.backend import Readiness
    from imagen.settings.environment import Environment
    from imagen.usecases.remaining import Remaining


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """A printer of results and messages, as text, JSON lines or CSV.

    Attributes:
        json: Print results and errors as JSON objects, one per line.
        csv: Print results as comma-separated values.
        quiet: Print no warnings.
        verbose: Print events as they happen, and tracebacks of internal errors.
        hide_results: Print no results, because stdout receives the image itself.
    """

    json: bool = False
    csv: bool = False
    quiet: bool = False
    verbose: bool = False
    hide_results: bool = False

    @property
    def notify(self) -> Callable[[str], None] | None:
        """Prints a message that is not a warning; None with --quiet."""
        return None if self.quiet else print_message

    def on_event(self, event: Event) -> None:
        """Print the message of an event, if it has one for the user."""
        match event:
            case events.Warned(message=message) if not self.quiet:
                print_message(f"warning: {message}")
            case events.Continued(message=message):
                print_message(message)
            case events.Retrying(message=message, wait=wait) if not self.quiet:
                print_message(f"{message} Retrying in {wait:g} s.")
            case events.Undelivered(channel=channel, message=message) if not self.quiet:
                print_message(f"{CHANNEL_LABELS[channel]}: {message}")
            case events.StoredExtra(location=location):
                print_message(f"extra image: {location}")
            case events.Trashed(id=trash_id, location=location) if not self.quiet:
                print_message(
                    f"{location} was moved to the trash; "
                    f"`imagen trash restore {trash_id}` restores it."
                )
            case events.PreviewFailed(reason=reason):
                print_message(f"preview: {reason}")
            case _:
                pass

    def print_image(self, image: "StoredImage", **more: object) -> None:
        """Print the path of an image; with --json, its sidecar, extras and `more`."""
        if self.hide_results:
            return
        if self.json:
            extras = [_describe(each.sidecar, each.location) for each in image.extras]
            more = {"extras": extras, **more} if extras else more
            self.print_sidecar(image.sidecar, image.location, **more)
        else:
            self.print_path(image.location)

    def print_path(self, location: str) -> None:
        """Print a path, byte for byte as the file system has it.

        On a terminal, its control characters are escaped.
        """
        if sys.stdout.isatty():
            self.print_text(location)
        else:
            _write(os.fsencode(location) + b"\n")

    def print_sidecar(self, sidecar: "Sidecar", location: str, **more: object) -> None:
        """Print the sidecar and the path of an image as a JSON object."""
        self.print_json({**_describe(sidecar, location), **more})

    def print_inspection(self, found: "Inspection") -> None:
        """Print the result of `imagen inspect` as a JSON object."""
        path = display_path(found.path)
        warnings = tuple(map(_replace_surrogates, found.warnings))
        self.print_json(msgspec.structs.replace(found, path=path, warnings=warnings))

    def print_error(
        self, error: BaseException, *, job: str = "", image: str = ""
    ) -> None:
        """Print the message and the hint of an error.

        With several jobs or images, `job` or `image` says which one has failed.
        """
        if isinstance(error, ImagenError):
            code, message, hint = error.code, error.message, error.hint
        else:
            words = " ".join(str(error).split())
            code, hint = "internal_error", ""
            message = f"{type(error).__name__}: {words}"
        if self.json:
            texts = {"code": code, "message": message, "hint": hint}
            described = {key: _replace_surrogates(text) for key, text in texts.items()}
            about = {k: name for k, name in (("job", job), ("image", image)) if name}
            # A closed stdout is not reported here: stderr gets the message as well.
            with suppress(BrokenPipeError, ImagenError):
                self.print_json({**about, "error": described})
        prefix = f"{job or image}: " if job or image else ""
        if isinstance(error, ImagenError):
            print_message(prefix + " ".join(filter(None, (message, hint))))
            return
        print_message(f"{prefix}internal error: {message}")
        if self.verbose:
            from traceback import format_exception  # noqa: PLC0415 - rare

            print_message("".join(format_exception(error)))
        else:
            print_message("Please report this error, with the output of --verbose.")

    def print_estimate(
        self, estimate: "Estimate", left: "Remaining | None" = None
    ) -> None:
        """Print the request that would be sent, and its cost.

        Args:
            left: What is left of the interrupted command that would be continued.
        """
        if self.json:
            self.print_json(_with_rest(estimate, left))
            return
        for name, fact in estimate.describe().items():
            self.print_text(f"{name}: {fact}")
        self._print_rest(left, of=estimate.images)

    def print_sweep_estimate(
        self, estimate: "SweepEstimate", left: "Remaining | None" = None
    ) -> None:
        """Print a row for each combination, and the total cost."""
        if self.json:
            self.print_json(_with_rest(estimate, left))
            return
        names = list(estimate.cells[0].cell)
        rows = [(*names, "output size", "output seed", "cost")]
        for each in estimate.cells:
            values = (str(value) for value in each.cell.values())
            made = each.estimate
            seed = f"seed {made.seeds[0]}" if made.seeds else "no seed"
            rows.append((*values, made.size, seed, _format_cost(made.cost_usd)))
        self.print_table(rows)
        images = "1 image" if estimate.images == 1 else f"{estimate.images} images"
        self.print_text(f"{images}, cost: {_format_cost(estimate.cost_usd)}")
        self._print_rest(left, of=estimate.images)

    def _print_rest(self, left: "Remaining | None", *, of: int) -> None:
        if left is not None:
            cost = _format_cost(left.cost.usd)
            self.print_text(
                f"continues an interrupted command: {left.images_left} of {of} left, "
                f"{cost}"
            )

    def print_finding(self, about: str, finding: "Readiness") -> None:
        """Print one finding about a backend or a service."""
        state = "ready" if finding.ready else "NOT READY"
        note = f" ({finding.note})" if finding.note else ""
        self.print_text(f"{about}: {state}: {finding.name}{note}")

    def print_records(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        """Print rows as JSON objects, or else as CSV with a header (RFC 4180)."""
        if self.json:
            for row in rows:
                self.print_json(dict(zip(columns, row, strict=True)))
            return
        import csv  # noqa: PLC0415 - rare

        writer = csv.writer(_Stdout())
        writer.writerow(columns)
        writer.writerows(map(_quote_cell, row) for row in rows)

    def print_table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows with aligned columns."""
        from imagen.cli.tables import Columns  # noqa: PLC0415 - not for `imagen generate`

        self.print_lines(Columns().lines(rows))

    def print_lines(self, lines: Iterable[str]) -> None:
        """Print lines of text."""
        for line in lines:
            self.print_text(line)

    def print_json(self, value: object) -> None:
        """Print a JSON object on one line, with control characters escaped."""
        from imagen.domain.printable import encode_json  # noqa: PLC0415 - rare

        _write(encode_json(value) + b"\n")

    def print_text(self, text: str) -> None:
        """Print one line of text, with control characters and line feeds escaped."""
        self.print_styled(_escape(text, keep="\t"))

    def print_styled(self, text: str) -> None:
        """Print text with escape codes for colours; its contents are escaped before."""
        _write(text.encode(errors="replace") + b"\n")


def _quote_cell(value: object) -> object:
    """Return a CSV cell that a spreadsheet does not take for a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")):
        return f"'{value}"
    return value


def _with_rest(
    estimate: "Estimate | SweepEstimate", left: "Remaining | None"
) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(estimate)
    if left is not None:
        rest = {"images": left.images_left, "cost_usd": left.cost.usd}
        fields["remaining"] = rest
    return fields


def _describe(sidecar: "Sidecar", location: str) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(sidecar)
    return {**fields, "path": display_path(location)}


def _format_cost(usd: float | None) -> str:
    from imagen.domain.money.cost import format_cost  # noqa: PLC0415 - for estimates

    return format_cost(usd) or "unknown"


class _Stdout:
    def write(self, text: str) -> None:
        # csv writes one row at a time; line breaks inside of a cell stay.
        row = _escape(text.removesuffix("\r\n"))
        _write(f"{row}\r\n".encode())


def build_event_listener(
    out: Output,
    bar: "ProgressBar | None",
    environment: "Environment",
    *,
    first: Listener | None = None,
) -> Listener:
    """Return a listener that prints messages, moves the bar and writes the log."""
    listeners = [each for each in (first, out.on_event, bar) if each is not None]
    if out.verbose or environment.log:
        from imagen.adapters.system.log import LogListener  # noqa: PLC0415 - costs structlog

        colours = sys.stderr.isatty() and not environment.no_color
        log = LogListener(as_json=environment.log == "json", colours=colours)
        listeners.insert(0, log)

    def listen(event: Event) -> None:
        for each in listeners:
            each(event)

    return listen


def create_progress_bar(
    out: Output, environment: "Environment", *, label: str = "generating"
) -> "ProgressBar | None":
    """Return a progress bar on stderr; None if none can be shown."""
    # Log lines on stderr would garble a progress bar.
    logs = out.verbose or environment.log
    console = None if logs else create_console(quiet=out.quiet)
    if console is None:
        return None
    from imagen.cli.progress import ProgressBar  # noqa: PLC0415 - costs rich

    return ProgressBar(console, label=label)


def create_console(*, quiet: bool) -> "Console | None":
    """Return stderr for progress bars; None if it cannot redraw a line (TERM=dumb)."""
    if quiet or not sys.stderr.isatty():
        return None
    from rich.console import Console

    console = Console(stderr=True)
    return None if console.is_dumb_terminal else console


def print_message(message: str) -> None:
    """Print a message to stderr, each line prefixed with `imagen: `.

    Control characters are escaped. A closed stderr is ignored.
    """
    with suppress(OSError, ValueError):
        for line in _escape(message).splitlines():
            print(f"imagen: {line}", file=sys.stderr)
        sys.stderr.flush()


def display_path(location: str) -> str:
    """Return a path for JSON; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(location).decode(errors="replace")


def _escape(text: str, *, keep: str = "\t\n") -> str:
    from imagen.domain.printable import escape_control  # noqa: PLC0415 - rare in `generate`

    return escape_control(text, keep=keep)


def _replace_surrogates(text: str) -> str:
    return text.encode(errors="replace").decode()


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
