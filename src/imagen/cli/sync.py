"""The command `imagen sync`."""

from contextlib import nullcontext
from typing import TYPE_CHECKING

from imagen.bootstrap.cloud import build_sync
from imagen.cli import exit_codes
from imagen.cli.output import Output, create_console, print_message
from imagen.cli.parameters import (
    ConfigFlag,
    JsonFlag,
    QuietFlag,
    load_runtime,
)
from imagen.cli.signals import StopSignals
from imagen.domain.delivery import CHANNEL_LABELS, Channel
from imagen.domain.events import Event

if TYPE_CHECKING:
    from imagen.cli.progress import DeliveryBar
    from imagen.usecases.sync import Delivery

# Failed records that are listed for each channel.
MAX_LISTED_FAILURES = 10


def sync(
    *,
    again: bool = False,
    config: ConfigFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> int:
    """Upload everything that is pending: usage rows, and copies of images.

    Each record is stored exactly once, however often and by however many processes this
    is run. Exits 0 when nothing is pending, else 1; records that failed for good are
    listed.

    ```
    imagen sync
    ```

    Args:
        again: Also retry failed records, which could not be delivered unchanged.
    """
    out = Output(json=json, quiet=quiet)
    runtime = load_runtime(config)
    # Filled later: the use case needs the listener, and the bar needs the numbers of
    # pending uploads, which the use case knows.
    bars: list[DeliveryBar] = []

    def listen(event: Event) -> None:
        for bar in bars:
            bar(event)

    with runtime, StopSignals() as signals:
        use_case = build_sync(runtime, listen=listen)
        if again:
            use_case.retry_failed()
        pending: dict[Channel, int] = {
            each.channel: each.queue.status().pending for each in use_case.uploaders
        }
        console = create_console(quiet=quiet) if any(pending.values()) else None
        if console is not None:
            from imagen.cli import progress  # noqa: PLC0415 - costs rich

            bars.append(progress.DeliveryBar(console, pending))
        with bars[0] if bars else nullcontext():
            deliveries = use_case.run(signals.cancellation)
    for delivery in deliveries:
        _print(out, delivery)
    done = not any(each.status.pending for each in deliveries)
    return exit_codes.DONE if done else signals.exit_code or exit_codes.NOT_READY


def _print(out: Output, delivery: "Delivery") -> None:
    label, status = CHANNEL_LABELS[delivery.channel], delivery.status
    if out.json:
        out.print_json(
            {
                "what": delivery.channel,
                "delivered": delivery.delivered,
                "pending": status.pending,
                "failed": status.failed,
                "trouble": delivery.reason,
            }
        )
    else:
        failed = f", {len(status.failed)} failed" if status.failed else ""
        counts = f"{delivery.delivered} delivered, {status.pending} pending{failed}"
        out.print_text(f"{label}: {counts}")
    if delivery.reason:
        print_message(f"{label}: {delivery.reason}")
    for each in status.failed[:MAX_LISTED_FAILURES]:
        print_message(f"{label}: {each.id} cannot be delivered: {each.trouble}")
    if len(status.failed) > MAX_LISTED_FAILURES:
        rest = len(status.failed) - MAX_LISTED_FAILURES
        print_message(
            f"{label}: {rest} more failed; `imagen sync --json` lists all of them."
        )
    if status.failed:
        print_message(f"{label}: Run `imagen sync --again` to retry failed records.")
