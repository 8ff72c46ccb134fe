"""The use cases that make images: generate, sweep, rerun, verify and resume."""

import os
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from imagen.adapters.system.prices import look_up_price
from imagen.adapters.system.random import random_int
from imagen.bootstrap.output import (
    STDOUT,
    OutputOptions,
    build_image_store,
    make_absolute,
    resolve_target,
)
from imagen.bootstrap.runtime import Runtime, find_caller
from imagen.domain.call import Call, OutputTarget
from imagen.domain.errors import InvalidRequest, Misconfigured
from imagen.domain.events import Listener, ignore_event, isolate_listener
from imagen.domain.instance import Instance
from imagen.domain.result import StoredImage
from imagen.engine.recorder import Recorder

if TYPE_CHECKING:
    from imagen.domain.shutdown import ModelShutdown
    from imagen.domain.sweep import SweepPlan
    from imagen.engine.old_files import OldFiles
    from imagen.engine.store import Numbering, StoreImage
    from imagen.ports.backend import ImageBackend
    from imagen.usecases.contact_sheet import ContactSheet
    from imagen.usecases.generate import GenerateImages
    from imagen.usecases.rerun import PrepareRerun
    from imagen.usecases.resume import ResumeCalls
    from imagen.usecases.sweep import SweepImages


def build_generate(
    runtime: Runtime,
    backend: str | None,
    *,
    output: OutputOptions,
    live: bool = False,
    listen: Listener = ignore_event,
    caller: str | None = None,
    durable: bool = True,
    numbering: "Numbering | None" = None,
) -> "GenerateImages":
    """Build the use case that generates images.

    Args:
        caller: The name of the caller, for the ledger and the budgets; None finds the
            caller of this process.
        durable: Whether files must survive a power failure, which costs an fsync.
        numbering: The numbers that are taken, if requests share one folder.

    Raises:
        InvalidRequest: the backend is unknown, or images cannot be stored there.
        Misconfigured: a copy in the cloud is required, and Supabase is not set up.
    """
    from imagen.usecases.generate import GenerateImages  # noqa: PLC0415

    instance = runtime.find_backend(backend).instance
    engine = runtime.get_backend(backend)
    folder, target = resolve_target(runtime, output)
    listener = isolate_listener(listen)
    if caller is None:
        caller = find_caller(runtime.environment)
    return GenerateImages(
        instance=instance,
        backend=engine,
        store=build_image_store(
            runtime.environment,
            target,
            folder,
            stream=output.stream,
            extras=runtime.settings.output.dir,
            durable=durable,
            numbering=numbering,
            old_files=_build_old_files(runtime, target, listener),
        ),
        records=_build_recorder(runtime, listener),
        clock=runtime.clock,
        random_int=random_int,
        caller=caller,
        price_of=look_up_price,
        shutdown_of=_look_up_shutdown,
        budgets=tuple(
            budget
            for budget in runtime.settings.budgets
            if budget.backend in {"", instance.name} and budget.caller in {"", caller}
        ),
        live=live,
        listen=listener,
    )


def build_recorded(
    runtime: Runtime, call: Call, *, listen: Listener
) -> "GenerateImages":
    """Build the use case that makes a recorded call, at the place recorded for it.

    Raises:
        InvalidRequest: the config has no such backend.
    """
    use_case = build_generate(
        runtime,
        call.plan.instance.name,
        output=OutputOptions(),
        listen=listen,
        caller=call.caller,
    )
    store = build_recorded_store(runtime, call.target, listen=listen)
    return msgspec.structs.replace(use_case, store=store)


def build_recorded_store(
    runtime: Runtime, target: OutputTarget, *, listen: Listener
) -> "StoreImage":
    """Build what stores images at the place that was recorded with their call."""
    if not target.folder:
        # The target was the stdout of another process, which is closed by now.
        folder = make_absolute(runtime.settings.output.dir)
        target = msgspec.structs.replace(target, folder=folder)
    return build_image_store(
        runtime.environment,
        target,
        Path(target.folder),
        old_files=_build_old_files(runtime, target, isolate_listener(listen)),
    )


def build_sweep(
    runtime: Runtime, names: Iterable[str], *, output: OutputOptions, listen: Listener
) -> "SweepImages":
    """Build the use case that generates the images of a sweep on the named backends.

    Raises:
        InvalidRequest: a backend is unknown, or images cannot be stored there.
    """
    from imagen.usecases.sweep import SweepImages  # noqa: PLC0415

    if output.path == STDOUT:
        raise InvalidRequest(
            "The images of a sweep cannot go to standard output.",
            hint="Give a folder instead.",
        )
    listener = isolate_listener(listen)
    # One for all backends, so that a journal that cannot be written is one warning.
    records = _build_recorder(runtime, listener)
    makers = {
        name: msgspec.structs.replace(
            build_generate(runtime, name, output=output, listen=listen),
            records=records,
        )
        for name in dict.fromkeys(names)
    }
    return SweepImages(makers=makers, records=records, listen=listener)


def build_contact_sheet(use_case: "SweepImages", plan: "SweepPlan") -> "ContactSheet":
    """Build what collects the contact sheet of a sweep, stored beside its images.

    Raises:
        InvalidRequest: an existing file of its name cannot be moved to the trash.
    """
    from imagen.adapters.imaging.sheet_renderer import (  # noqa: PLC0415 - costs Pillow
        PillowSheetRenderer,
    )
    from imagen.usecases.contact_sheet import ContactSheet  # noqa: PLC0415

    store = next(iter(use_case.makers.values())).store
    sheet = ContactSheet(
        plan=plan,
        renderer=PillowSheetRenderer(),
        storage=store.storage,
        destination=store.place.destination,
        link=partial(_link_from_page, Path(store.place.folder)),
        old_files=store.old_files,
    )
    sheet.check_place()
    return sheet


def build_rerun(runtime: Runtime, *, pipes: bool = True) -> "PrepareRerun":
    """Build the use case that turns an image back into a request."""
    from imagen.adapters.system.files import list_images  # noqa: PLC0415
    from imagen.bootstrap.library import build_find, build_reader  # noqa: PLC0415
    from imagen.usecases.rerun import PrepareRerun  # noqa: PLC0415

    settings = runtime.settings
    return PrepareRerun(
        find=build_find(runtime, pipes=pipes),
        # A recorded path may lead to a pipe by now; reading it could wait for ever.
        read=build_reader(runtime.environment, pipes=False),
        images_in=list_images,
        history=runtime.stores.history,
        instances={name: each.instance for name, each in settings.backends.items()},
        default=settings.default_backend,
        styles=settings.styles,
        folders=(
            str(settings.output.dir),
            "",
            *(
                str(Path(image).parent)
                for style in settings.styles.values()
                for image in style.images
            ),
        ),
    )


def verify_image(original: bytes, new: StoredImage) -> str:
    """Return how the pixels of the new image differ; "" if all are equal."""
    from imagen.adapters.imaging import convert  # noqa: PLC0415 - costs Pillow
    from imagen.usecases.rerun import compare_images  # noqa: PLC0415

    return compare_images(
        original, new, compare=convert.compare_pixels, editor=convert.PillowEditor()
    )


def build_resume(runtime: Runtime, *, listen: Listener = ignore_event) -> "ResumeCalls":
    """Build the use case that finishes open calls."""
    from imagen.usecases.resume import ResumeCalls  # noqa: PLC0415

    listener = isolate_listener(listen)

    def get_backend(instance: Instance) -> "ImageBackend":
        name = instance.name
        configured = runtime.find_backend(name).instance.adapter
        if configured != instance.adapter:
            raise Misconfigured(
                f"The job was sent through the adapter {instance.adapter}, and "
                f"{name} uses {configured} in this config.",
                hint="Use the config that it was sent with: --config PATH.",
            )
        return runtime.get_backend(name)

    return ResumeCalls(
        journal=runtime.stores.journal,
        records=_build_recorder(runtime, listener),
        backend_of=get_backend,
        store_of=partial(build_recorded_store, runtime, listen=listener),
        clock=runtime.clock,
        listen=listener,
    )


def _look_up_shutdown(provider: str, model: str) -> "ModelShutdown | None":
    if not provider:
        return None
    from imagen.adapters.system.shutdowns import look_up_shutdown  # noqa: PLC0415 - reads a table

    return look_up_shutdown(provider, model)


def _build_old_files(
    runtime: Runtime, target: OutputTarget, listen: Listener
) -> "OldFiles | None":
    if target.destination.name is None:
        return None
    from imagen.bootstrap.library import build_old_files  # noqa: PLC0415 - only for -o

    return build_old_files(runtime, target.folder, listen=listen)


def _build_recorder(runtime: Runtime, listen: Listener) -> Recorder:
    days = runtime.settings.history.keep_days
    stores = runtime.stores
    return Recorder(
        journal=stores.journal,
        history=stores.history,
        spool=stores.spool,
        clock=runtime.clock,
        locate=make_absolute,
        keep=None if days is None else timedelta(days=days),
        temporary=runtime.environment.temporary_data,
        may_skip=runtime.environment.allow_unrecorded,
        on_usage=runtime.mark_usage,
        listen=listen,
    )


def _link_from_page(folder: Path, location: str, page: str) -> str:
    """Return the relative URL of an image in an HTML page in that folder."""
    from urllib.parse import quote  # noqa: PLC0415 - only for sheets

    relative = os.path.relpath(make_absolute(location), (folder / page).parent)
    return "./" + quote(os.fsencode(relative))
