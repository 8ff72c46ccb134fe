"""The use case that lists models, for some backends of the config at once."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from imagen.bootstrap.runtime import Runtime

if TYPE_CHECKING:
    from imagen.engine.cancellation import Cancellation
    from imagen.usecases.models import BackendModels


def list_models(
    runtime: Runtime,
    names: Sequence[str] = (),
    *,
    refresh: bool = False,
    cancellation: "Cancellation",
) -> "list[BackendModels]":
    """Return the models of the named backends, or of all, in the order of the names.

    Args:
        refresh: Whether the backends are asked anew, which costs nothing.

    Raises:
        InvalidRequest: the config has no backend of a name.
    """
    from imagen.adapters.system.prices import load_price_table  # noqa: PLC0415
    from imagen.adapters.system.shutdowns import look_up_shutdown  # noqa: PLC0415
    from imagen.engine.thread_pool import run_tasks  # noqa: PLC0415
    from imagen.usecases.models import ListModels  # noqa: PLC0415

    use_case = ListModels(
        prices=load_price_table(),
        shutdown_of=look_up_shutdown,
        clock=runtime.clock,
        refresh=refresh,
    )
    wanted = names or list(runtime.settings.backends)
    instances = [runtime.find_backend(name).instance for name in wanted]
    tasks = [
        partial(use_case.run, each, partial(runtime.get_backend, each.name))
        for each in instances
    ]
    found = run_tasks(
        [(tasks, len(tasks))], cancellation=cancellation, clock=runtime.clock
    )
    order = {each.name: number for number, each in enumerate(instances)}
    return sorted(found, key=lambda each: order[each.backend])
