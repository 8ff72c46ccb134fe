"""The composition root: the one place that knows both needs and means.

One function per use case. Each builds only what that use case needs, and imports an
adapter only when it is about to build it.
"""

import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from os.path import lexists
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from imagen.adapters.clock import SystemClock
from imagen.adapters.dice import draw
from imagen.adapters.storage.local import LocalStorage
from imagen.domain.call import Call, Place
from imagen.domain.container import NotAnImage, read_facts
from imagen.domain.cost import micros_of
from imagen.domain.errors import InvalidRequest, Misconfigured
from imagen.domain.events import Event, Listener, unshaken
from imagen.domain.fit import Fit
from imagen.domain.naming import LONGEST_NAME, Destination
from imagen.domain.price import ListedPrice, Price
from imagen.domain.reference import ReferenceImage
from imagen.domain.request import GenerationRequest
from imagen.domain.size import Size
from imagen.domain.style import Style
from imagen.ports.backend import BackendContext, CloseableBackend, ImageBackend
from imagen.ports.storage import Storage
from imagen.registry import find_adapter
from imagen.settings.environment import Environment
from imagen.settings.load import load_settings
from imagen.settings.model import BackendSettings, Settings
from imagen.usecases.check import CheckBackends
from imagen.usecases.generate import GenerateImages, unnoticed
from imagen.usecases.history import ForgetImages
from imagen.usecases.jobs import OpenJobs
from imagen.usecases.numbering import Numbering
from imagen.usecases.prices import ShowPrices
from imagen.usecases.records import Records
from imagen.usecases.resume import ResumeCalls
from imagen.usecases.store import StoreImage
from imagen.usecases.usage import ShowUsage

if TYPE_CHECKING:
    from imagen.adapters.history.sqlite import SqliteHistory
    from imagen.adapters.idempotency.sqlite import SqliteRequestKeys
    from imagen.adapters.journal.sqlite import SqliteJournal
    from imagen.adapters.ledger.sqlite import SqliteLedger

STDOUT = "-"
LARGEST_REFERENCE = 100_000_000
"""Bytes of an image that a request brings along."""


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down on this machine, in one database that is opened late.

    Attributes:
        journal: Every call that is not over.
        ledger: What was spent.
        history: What was made.
        keys: What was asked for under which key.
    """

    journal: "SqliteJournal"
    ledger: "SqliteLedger"
    history: "SqliteHistory"
    keys: "SqliteRequestKeys"

    def close(self) -> None:
        """Let go of the database; what this process still worked on can be claimed."""
        self.journal.close()


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Where the images of one request go, and what goes with them.

    Attributes:
        output: A file, a folder, `-` for `stream`, or None for the naming template.
        sidecar: False leaves the sidecars out, whatever the config says.
        metadata: False leaves the note inside the files out, likewise.
        stream: What `-` writes to.
        format: The media type of files that the template names; None: as it came.
    """

    output: str | None = None
    sidecar: bool = True
    metadata: bool = True
    stream: BinaryIO | None = None
    format: str | None = None


class Door(msgspec.Struct, frozen=True, kw_only=True):
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
    begun: Callable[[Sequence[Call]], object] = unnoticed
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
        max_cost=_micros(max_cost),
        fit=_fit(fit),
        timeout=timeout,
        strict=strict,
        unheeded=unheeded or {},
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
    from imagen.adapters import caller  # noqa: PLC0415 - only to generate

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
    accounts: Accounts,
    wish: Wish,
    count: int,
    listen: Listener,
    door: Door | None = None,
) -> GenerateImages:
    """Wire the use case that makes images; without a door, for a person.

    Raises:
        InvalidRequest: the images cannot go where they are wished.
    """
    folder, place = _where(settings, wish, count, environment)
    heard = unshaken(listen)
    name = chosen.instance.name
    door = door or Door(caller=find_caller(environment))
    return GenerateImages(
        instance=chosen.instance,
        backend=backend,
        store=_store(place, folder, environment, stream=wish.stream, door=door),
        records=_records(accounts, settings, heard),
        clock=SystemClock(),
        draw=draw,
        caller=door.caller,
        origin=door.origin,
        begun=door.begun,
        here=door.here,
        price_of=_price_of,
        budgets=tuple(
            budget
            for budget in settings.budgets
            if budget.backend in {"", name} and budget.caller in {"", door.caller}
        ),
        listen=heard,
    )


def open_accounts(environment: Environment) -> Accounts:
    """Return the journal, ledger and history of this machine; nothing is opened yet."""
    from imagen.adapters.history.sqlite import SqliteHistory  # noqa: PLC0415 - sqlite3
    from imagen.adapters.idempotency.sqlite import SqliteRequestKeys  # noqa: PLC0415
    from imagen.adapters.journal.sqlite import SqliteJournal  # noqa: PLC0415
    from imagen.adapters.ledger.sqlite import SqliteLedger  # noqa: PLC0415
    from imagen.adapters.sqlite import Database  # noqa: PLC0415

    database = Database(lambda: environment.data_dir)
    journal = SqliteJournal(database)
    return Accounts(
        journal=journal,
        ledger=SqliteLedger(database),
        history=SqliteHistory(database),
        keys=SqliteRequestKeys(database, journal.lease),
    )


@contextmanager
def accounts(environment: Environment) -> Generator[Accounts]:
    """Open what is written down on this machine, and let go of it afterwards."""
    opened = open_accounts(environment)
    try:
        yield opened
    finally:
        opened.close()


def now() -> datetime:
    """Return this moment."""
    return SystemClock().now()


def server_secret(environment: Environment) -> bytes:
    """Return what signs URLs: the same ever after, if it can be kept."""
    from imagen.adapters import secret  # noqa: PLC0415 - only to serve

    return secret.kept_secret(lambda: environment.data_dir)


def build_jobs(accounts: Accounts) -> OpenJobs:
    """Wire the use case that looks through the calls that are not over."""
    return OpenJobs(journal=accounts.journal)


def build_usage(accounts: Accounts) -> ShowUsage:
    """Wire the use case that adds up what was spent."""
    return ShowUsage(ledger=accounts.ledger, journal=accounts.journal)


def build_forget(accounts: Accounts) -> ForgetImages:
    """Wire the use case that forgets images."""
    return ForgetImages(history=accounts.history)


@contextmanager
def resuming(
    settings: Settings,
    *,
    environment: Environment,
    accounts: Accounts,
    listen: Listener,
) -> Generator[ResumeCalls]:
    """Wire the use case that finishes open calls, and close its backends afterwards."""
    backends: dict[str, ImageBackend] = {}
    heard = unshaken(listen)

    def backend_of(name: str) -> ImageBackend:
        if name not in backends:
            chosen = find_backend(settings, name)
            backends[name] = build_backend(chosen, environment=environment)
        return backends[name]

    def store_of(place: Place) -> StoreImage:
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
    return reference_of(content, name=file.name)


def reference_of(content: bytes, *, name: str) -> ReferenceImage:
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


def build_check() -> CheckBackends:
    """Wire the use case that looks whether backends would work."""
    return CheckBackends(clock=SystemClock())


def build_prices(settings: Settings, *, listen: Listener) -> ShowPrices:
    """Wire the use case that says what is charged for what."""
    from imagen.adapters.prices import price_table  # noqa: PLC0415 - reads a table

    own = [
        ListedPrice(provider="config", model=name, price=each.instance.price)
        for name, each in settings.backends.items()
        if each.instance.price is not None
    ]
    return ShowPrices(table=(*own, *price_table()), clock=SystemClock(), listen=listen)


def with_log(listen: Listener, *, as_json: bool, colours: bool) -> Listener:
    """Return a listener that logs every event before it passes it on."""
    from imagen.adapters.log import LogListener  # noqa: PLC0415 - costs structlog

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
    from imagen.settings.secrets import shown  # noqa: PLC0415 - only after a mistake

    return shown(name)


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


def _micros(usd: Decimal | None) -> int | None:
    try:
        return None if usd is None else micros_of(usd)
    except ValueError as error:
        raise InvalidRequest(f"max_cost: {error}") from error


def _price_of(
    provider: str, model: str, parameters: Mapping[str, object]
) -> Price | None:
    from imagen.adapters.prices import price_of  # noqa: PLC0415 - reads a table

    return price_of(provider, model, parameters)


def _records(accounts: Accounts, settings: Settings, listen: Listener) -> Records:
    days = settings.history.keep_days
    return Records(
        accounts.journal,
        accounts.history,
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


def _store(
    place: Place,
    folder: Path | None,
    environment: Environment,
    *,
    stream: BinaryIO | None = None,
    door: Door | None = None,
) -> StoreImage:
    door = door or Door()
    return StoreImage(
        storage=_storage(folder, stream, for_good=door.for_good),
        numbering=door.numbering,
        rescues=_rescues(environment),
        editor=_LateEditor(),
        place=place,
    )


def _storage(
    folder: Path | None, stream: BinaryIO | None, *, for_good: bool
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
    settings: Settings, wish: Wish, count: int, environment: Environment
) -> tuple[Path | None, Place]:
    """Return the folder as it was called, None for a stream, and the whole place."""
    folder = settings.output.dir
    place = Place(
        folder=_absolute(folder),
        destination=Destination(template=settings.output.naming, format=wish.format),
        sidecar=settings.output.sidecar and wish.sidecar,
        metadata=settings.output.metadata and wish.metadata,
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
    if not wish.output:
        raise InvalidRequest("The output path is empty.")
    if "\0" in wish.output:
        raise InvalidRequest("The output path contains a NUL character.")
    path = environment.home(Path(wish.output))
    if wish.output.endswith("/") or _is_folder(path):
        _check_folder(path)
        return path, moved(place, folder=_absolute(path))
    _check_folder(path.parent)
    return path.parent, moved(
        place,
        folder=_absolute(path.parent),
        destination=Destination(name=path.name),
    )


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
        from imagen.adapters.images import PillowEditor  # noqa: PLC0415 - costs Pillow

        return PillowEditor().redraw(content, media_type=media_type, fit=fit, size=size)
