"""Look up the cost of a call whose images are recorded."""

from collections.abc import Callable

from msgspec.structs import replace

from imagen.domain import events
from imagen.domain.call import Call, Received
from imagen.domain.money.cost import Cost
from imagen.engine.job_context import RunningJobContext
from imagen.ports.backend import CostBackend, ImageBackend
from imagen.ports.clock import Clock

COST_TIMEOUT = 3.0
"""Seconds after which a lookup is cancelled: the images are not stored yet."""


def look_up_cost(
    received: Received,
    *,
    call: Call,
    backend_of: Callable[[], ImageBackend],
    context: RunningJobContext,
    clock: Clock,
) -> Received:
    """Return the result with its cost, if it has none and the backend can look it up.

    A lookup that fails leaves the cost unknown.

    Args:
        received: The result, which the journal has by now.
        call: The call.
        backend_of: Returns its backend.
        context: The context of the call, with the id of the remote job. Cancelling it
            cancels the lookup.
        clock: The clock.
    """
    generated, reference = received.generated, context.reference
    # A price in the config takes precedence over what the backend reports.
    own_price = call.plan.instance.price is not None
    is_known = generated.cost.micros is not None or own_price
    if is_known or not (call.may_cost and reference):
        return received
    # A context of its own: the end of this one must not cancel the job.
    lookup = RunningJobContext(
        number=call.job.number, clock=clock, listen=events.ignore_event
    )
    context.on_cancel(lookup.stop)
    cancel_alarm = clock.after(COST_TIMEOUT, lookup.stop)
    try:
        backend = backend_of()
        if not isinstance(backend, CostBackend):
            return received
        found = backend.look_up_cost(reference, lookup)
        if found.micros is None or found.micros < 0:
            return received
        cost = Cost(micros=int(found.micros), source="reported")
    except Exception:  # noqa: BLE001 - a bug here must not lose an image
        return received
    finally:
        cancel_alarm()
    return replace(received, generated=replace(generated, cost=cost))
