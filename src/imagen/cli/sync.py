"""The command `imagen sync`."""

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter  # noqa: TID253 - this is the command line

from imagen.bootstrap.cloud import build_sync
from imagen.bootstrap.runtime import Runtime
from imagen.cli import exit_codes
from imagen.cli.output import Output, say
from imagen.cli.parameters import ConfigFlag, JsonFlag, QuietFlag, keep_path
from imagen.cli.signals import StopSignals
from imagen.domain.delivery import CHANNEL_LABELS, Channel
from imagen.domain.events import Event
from imagen.settings.environment import process_environment

if TYPE_CHECKING:
    from imagen.cli.progress import DeliveryBar
    from imagen.usecases.sync import Delivery

MOST_ASIDE = 10


def sync(
    *,
    again: Annotated[bool, Parameter(show_default=False)] = False,
    config: ConfigFlag = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> int:
    """Deliver what is owed to the cloud: usage rows, and copies of images.

    However often it is tried, and by however many at once, each is there once. Exits 0
    when nothing is owed any more, else 1.

    ```
    imagen sync
    ```

    Args:
        again: Also what was set aside, because it could not be delivered as it is.
    """
    environment = process_environment()
    said = Output(json=json, quiet=quiet)
    runtime = Runtime.load(keep_path(config), environment=environment)
    bars: list[DeliveryBar] = []

    def hear(event: Event) -> None:
        for bar in bars:
            bar(event)

    with runtime, StopSignals() as signals:
        use_case = build_sync(runtime, listen=hear)
        if again:
            use_case.owe_again()
        owed: dict[Channel, int] = {
            each.channel: runtime.stores.outbox.standing(each.channel).pending
            for each in use_case.carriers
        }
        bar = _bar(owed, quiet=quiet)
        bars += [] if bar is None else [bar]
        with bar or nullcontext():
            outcomes = use_case.run(signals.cancellation)
    for outcome in outcomes:
        _print(said, outcome)
    well = all(not (done.standing.pending or done.standing.failed) for done in outcomes)
    return exit_codes.DONE if well else signals.exit_code or exit_codes.NOT_READY


def _bar(owed: dict[Channel, int], *, quiet: bool) -> "DeliveryBar | None":
    if quiet or not sys.stderr.isatty() or not any(owed.values()):
        return None
    from imagen.cli.progress import create_delivery_bar  # noqa: PLC0415 - costs rich

    return create_delivery_bar(owed)


def _print(said: Output, done: "Delivery") -> None:
    called, standing = CHANNEL_LABELS[done.channel], done.standing
    if said.json:
        said.object(
            {
                "what": done.channel,
                "delivered": done.delivered,
                "owed": standing.pending,
                "set_aside": standing.failed,
                "trouble": done.trouble,
            }
        )
    else:
        aside = f", {len(standing.failed)} set aside" if standing.failed else ""
        counts = f"{done.delivered} delivered, {standing.pending} owed{aside}"
        said.text(f"{called}: {counts}")
    if done.trouble:
        say(f"{called}: {done.trouble}")
    for each in standing.failed[:MOST_ASIDE]:
        say(f"{called}: {each.id} is set aside: {each.trouble}")
    if len(standing.failed) > MOST_ASIDE:
        say(f"{called}: and {len(standing.failed) - MOST_ASIDE} more; see --json.")
    if standing.failed:
        say(f"{called}: `imagen sync --again` tries once more what is set aside.")
