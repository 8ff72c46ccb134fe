"""The composition root: the one place that knows both needs and means.

One function per use case. Each builds only what that use case needs, and imports an
adapter only when it is about to build it.
"""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from hashlib import sha256
from os.path import lexists
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

import msgspec

from imagen.adapters.storage.local import LocalStorage
from imagen.adapters.system.clock import SystemClock
from imagen.adapters.system.random import random_int
from imagen.domain.call import Call, OutputTarget
from imagen.domain.content_credentials import ContentCredentials
from imagen.domain.errors import InvalidRequest, Misconfigured
from imagen.domain.events import Event, Listener, ignore_event, isolate_listener
from imagen.domain.fit import Fit
from imagen.domain.history import HistoryEntry
from imagen.domain.instance import Instance
from imagen.domain.modes import resolve_preview_mode, should_preview
from imagen.domain.money.cost import usd_to_micros
from imagen.domain.money.price import ListedPrice, Price
from imagen.domain.naming import LONGEST_NAME, Destination
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import GenerationRequest
from imagen.domain.rerun import Overrides
from imagen.domain.size import Size
from imagen.domain.style import Style
from imagen.domain.sweep import SweepGrid, SweepPlan
from imagen.engine.cancellation import Cancellation
from imagen.engine.numbering import Numbering
from imagen.engine.recorder import Recorder
from imagen.engine.store import StoreImage
from imagen.formats.container import NotAnImage, read_facts
from imagen.ports.backend import (
    BackendContext,
    CloseableBackend,
    ImageBackend,
    Readiness,
)
from imagen.ports.clock import Clock
from imagen.ports.files import ReadFile
from imagen.ports.storage import Storage
from imagen.ports.viewer import Method
from imagen.registry import find_adapter
from imagen.settings.environment import Environment
from imagen.settings.load import load_settings
from imagen.settings.model import BackendSettings, Settings
from imagen.usecases.check import CheckBackends
from imagen.usecases.contact_sheet import ContactSheet
from imagen.usecases.find import FindImage
from imagen.usecases.generate import GenerateImages, ignore_calls
from imagen.usecases.history import ForgetImages
from imagen.usecases.inspect import InspectImage
from imagen.usecases.jobs import OpenJobs
from imagen.usecases.preview import PreviewImages
from imagen.usecases.prices import ListPrices
from imagen.usecases.rerun import PrepareRerun, VerifyImage
from imagen.usecases.resume import ResumeCalls
from imagen.usecases.strip import CopyTarget, StripImage
from imagen.usecases.sweep import SweepImages
from imagen.usecases.trash import TrashImages
from imagen.usecases.usage import ShowUsage

if TYPE_CHECKING:
    from imagen.adapters.database.history import SqliteHistory
    from imagen.adapters.database.idempotency import SqliteRequestKeys
    from imagen.adapters.database.journal import SqliteJournal
    from imagen.adapters.database.ledger import SqliteLedger
    from imagen.adapters.database.outbox import SqliteOutbox
    from imagen.adapters.display.notebook_progress import NotebookProgress
    from imagen.adapters.display.terminal.viewer import TerminalViewer
    from imagen.adapters.imaging.thumbnails import Thumbnails
    from imagen.adapters.supabase.client import SupabaseAccess
    from imagen.ports.cloud import Cloud
    from imagen.ports.ledger import SharedLedger
    from imagen.usecases.fetch import FetchImage
    from imagen.usecases.sync import DeliverPending, Uploader

STDOUT = "-"
PATIENCE = 3.0
"""Seconds that a command goes on because something is owed to the cloud."""
LARGEST_REFERENCE = 100_000_000
"""Bytes of an image that a request brings along."""


class Stores(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down on this machine, in one database that is opened late.

    Attributes:
        journal: Every call that is not over.
        ledger: What was spent.
        history: What was made.
        outbox: What is owed to the cloud.
        keys: What was asked for under which key.
    """

    journal: "SqliteJournal"
    ledger: "SqliteLedger"
    history: "SqliteHistory"
    outbox: "SqliteOutbox"
    keys: "SqliteRequestKeys"

    def close(self) -> None:
        """Let go of the database; what this process still worked on can be claimed."""
        self.journal.close()


class OutputOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where the images of one request go, and what goes with them.

    Attributes:
        output: A file, a folder, `-` for `stream`, or None for the naming template.
        sidecar: False leaves the sidecars out, whatever the config says.
        metadata: False leaves the note inside the files out, likewise.
        cloud: False keeps no copy in the cloud, likewise.
        format: The media type of files whose name says nothing of it; None leaves it to
            the backend.
        stream: What `-` writes to.
    """

    output: str | None = None
    sidecar: bool = True
    metadata: bool = True
    cloud: bool = True
    format: str | None = None
    stream: BinaryIO | None = None


class RequestContext(msgspec.Struct, frozen=True, kw_only=True):
    """Through which shell a request comes in, and what follows from that.

    Attributes:
        caller: Who asks.
        origin: What the journal calls it; "" for one that a person waits at.
        begun: Told of the calls that are about to be made; if it raises, none is.
        here: Whether a single call is made in the thread that asks for it.
        for_good: Whether files are to outlive a power cut, which takes a moment.
        numbering: Shared by requests that store in one folder at once.
    """

    caller: str = ""
    origin: str = ""
    begun: Callable[[Sequence[Call]], object] = ignore_calls
    here: bool = False
    for_good: bool = True
    numbering: Numbering | None = None


def load(config: str | None, *, environment: Environment) -> Settings:
    """Read the config that was named, or the one that is looked for.

    Raises:
        Misconfigured: it is not there, or something in it is wrong.
    """
    if sys.platform == "win32":
        raise Misconfigured(
            "imagen runs on Linux and macOS; Windows is not supported yet.",
            hint="Inside the Windows Subsystem for Linux it works.",
        )
    return load_settings(config, environment=environment, adapter_of=find_adapter)


def build_request(
    settings: Settings,
    prompt: str,
    *,
    negative: str = "",
    style: str | None = None,
    size: str | tuple[int, int] | Size | None = None,
    seed: int = 0,
    steps: int = 0,
    model: str | None = None,
    count: int = 1,
    options: Mapping[str, object] | None = None,
    images: Sequence[ReferenceImage] = (),
    mask: ReferenceImage | None = None,
    max_cost: Decimal | None = None,
    fit: str | None = None,
    timeout: float | None = None,
    strict: bool = False,
    unheeded: Mapping[str, str] | None = None,
) -> GenerationRequest:
    """Turn words into a request; after this there are only values.

    Raises:
        InvalidRequest: one of them makes no sense.
    """
    return GenerationRequest(
        prompt=prompt,
        negative=negative,
        style=_style(settings, style),
        size=_size(size),
        seed=seed,
        steps=steps,
        model=model,
        count=count,
        options=options or {},
        images=tuple(images),
        mask=mask,
        max_cost=parse_max_cost(max_cost),
        fit=_fit(fit),
        timeout=timeout,
        strict=strict,
        unsupported_fields=unheeded or {},
    )


def find_backend(settings: Settings, name: str | None) -> BackendSettings:
    """Return what the config says of the backend, or of the default one.

    Raises:
        InvalidRequest: there is no instance of that name.
    """
    chosen = settings.default_backend if name is None else name
    if chosen not in settings.backends:
        raise InvalidRequest(
            f"There is no backend called {_shown(chosen)}.",
            hint=f"There are: {', '.join(settings.backends)}.",
        )
    return settings.backends[chosen]


def build_backend(chosen: BackendSettings, *, environment: Environment) -> ImageBackend:
    """Hand the adapter its own options and its own secrets, nothing more."""
    adapter = find_adapter(chosen.instance.adapter)
    context = BackendContext(
        name=chosen.instance.name,
        secrets=environment.secrets_for(chosen.options),
        clock=SystemClock(),
        cache=PurePosixPath(environment.cache_dir),
    )
    return adapter.create(chosen.options, context)


def find_caller(environment: Environment) -> str:
    """Return who asks, as far as the environment says."""
    from imagen.adapters.system import caller  # noqa: PLC0415 - only to generate

    return caller.find_caller(environment)


@contextmanager
def closing(backend: ImageBackend) -> Generator[None]:
    """Close the backend afterwards, if it holds something open."""
    try:
        yield
    finally:
        if isinstance(backend, CloseableBackend):
            backend.close()


def build_generate(
    settings: Settings,
    chosen: BackendSettings,
    backend: ImageBackend,
    *,
    environment: Environment,
    accounts: Stores,
    wish: OutputOptions,
    count: int,
    live: bool = False,
    listen: Listener,
    door: RequestContext | None = None,
) -> GenerateImages:
    """Wire the use case that makes images; without a door, for a person.

    Raises:
        InvalidRequest: the images cannot go where they are wished.
    """
    folder, place = _where(settings, wish, count, environment)
    heard = isolate_listener(listen)
    name = chosen.instance.name
    door = door or RequestContext(caller=find_caller(environment))
    return GenerateImages(
        instance=chosen.instance,
        backend=backend,
        store=_store(place, folder, environment, stream=wish.stream, door=door),
        records=_records(accounts, settings, heard),
        clock=SystemClock(),
        random_int=random_int,
        caller=door.caller,
        origin=door.origin,
        before_calls=door.begun,
        inline=door.here,
        price_of=_price_of,
        budgets=tuple(
            budget
            for budget in settings.budgets
            if budget.backend in {"", name} and budget.caller in {"", door.caller}
        ),
        live=live,
        listen=heard,
    )


def build_sweep(
    settings: Settings,
    backends: Mapping[str, ImageBackend],
    *,
    environment: Environment,
    accounts: Stores,
    wish: OutputOptions,
    listen: Listener,
) -> SweepImages:
    """Wire the use case that makes every combination.

    Args:
        settings: What the config says.
        backends: Those that are asked, by the names of their instances.
        environment: Of this process.
        accounts: What is written down.
        wish: Where the images go; one name is numbered for each.
        listen: Hears what happens.

    Raises:
        InvalidRequest: the images cannot go where they are wished.
    """
    if wish.output == STDOUT:
        raise InvalidRequest(
            "The images of a sweep cannot go to standard output.",
            hint="Give a folder instead.",
        )
    heard = isolate_listener(listen)
    records = _records(accounts, settings, heard)
    makers = {
        name: msgspec.structs.replace(
            build_generate(
                settings,
                find_backend(settings, name),
                backend,
                environment=environment,
                accounts=accounts,
                wish=wish,
                count=1,
                listen=listen,
            ),
            records=records,
        )
        for name, backend in backends.items()
    }
    return SweepImages(makers=makers, records=records, listen=heard)


def build_sweep_requests(
    settings: Settings,
    sweep: SweepGrid,
    prompt: str,
    *,
    negative: str = "",
    images: Sequence[ReferenceImage] = (),
    mask: ReferenceImage | None = None,
    fit: str | None = None,
    timeout: float | None = None,
    strict: bool = False,
) -> list[tuple[str, GenerationRequest]]:
    """Return for each combination whom to ask, and for what.

    Raises:
        InvalidRequest: one of them makes no sense.
    """
    return [
        (
            str(cell.values.get("backend", settings.default_backend)),
            build_request(
                settings,
                prompt,
                negative=negative,
                style=cast("str | None", cell.values.get("style")),
                size=cast("str | None", cell.values.get("size")),
                seed=cast("int", cell.values.get("seed", 0)),
                steps=cast("int", cell.values.get("steps", 0)),
                model=cast("str | None", cell.values.get("model")),
                options=cell.options,
                images=images,
                mask=mask,
                fit=fit,
                timeout=timeout,
                strict=strict,
            ),
        )
        for cell in sweep.cells()
    ]


def parse_max_cost(usd: Decimal | None) -> int | None:
    """Return an amount of dollars in micro-dollars.

    Raises:
        InvalidRequest: it is no amount.
    """
    try:
        return None if usd is None else usd_to_micros(usd)
    except ValueError as error:
        raise InvalidRequest(f"max_cost: {error}") from error


def build_sheet(use_case: SweepImages, plan: SweepPlan) -> ContactSheet:
    """Wire what collects a contact sheet; it goes where the images go."""
    from imagen.adapters.imaging.sheet_renderer import (  # noqa: PLC0415 - costs Pillow
        PillowSheetRenderer,
    )

    store = next(iter(use_case.makers.values())).store
    return ContactSheet(
        plan,
        artist=PillowSheetRenderer(),
        storage=store.storage,
        destination=store.place.destination,
        link=partial(_link, Path(store.place.folder)),
    )


def open_stores(environment: Environment) -> Stores:
    """Return the journal, ledger and history of this machine; nothing is opened yet."""
    from imagen.adapters.database.connection import Database  # noqa: PLC0415
    from imagen.adapters.database.history import SqliteHistory  # noqa: PLC0415 - sqlite3
    from imagen.adapters.database.idempotency import SqliteRequestKeys  # noqa: PLC0415
    from imagen.adapters.database.journal import SqliteJournal  # noqa: PLC0415
    from imagen.adapters.database.ledger import SqliteLedger  # noqa: PLC0415
    from imagen.adapters.database.outbox import SqliteOutbox  # noqa: PLC0415

    database = Database(lambda: environment.data_dir)
    journal = SqliteJournal(database)
    return Stores(
        journal=journal,
        ledger=SqliteLedger(database),
        history=SqliteHistory(database),
        outbox=SqliteOutbox(database),
        keys=SqliteRequestKeys(database, journal.lease),
    )


@contextmanager
def opened_stores(environment: Environment) -> Generator[Stores]:
    """Open what is written down on this machine, and let go of it afterwards."""
    opened = open_stores(environment)
    try:
        yield opened
    finally:
        opened.close()


def clock() -> Clock:
    """Return the clock."""
    return SystemClock()


def now() -> datetime:
    """Return this moment."""
    return SystemClock().now()


def processors() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def server_secret(environment: Environment) -> bytes:
    """Return what signs URLs: the same ever after, if it can be kept."""
    from imagen.adapters.system import server_secret  # noqa: PLC0415 - only to serve

    return server_secret.load_secret(lambda: environment.data_dir)


def build_jobs(accounts: Stores) -> OpenJobs:
    """Wire the use case that looks through the calls that are not over."""
    return OpenJobs(journal=accounts.journal)


@contextmanager
def usage(
    environment: Environment, accounts: Stores, *, shared: bool = False
) -> Generator[ShowUsage]:
    """Wire the use case that adds up what was spent, here or by all that share."""
    if not shared:
        yield ShowUsage(ledger=accounts.ledger, journal=accounts.journal)
        return
    ledger = _shared_ledger(environment)
    try:
        yield ShowUsage(ledger=ledger, journal=accounts.journal, outbox=accounts.outbox)
    finally:
        ledger.close()


def build_row_delivery(environment: Environment, accounts: Stores) -> "DeliverPending":
    """Wire the use case that delivers what is owed to the shared ledger."""
    from imagen.usecases.sync import DeliverPending, UsageUploader  # noqa: PLC0415 - rare

    ledger = _shared_ledger(environment)
    return DeliverPending(
        outbox=accounts.outbox,
        carriers=[UsageUploader(outbox=accounts.outbox, ledger=ledger)],
        clock=SystemClock(),
    )


def build_trash(accounts: Stores, *, environment: Environment) -> TrashImages:
    """Wire the use case that throws images away."""
    from imagen.adapters.system.trash import FolderTrash  # noqa: PLC0415 - only for the gallery

    kept = FolderTrash(lambda: environment.data_dir / "bin", now=now)
    return TrashImages(history=accounts.history, outbox=accounts.outbox, bin=kept)


def build_thumbnails(environment: Environment) -> "Thumbnails":
    """Return what makes small pictures, and keeps them in the cache."""
    from imagen.adapters.imaging.thumbnails import Thumbnails  # noqa: PLC0415 - costs Pillow

    return Thumbnails(lambda: environment.cache_dir / "thumbnails")


def build_forget(accounts: Stores) -> ForgetImages:
    """Wire the use case that forgets images."""
    return ForgetImages(history=accounts.history, outbox=accounts.outbox)


def build_deliver(
    settings: Settings,
    *,
    environment: Environment,
    accounts: Stores,
    images: bool = True,
    listen: Listener = ignore_event,
) -> "DeliverPending | None":
    """Wire the use case that delivers what is owed to the cloud.

    Args:
        images: False leaves out the copies of images.

    Returns:
        None if Supabase is not set up.
    """
    if environment.missing_for_supabase:
        return None
    from imagen.adapters.system.files import read_regular  # noqa: PLC0415 - rare
    from imagen.usecases.sync import (  # noqa: PLC0415
        DeliverPending,
        ImageUploader,
        UsageUploader,
    )

    carriers: list[Uploader] = [
        UsageUploader(outbox=accounts.outbox, ledger=_shared_ledger(environment))
    ]
    if images and _cloud_sync(settings, environment) != "off":
        carriers.append(
            ImageUploader(
                outbox=accounts.outbox,
                cloud=_cloud(environment),
                history=accounts.history,
                owner=settings.owner_user_id or "",
                clock=SystemClock(),
                read=read_regular,
            )
        )
    return DeliverPending(
        outbox=accounts.outbox,
        carriers=carriers,
        clock=SystemClock(),
        listen=isolate_listener(listen),
    )


def build_sync(
    settings: Settings,
    *,
    environment: Environment,
    accounts: Stores,
    listen: Listener,
) -> "DeliverPending":
    """Wire the use case that delivers what is owed, when somebody asks for it.

    Raises:
        Misconfigured: Supabase is not set up.
    """
    use_case = build_deliver(
        settings, environment=environment, accounts=accounts, listen=listen
    )
    if use_case is None:
        raise _no_supabase(environment)
    return use_case


def build_fetch(
    settings: Settings,
    *,
    environment: Environment,
    accounts: Stores,
    wish: OutputOptions,
    count: int,
    listen: Listener,
) -> "FetchImage":
    """Wire the use case that brings an image back from the cloud.

    Raises:
        InvalidRequest: it cannot go where it is wished.
        Misconfigured: Supabase is not set up, or nobody said whose images.
    """
    from imagen.usecases.fetch import FetchImage  # noqa: PLC0415 - rare

    owner, cloud = cloud_of(settings, environment)
    folder, place = _where(settings, wish, count, environment)
    if place.destination.name is not None and count > 1:
        raise InvalidRequest(
            f"{count} images cannot go to one file.", hint="Give a folder instead."
        )
    return FetchImage(
        cloud=cloud,
        owner=owner,
        storage=_storage(folder, wish.stream),
        place=place,
        history=accounts.history,
        outbox=accounts.outbox,
        locate=_absolute,
        listen=isolate_listener(listen),
    )


def cloud_of(settings: Settings, environment: Environment) -> "tuple[str, Cloud]":
    """Return whose images are in the cloud, and the cloud.

    Raises:
        Misconfigured: Supabase is not set up, or nobody said whose images.
    """
    if environment.missing_for_supabase:
        raise _no_supabase(environment)
    if not settings.owner_user_id:
        raise Misconfigured(
            "The config has no owner_user_id, so nobody's images are in the cloud.",
            hint="docs/supabase.md says where to find it.",
        )
    return settings.owner_user_id, _cloud(environment)


def build_deliver_briefly(
    settings: Settings,
    *,
    environment: Environment,
    accounts: Stores,
    images: bool = True,
    listen: Listener,
) -> Callable[[Cancellation], None] | None:
    """Return what delivers for a moment, after something was made."""
    use_case = build_deliver(
        settings,
        environment=environment,
        accounts=accounts,
        images=images,
        listen=listen,
    )
    if use_case is None:
        return None
    return partial(use_case.run_briefly, patience=PATIENCE)


def build_find(
    accounts: Stores, *, environment: Environment, pipes: bool = True
) -> FindImage:
    """Wire the use case that finds an image by whatever it is called.

    Args:
        accounts: What was made here.
        environment: Where home is.
        pipes: Whether what is named may be a pipe, and is waited for.
    """
    return FindImage(read=_reading(environment, pipes=pipes), history=accounts.history)


def _reading(environment: Environment, *, pipes: bool) -> ReadFile:
    from imagen.adapters.system.files import (  # noqa: PLC0415 - only to read one
        read_file,
        read_regular,
    )

    read = read_file if pipes else read_regular
    return lambda name: read(str(environment.home(Path(name))))


def read_stored(entry: HistoryEntry) -> bytes | None:
    """Return the file of an image; None if it is gone, or something else by now."""
    from imagen.adapters.system.files import read_regular  # noqa: PLC0415 - only to read one

    sidecar = entry.sidecar
    try:
        content = read_regular(
            entry.location, size=sidecar.bytes, largest=sidecar.bytes
        )
    except InvalidRequest:
        return None
    if content is None or sha256(content).hexdigest() != sidecar.sha256:
        return None
    return content


def build_preview(
    settings: Settings,
    *,
    environment: Environment,
    flag: bool | None,
    on_terminal: bool,
    listen: Listener,
) -> PreviewImages | None:
    """Wire the use case that shows what was made; None where nothing is to be shown.

    Args:
        settings: The config.
        environment: What may say otherwise.
        flag: What goes before both; None where nothing was said.
        on_terminal: Whether results appear on a terminal.
        listen: Hears of what cannot be shown.

    Raises:
        Misconfigured: `$IMAGEN_PREVIEW` is no mode.
    """
    mode = resolve_preview_mode(settings.output.preview, environment.preview, flag=flag)
    in_tmux = bool(environment.tmux)
    if not should_preview(mode, on_terminal=on_terminal, in_tmux=in_tmux):
        return None
    from imagen.adapters.display.tmux_preview import TmuxPreview  # noqa: PLC0415 - rare

    return PreviewImages(
        TmuxPreview(environment), locate=_absolute, listen=isolate_listener(listen)
    )


def build_viewer(
    stream: TextIO, *, environment: Environment, method: Method | None = None
) -> "TerminalViewer":
    """Ask the terminal that the stream goes to what it can draw.

    Args:
        stream: A terminal.
        environment: What it says of itself.
        method: The way to draw, whatever the terminal says.
    """
    from imagen.adapters.display.terminal.capability_probe import probe_terminal  # noqa: PLC0415
    from imagen.adapters.display.terminal.viewer import (  # noqa: PLC0415 - costs Pillow
        TerminalViewer,
    )

    time, handle = SystemClock(), stream.fileno()
    abilities = probe_terminal(handle, environment, clock=time)
    return TerminalViewer(handle, abilities, clock=time, draw=random_int, method=method)


def build_inspect(accounts: Stores, *, environment: Environment) -> InspectImage:
    """Wire the use case that says all that is known of an image."""

    def check(content: bytes, media_type: str) -> ContentCredentials:
        from imagen.adapters.imaging.c2pa import check_content_credentials  # noqa: PLC0415 - rare

        return check_content_credentials(content, media_type)

    return InspectImage(find=build_find(accounts, environment=environment), check=check)


def build_strip(
    accounts: Stores,
    *,
    environment: Environment,
    output: str | None = None,
    stream: BinaryIO | None = None,
) -> StripImage:
    """Wire the use case that writes copies without metadata.

    Args:
        accounts: What is written down on this machine.
        environment: Where `~` leads.
        output: A file, a folder, `-` for the stream, or None for beside the image.
        stream: What `-` writes to.

    Raises:
        InvalidRequest: no copy can go where it is wished.
    """
    folder, name = (None, None) if output is None else _place(output, environment)

    def place_of(location: str) -> CopyTarget:
        if output == STDOUT:
            return CopyTarget(storage=_storage(None, stream))
        beside = environment.home(Path(location))
        target = folder if folder is not None else beside.parent
        if name is not None and _same_file(target / name, beside):
            raise InvalidRequest(
                f"The copy would replace {location} itself, and its sidecar.",
                hint="Give it another name.",
            )
        return CopyTarget(storage=LocalStorage(target), name=name)

    return StripImage(
        find=build_find(accounts, environment=environment), place_of=place_of
    )


def build_rerun(
    settings: Settings,
    *,
    environment: Environment,
    accounts: Stores,
    pipes: bool = True,
) -> PrepareRerun:
    """Wire the use case that turns an image back into a request.

    Args:
        settings: The config.
        environment: Where home is.
        accounts: What was made here.
        pipes: Whether what is named may be a pipe, and is waited for.
    """
    from imagen.adapters.system.files import list_images  # noqa: PLC0415 - only to read some

    return PrepareRerun(
        find=build_find(accounts, environment=environment, pipes=pipes),
        read=_reading(environment, pipes=False),
        images_in=list_images,
        history=accounts.history,
        instances={name: each.instance for name, each in settings.backends.items()},
        default=settings.default_backend,
        folders=(str(settings.output.dir), ""),
    )


def build_verify() -> VerifyImage:
    """Wire the use case that says whether two images show the same."""
    from imagen.adapters.imaging.convert import (  # noqa: PLC0415 - costs Pillow
        PillowEditor,
        compare_pixels,
    )

    return VerifyImage(compare=compare_pixels, editor=PillowEditor())


def build_overrides(
    *,
    count: int = 1,
    seed: int | None = None,
    steps: int | None = None,
    size: str | tuple[int, int] | Size | None = None,
    model: str | None = None,
    options: Mapping[str, object] | None = None,
    images: Sequence[ReferenceImage] | None = None,
    mask: ReferenceImage | None = None,
    max_cost: Decimal | None = None,
    fit: str | None = None,
    timeout: float | None = None,
    strict: bool = False,
) -> Overrides:
    """Turn words into what is to be different when an image is made again.

    Raises:
        InvalidRequest: one of them makes no sense.
    """
    return Overrides(
        count=count,
        seed=seed,
        steps=steps,
        size=_size(size),
        model=model,
        options=options or {},
        images=None if images is None else tuple(images),
        mask=mask,
        max_cost=parse_max_cost(max_cost),
        fit=_fit(fit),
        timeout=timeout,
        strict=strict,
    )


@contextmanager
def resuming(
    settings: Settings,
    *,
    environment: Environment,
    accounts: Stores,
    listen: Listener,
) -> Generator[ResumeCalls]:
    """Wire the use case that finishes open calls, and close its backends afterwards."""
    backends: dict[str, ImageBackend] = {}
    heard = isolate_listener(listen)

    def backend_of(instance: Instance) -> ImageBackend:
        name = instance.name
        chosen = find_backend(settings, name)
        if chosen.instance.adapter != instance.adapter:
            raise Misconfigured(
                f"The job was sent to {instance.adapter}, and {name} is "
                f"{chosen.instance.adapter} in this config.",
                hint="Name the config that it was sent with: --config PATH.",
            )
        if name not in backends:
            backends[name] = build_backend(chosen, environment=environment)
        return backends[name]

    def store_of(place: OutputTarget) -> StoreImage:
        if not place.folder:  # it was to go to a stream, which is gone
            folder = _absolute(settings.output.dir)
            place = msgspec.structs.replace(place, folder=folder)
        return _store(place, Path(place.folder), environment)

    try:
        yield ResumeCalls(
            journal=accounts.journal,
            records=_records(accounts, settings, heard),
            backend_of=backend_of,
            store_of=store_of,
            clock=SystemClock(),
            listen=heard,
        )
    finally:
        for backend in backends.values():
            if isinstance(backend, CloseableBackend):
                backend.close()


def read_reference(path: str | Path, *, environment: Environment) -> ReferenceImage:
    """Read an image that a request brings along.

    Raises:
        InvalidRequest: it cannot be read, or is no image.
    """
    file = environment.home(Path(path))
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_REFERENCE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no file"
        raise InvalidRequest(f"The image {path} cannot be read: {reason}.") from error
    if len(content) > LARGEST_REFERENCE:
        raise InvalidRequest(
            f"The image {path} has more than {LARGEST_REFERENCE} bytes."
        )
    return build_reference(content, name=file.name)


def build_reference(content: bytes, *, name: str) -> ReferenceImage:
    """Return an image that a request brings along.

    Raises:
        InvalidRequest: it is no image.
    """
    try:
        facts = read_facts(content)
    except NotAnImage as why:
        raise InvalidRequest(f"{name} is no whole image: {why}.") from why
    return ReferenceImage(
        name=name,
        sha256=sha256(content).hexdigest(),
        media_type=facts.media_type,
        content=content,
    )


def notebook_progress() -> "NotebookProgress | None":
    """Return what shows the progress, if this runs in a notebook."""
    if "IPython" not in sys.modules:
        return None
    from imagen.adapters.display.notebook_progress import (  # noqa: PLC0415 - only there
        create_notebook_progress,
    )

    return create_notebook_progress()


def build_check() -> CheckBackends:
    """Wire the use case that looks whether backends would work."""
    return CheckBackends(clock=SystemClock())


def build_prices(settings: Settings, *, listen: Listener) -> ListPrices:
    """Wire the use case that says what is charged for what."""
    from imagen.adapters.system.prices import load_price_table  # noqa: PLC0415 - reads a table

    own = [
        ListedPrice(provider="config", model=name, price=each.instance.price)
        for name, each in settings.backends.items()
        if each.instance.price is not None
    ]
    return ListPrices(
        table=(*own, *load_price_table()), clock=SystemClock(), listen=listen
    )


def with_log(listen: Listener, *, as_json: bool, colours: bool) -> Listener:
    """Return a listener that logs every event before it passes it on."""
    from imagen.adapters.system.log import LogListener  # noqa: PLC0415 - costs structlog

    log = LogListener(as_json=as_json, colours=colours)

    def both(event: Event) -> None:
        log(event)
        listen(event)

    return both


def _style(settings: Settings, name: str | None) -> Style | None:
    if name is None:
        return None
    if name not in settings.styles:
        known = ", ".join(settings.styles) or "none; the config has no styles"
        raise InvalidRequest(
            f"There is no style called {_shown(name)}.", hint=f"There are: {known}."
        )
    return settings.styles[name]


def _shown(name: str) -> str:
    from imagen.settings.secrets import display_value  # noqa: PLC0415 - only after a mistake

    return display_value(name)


def _size(size: str | tuple[int, int] | Size | None) -> Size | None:
    match size:
        case str():
            return Size.parse(size)
        case (width, height):
            return Size(width, height)
        case Size() | None:
            return size
        case _:  # pyright: ignore[reportUnnecessaryComparison] - Python checks no types
            raise InvalidRequest(
                f"{size!r} is not a size.", hint="Give '1536x768' or (1536, 768)."
            )


def _fit(fit: str | None) -> Fit | None:
    try:
        return None if fit is None else Fit(fit)
    except ValueError:
        raise InvalidRequest(
            f"{fit!r} is no way to fit an image.",
            hint=f"There are: {', '.join(Fit)}.",
        ) from None


def _price_of(
    provider: str, model: str, parameters: Mapping[str, object]
) -> Price | None:
    from imagen.adapters.system.prices import look_up_price  # noqa: PLC0415 - reads a table

    return look_up_price(provider, model, parameters)


def _records(accounts: Stores, settings: Settings, listen: Listener) -> Recorder:
    days = settings.history.keep_days
    return Recorder(
        accounts.journal,
        accounts.history,
        outbox=accounts.outbox,
        clock=SystemClock(),
        locate=_absolute,
        keep=None if days is None else timedelta(days=days),
        listen=listen,
    )


def _absolute(location: str | Path) -> str:
    """Return a place as it is found from anywhere, if that can be said."""
    try:
        return str(location if location == STDOUT else Path(location).absolute())
    except OSError:  # the current folder is gone
        return str(location)


def _link(folder: Path, location: str, page: str) -> str:
    """Return the URL of an image, seen from a page in that folder."""
    from urllib.parse import quote  # noqa: PLC0415 - only for sheets

    seen = os.path.relpath(_absolute(location), (folder / page).parent)
    return "./" + quote(os.fsencode(seen))


def _store(
    place: OutputTarget,
    folder: Path | None,
    environment: Environment,
    *,
    stream: BinaryIO | None = None,
    door: RequestContext | None = None,
) -> StoreImage:
    door = door or RequestContext()
    return StoreImage(
        storage=_storage(folder, stream, for_good=door.for_good),
        numbering=door.numbering,
        rescues=_rescues(environment),
        editor=_LateEditor(),
        place=place,
    )


def _storage(
    folder: Path | None, stream: BinaryIO | None, *, for_good: bool = True
) -> Storage:
    if folder is not None:
        return LocalStorage(folder, for_good=for_good)
    from imagen.adapters.storage.stream import StreamStorage  # noqa: PLC0415 - rare

    if stream is None:
        raise InvalidRequest(
            "There is no standard output to write to here.",
            hint="The image's `bytes` has what `-` would write.",
        )
    return StreamStorage(stream, called=STDOUT)


def _where(
    settings: Settings, wish: OutputOptions, count: int, environment: Environment
) -> tuple[Path | None, OutputTarget]:
    """Return the folder as it was called, None for a stream, and the whole place."""
    folder = settings.output.dir
    place = OutputTarget(
        folder=_absolute(folder),
        destination=Destination(template=settings.output.naming, format=wish.format),
        sidecar=settings.output.sidecar and wish.sidecar,
        metadata=settings.output.metadata and wish.metadata,
        owner=_owner(settings, environment) if wish.cloud else "",
    )
    moved = msgspec.structs.replace
    if wish.output is None:
        return folder, place
    if wish.output == STDOUT:
        if count != 1:
            raise InvalidRequest(
                f"{count} images cannot go to standard output.",
                hint="Only one can; give a folder instead.",
            )
        return None, moved(place, folder="", sidecar=False)
    folder, name = _place(wish.output, environment)
    if name is None:
        return folder, moved(place, folder=_absolute(folder))
    return folder, moved(
        place, folder=_absolute(folder), destination=Destination(name=name)
    )


def check_supabase(settings: Settings, environment: Environment) -> Iterator[Readiness]:
    """Yield what Supabase needs, and whether it has it; nothing if it is not used."""
    missing = environment.missing_for_supabase
    wanted = bool(settings.owner_user_id) or _cloud_sync(settings, environment) == "on"
    if missing:
        note = f"{' and '.join(missing)} not set; docs/supabase.md has every step."
        used = wanted or not environment.supabase_is_unset
        yield Readiness(name="used" if used else "not used", ready=not used, note=note)
        return
    from imagen.adapters.supabase.diagnostics import (  # noqa: PLC0415 - rare
        check_project as look,
    )

    yield from look(_access(environment), owner=settings.owner_user_id)


def _access(environment: Environment) -> "SupabaseAccess":
    from imagen.adapters.supabase.client import SupabaseAccess  # noqa: PLC0415 - rare

    return SupabaseAccess(environment.supabase_url, environment.supabase_key)


def _shared_ledger(environment: Environment) -> "SharedLedger":
    from imagen.adapters.supabase.ledger import SupabaseLedger  # noqa: PLC0415 - rare

    return SupabaseLedger(_access(environment))


def _cloud(environment: Environment) -> "Cloud":
    from imagen.adapters.supabase.images import SupabaseCloud  # noqa: PLC0415 - rare

    return SupabaseCloud(_access(environment))


def _owner(settings: Settings, environment: Environment) -> str:
    """Return whose a copy in the cloud is to be; "" if there is to be none.

    Raises:
        Misconfigured: there has to be one, and something is missing for it.
    """
    mode = _cloud_sync(settings, environment)
    if mode == "off":
        return ""
    missing = environment.missing_for_supabase
    if not settings.owner_user_id:
        missing = (*missing, "owner_user_id in the config")
    if missing and mode == "on":
        raise Misconfigured(
            f"The cloud copy is on, and there is no {' and no '.join(missing)}.",
            hint="Set it, or say --no-cloud; docs/supabase.md has every step.",
        )
    return "" if missing else settings.owner_user_id


def _no_supabase(environment: Environment) -> Misconfigured:
    missing = " and ".join(environment.missing_for_supabase)
    return Misconfigured(
        f"Supabase is not set up: {missing} is not set.",
        hint="docs/supabase.md has every step.",
    )


def _cloud_sync(settings: Settings, environment: Environment) -> str:
    return environment.cloud_sync or settings.output.cloud_sync


def _place(output: str, environment: Environment) -> tuple[Path, str | None]:
    """Return the folder, and the name of the file in it if one is given."""
    if not output:
        raise InvalidRequest("The output path is empty.")
    if "\0" in output:
        raise InvalidRequest("The output path contains a NUL character.")
    path = environment.home(Path(output))
    if output.endswith("/") or _is_folder(path):
        _check_folder(path)
        return path, None
    _check_folder(path.parent)
    return path.parent, path.name


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return False


def _check_folder(folder: Path) -> None:
    """Find out before anything is sent that there can be no such folder."""
    long = [part for part in folder.parts if len(os.fsencode(part)) > LONGEST_NAME]
    if long:
        raise InvalidRequest(f"The folder name {long[0][:40]!r}... is too long.")
    there = next((each for each in (folder, *folder.parents) if lexists(each)), None)
    if there is not None and not _is_folder(there):
        raise InvalidRequest(
            f"{there} is no folder, so nothing can be stored in it.",
            hint="Choose another output.",
        )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, which the destination refuses in words
        return False


def _rescues(environment: Environment) -> tuple[Storage, ...]:
    def rescued() -> Path:
        folder = environment.data_dir / "rescued"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def temporary() -> Path:
        from tempfile import mkdtemp  # noqa: PLC0415 - the last resort

        return Path(mkdtemp(prefix="imagen-rescued-"))

    return LocalStorage(rescued), LocalStorage(temporary)


class _LateEditor:
    """Redraws with Pillow, which is imported when there is something to redraw."""

    def redraw(
        self, content: bytes, *, media_type: str, fit: Fit | None, size: Size | None
    ) -> bytes:
        from imagen.adapters.imaging.convert import PillowEditor  # noqa: PLC0415 - costs Pillow

        return PillowEditor().redraw(content, media_type=media_type, fit=fit, size=size)
