"""The use cases that need Supabase: upload, shared ledger, diagnostics."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from imagen.bootstrap.output import (
    get_cloud_mode,
)
from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import Misconfigured
from imagen.domain.events import (
    Listener,
    Undelivered,
    ignore_event,
    isolate_listener,
)
from imagen.settings.environment import Environment

if TYPE_CHECKING:
    from imagen.adapters.supabase.client import SupabaseAccess
    from imagen.engine.cancellation import Cancellation
    from imagen.ports.backend import Readiness
    from imagen.ports.cloud import Cloud
    from imagen.ports.ledger import SharedLedger
    from imagen.usecases.sync import DeliverPending, Uploader

PATIENCE = 10.0
"""Seconds that a command waits at its end for pending uploads, from the first request.
"""


def build_delivery(
    runtime: Runtime, *, images: bool = True, listen: Listener = ignore_event
) -> "DeliverPending | None":
    """Build the use case that delivers pending usage rows, and image copies.

    Without `images` it needs no config. None if Supabase is not set up.
    """
    environment = runtime.environment
    if environment.missing_for_supabase:
        return None
    from imagen.adapters.system.files import read_regular  # noqa: PLC0415 - rare
    from imagen.usecases.sync import (  # noqa: PLC0415
        DeliverPending,
        ImageUploader,
        UsageUploader,
    )

    stores = runtime.stores
    uploaders: list[Uploader] = []
    if runtime.settings.usage.remote != "off":
        ledger = build_shared_ledger(environment)
        uploaders.append(
            UsageUploader(
                queue=stores.usage_queue, ledger=ledger, prepare=_load_libraries
            )
        )
    if images and get_cloud_mode(runtime.settings, environment) != "off":
        uploaders.append(
            ImageUploader(
                queue=stores.image_queue,
                spool=stores.spool,
                cloud=_build_cloud(environment),
                history=stores.history,
                owner=runtime.settings.owner_user_id,
                clock=runtime.clock,
                read=read_regular,
                prepare=_load_libraries,
            )
        )
    return DeliverPending(
        uploaders=uploaders, clock=runtime.clock, listen=isolate_listener(listen)
    )


def upload_usage(runtime: Runtime, cancellation: "Cancellation") -> str:
    """Upload pending usage rows; return why some are still pending, or ""."""
    use_case = build_delivery(runtime, images=False)
    if use_case is None:
        return ""
    results = use_case.run(cancellation)
    return " ".join(done.reason for done in results if done.status.pending)


def deliver_briefly(
    runtime: Runtime,
    cancellation: "Cancellation",
    *,
    images: bool = True,
    listen: Listener,
    notify: Callable[[str], None] | None = None,
) -> None:
    """Deliver for `PATIENCE` seconds after a command, if Supabase is set up.

    Args:
        runtime: The settings, stores and environment.
        cancellation: Ends the delivery.
        images: False delivers usage rows only.
        listen: Called with every event.
        notify: Shows once a day that usage is not delivered anywhere.
    """
    # Briefly: what is not delivered by then stays pending, and the user has the prompt
    # back. The next command or `imagen sync` delivers it.
    use_case = build_delivery(runtime, images=images, listen=listen)
    if use_case is not None:
        use_case.run_briefly(cancellation, patience=PATIENCE)
    elif notify is not None and runtime.settings.usage.remote != "off":
        _report_local_usage(runtime, listen=listen, notify=notify)


def _report_local_usage(
    runtime: Runtime, *, listen: Listener, notify: Callable[[str], None]
) -> None:
    """Report that the usage rows of this command stay on this machine."""
    environment = runtime.environment
    if not runtime.wrote_usage:
        return
    if environment.supabase_url or environment.supabase_key:
        missing = _describe_missing(environment)
        page = _find_page()
        listen(Undelivered(channel="usage", message=f"{missing}; see {page}."))
        return
    from imagen.adapters.system.daily_notice import claim_day  # noqa: PLC0415 - rare

    if claim_day(environment.data_dir, "usage-notice", runtime.clock.now().date()):
        notify(
            "Usage is recorded on this machine only, because Supabase is not set up "
            f"({_find_page()}). `usage: {{remote: off}}` in the config hides this line."
        )


def build_sync(runtime: Runtime, *, listen: Listener) -> "DeliverPending":
    """Build the use case of `imagen sync`.

    Raises:
        Misconfigured: Supabase is not set up.
    """
    use_case = build_delivery(runtime, listen=listen)
    if use_case is None:
        raise _not_configured(runtime.environment)
    return use_case


def open_cloud(runtime: Runtime) -> "tuple[str, Cloud]":
    """Return the owner of the images in the cloud, and the cloud.

    Raises:
        Misconfigured: Supabase is not set up, or the config has no owner_user_id.
    """
    settings, environment = runtime.settings, runtime.environment
    if environment.missing_for_supabase:
        raise _not_configured(environment)
    if not settings.owner_user_id:
        raise Misconfigured(
            "The config has no owner_user_id, the owner of the images in the cloud.",
            hint=f"{_find_page()} says where to find it.",
        )
    return settings.owner_user_id, _build_cloud(environment)


def build_shared_ledger(environment: Environment) -> "SharedLedger":
    """Build the ledger in the cloud, which several machines share."""
    from imagen.adapters.supabase.ledger import SupabaseLedger  # noqa: PLC0415

    return SupabaseLedger(_build_access(environment))


def check_supabase(runtime: Runtime) -> "Iterator[Readiness]":
    """Yield each thing that Supabase needs and whether it is there."""
    from imagen.ports.backend import Readiness  # noqa: PLC0415

    settings, environment = runtime.settings, runtime.environment
    missing = environment.missing_for_supabase
    wanted = bool(settings.owner_user_id) or (
        get_cloud_mode(settings, environment) == "on"
    )
    if missing:
        note = f"{_describe_missing(environment)}; {_find_page()} has every step."
        used = wanted or bool(environment.supabase_url or environment.supabase_key)
        yield Readiness(name="used" if used else "not used", ready=not used, note=note)
        return
    from imagen.adapters.supabase.client import SupabaseAccess  # noqa: PLC0415
    from imagen.adapters.supabase.diagnostics import (  # noqa: PLC0415
        CHECK_TIMEOUT,
        check_project,
    )

    access = SupabaseAccess(
        environment.supabase_url, environment.supabase_key, timeout=CHECK_TIMEOUT
    )
    yield from check_project(access, owner=settings.owner_user_id)


def read_migrations() -> str:
    """Return the SQL files for Supabase in their order, each below its name."""
    from imagen.adapters.supabase.diagnostics import MIGRATIONS  # noqa: PLC0415 - rare

    files = sorted(MIGRATIONS.glob("*.sql"))
    return "\n".join(f"-- {file.name}\n\n{file.read_text('utf-8')}" for file in files)


def _load_libraries() -> None:
    from imagen.adapters.supabase.client import load_libraries  # noqa: PLC0415 - to send

    load_libraries()


def _build_cloud(environment: Environment) -> "Cloud":
    from imagen.adapters.supabase.images import SupabaseCloud  # noqa: PLC0415

    return SupabaseCloud(_build_access(environment))


def _build_access(environment: Environment) -> "SupabaseAccess":
    from imagen.adapters.supabase.client import SupabaseAccess  # noqa: PLC0415

    return SupabaseAccess(environment.supabase_url, environment.supabase_key)


def _find_page() -> str:
    """Return the path of the page about Supabase."""
    from imagen.adapters.system.pages import find_page  # noqa: PLC0415 - rare

    return find_page("supabase.md")


def _describe_missing(environment: Environment) -> str:
    """Return a clause that names the variables that are not set."""
    from imagen.domain.suggestion import join_missing  # noqa: PLC0415 - rare

    return join_missing(environment.missing_for_supabase)


def _not_configured(environment: Environment) -> Misconfigured:
    missing = _describe_missing(environment)
    return Misconfigured(
        f"Supabase is not set up: {missing}.",
        hint=f"{_find_page()} has every step.",
    )
