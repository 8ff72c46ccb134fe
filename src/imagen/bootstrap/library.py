"""The use cases that read what is stored: images, history, jobs, usage, prices."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import InvalidRequest
from imagen.settings.environment import Environment

if TYPE_CHECKING:
    from imagen.adapters.imaging.thumbnails import Thumbnails
    from imagen.adapters.system.trash import FolderTrash
    from imagen.bootstrap.output import OutputOptions
    from imagen.domain.content_credentials import ContentCredentials
    from imagen.domain.events import Listener
    from imagen.domain.history import HistoryEntry
    from imagen.domain.inspection import Inspection
    from imagen.domain.money.price import ListedPrice
    from imagen.engine.old_files import OldFiles
    from imagen.ports.files import ReadFile
    from imagen.ports.storage import Storage
    from imagen.usecases.fetch import FetchImage
    from imagen.usecases.find import FindImage
    from imagen.usecases.strip import StripImage
    from imagen.usecases.trash import TrashImages
    from imagen.usecases.usage import ShowUsage


def build_find(runtime: Runtime, *, pipes: bool = True) -> "FindImage":
    """Build the use case that finds an image by path, id or `last`.

    Reading a pipe can block for ever; with `pipes=False`, none is read.
    """
    from imagen.usecases.find import FindImage  # noqa: PLC0415

    read = build_reader(runtime.environment, pipes=pipes)
    return FindImage(read=read, history=runtime.stores.history)


def build_reader(environment: Environment, *, pipes: bool) -> "ReadFile":
    """Return the function that reads a file, `~` included."""
    from imagen.adapters.system.files import read_file, read_regular  # noqa: PLC0415

    read = read_file if pipes else read_regular
    return lambda name: read(str(environment.expand_home(Path(name))))


def read_stored_image(entry: "HistoryEntry") -> bytes | None:
    """Return the file of an image; None if it is deleted or changed."""
    from hashlib import sha256  # noqa: PLC0415 - loads OpenSSL, for `imagen usage` too

    from imagen.adapters.system.files import read_regular  # noqa: PLC0415

    sidecar = entry.sidecar
    # The size first, so that a file that was replaced by a huge one is not read.
    try:
        content = read_regular(
            entry.location, size=sidecar.bytes, largest=sidecar.bytes
        )
    except InvalidRequest:
        return None
    if content is None or sha256(content).hexdigest() != sidecar.sha256:
        return None
    return content


def inspect_image(runtime: Runtime, name: str) -> "Inspection":
    """Return everything known about an image, as the use case of that name does."""
    from imagen.usecases import inspect  # noqa: PLC0415

    def check(content: bytes, media_type: str) -> "ContentCredentials":
        from imagen.adapters.imaging.c2pa import check_content_credentials  # noqa: PLC0415 - rare

        return check_content_credentials(content, media_type)

    return inspect.inspect_image(name, find=build_find(runtime), check=check)


def build_strip(
    runtime: Runtime,
    *,
    output: str | None = None,
    stream: BinaryIO | None = None,
    listen: "Listener",
) -> "StripImage":
    """Build the use case that writes copies without metadata.

    Raises:
        InvalidRequest: a copy cannot be stored there.
    """
    from imagen.bootstrap.output import (  # noqa: PLC0415
        STDOUT,
        build_storage,
        make_absolute,
        split_output_path,
    )
    from imagen.usecases.strip import StripImage  # noqa: PLC0415

    environment = runtime.environment
    folder, name = (
        (None, None) if output is None else split_output_path(output, environment)
    )

    def choose_target(location: str) -> "tuple[Storage, str | None]":
        if output == STDOUT:
            return build_storage(None, stream), None
        image = environment.expand_home(Path(location))
        target = folder if folder is not None else image.parent
        # Not by name: links, and disks that ignore case, give one file many names.
        if name is not None and _is_same_file(target / name, image):
            raise InvalidRequest(
                f"The copy would replace {location} itself, and its sidecar.",
                hint="Give it another name.",
            )
        return build_storage(target, None), name

    old_files = None
    if folder is not None and name is not None and output != STDOUT:
        old_files = build_old_files(runtime, make_absolute(folder), listen=listen)
    return StripImage(
        find=build_find(runtime), place_of=choose_target, old_files=old_files
    )


def build_fetch(
    runtime: Runtime, *, output: "OutputOptions", count: int, listen: "Listener"
) -> "FetchImage":
    """Build the use case that downloads images from the cloud.

    Raises:
        InvalidRequest: images cannot be stored there.
        Misconfigured: Supabase is not set up, or the config has no owner_user_id.
    """
    from imagen.bootstrap.cloud import open_cloud  # noqa: PLC0415
    from imagen.bootstrap.output import (  # noqa: PLC0415
        build_storage,
        make_absolute,
        resolve_target,
    )
    from imagen.domain.events import isolate_listener  # noqa: PLC0415
    from imagen.usecases.fetch import FetchImage  # noqa: PLC0415

    owner, cloud = open_cloud(runtime)
    folder, target = resolve_target(runtime, output)
    target.check_count(count)
    if target.destination.name is not None and count > 1:
        raise InvalidRequest(
            f"{count} images cannot be stored in one file.",
            hint="Give a folder instead.",
        )
    listener, old_files = isolate_listener(listen), None
    if target.destination.name is not None:
        old_files = build_old_files(runtime, target.folder, listen=listener)
    return FetchImage(
        cloud=cloud,
        owner=owner,
        storage=build_storage(folder, output.stream),
        place=target,
        history=runtime.stores.history,
        queue=runtime.stores.image_queue,
        spool=runtime.stores.spool,
        locate=make_absolute,
        old_files=old_files,
        listen=listener,
    )


def build_trash(runtime: Runtime) -> "TrashImages":
    """Build the use case that moves images to the trash, and back."""
    from imagen.usecases.trash import TrashImages  # noqa: PLC0415

    return TrashImages(
        history=runtime.stores.history,
        spool=runtime.stores.spool,
        trash=_build_folder_trash(runtime),
    )


def build_old_files(runtime: Runtime, folder: str, *, listen: "Listener") -> "OldFiles":
    """Build what moves the files at the places of new ones in a folder to the trash."""
    from imagen.engine.old_files import OldFiles  # noqa: PLC0415 - only for --output

    def find_entry(location: str) -> "HistoryEntry | None":
        entry = build_find(runtime, pipes=False).run(location).entry
        # A copy of an image has the same id, and the entry belongs to the original.
        is_here = entry is not None and _is_same_place(entry.location, location)
        return entry if is_here else None

    return OldFiles(
        folder=folder,
        trash=_build_folder_trash(runtime),
        history=runtime.stores.history,
        spool=runtime.stores.spool,
        find_entry=find_entry,
        listen=listen,
    )


def _build_folder_trash(runtime: Runtime) -> "FolderTrash":
    from imagen.adapters.system.trash import FolderTrash  # noqa: PLC0415

    return FolderTrash(
        lambda: runtime.environment.data_dir / "bin", now=runtime.clock.now
    )


def _is_same_place(one: str, other: str) -> bool:
    """Return whether two paths lead to one name in one folder."""
    return Path(one).name == Path(other).name and _is_same_file(
        Path(one).parent, Path(other).parent
    )


def build_thumbnails(environment: Environment) -> "Thumbnails":
    """Build what makes thumbnails, and keeps them in the cache folder."""
    from imagen.adapters.imaging.thumbnails import Thumbnails  # noqa: PLC0415 - costs Pillow

    return Thumbnails(lambda: environment.cache_dir / "thumbnails")


@contextmanager
def open_usage(runtime: Runtime, *, local: bool = False) -> Generator["ShowUsage"]:
    """Build the use case that adds up costs, and close its connections afterwards.

    Args:
        local: Read the ledger of this machine, even if Supabase is set up.
    """
    from imagen.usecases.usage import ShowUsage  # noqa: PLC0415

    stores = runtime.stores
    if local or runtime.environment.missing_for_supabase:
        yield ShowUsage(
            ledger=stores.ledger, journal=stores.journal, local=stores.ledger
        )
        return
    from imagen.bootstrap.cloud import build_shared_ledger  # noqa: PLC0415 - rare

    ledger = build_shared_ledger(runtime.environment)
    try:
        yield ShowUsage(
            ledger=ledger,
            journal=stores.journal,
            local=stores.ledger,
            undelivered=stores.undelivered,
        )
    finally:
        ledger.close()


def load_prices(runtime: Runtime) -> "tuple[ListedPrice, ...]":
    """Return the prices in the config, then those of the table."""
    from imagen.adapters.system.prices import load_price_table  # noqa: PLC0415 - reads a table
    from imagen.domain.money.price import ListedPrice  # noqa: PLC0415

    configured = [
        ListedPrice(provider="config", model=name, price=each.instance.price)
        for name, each in runtime.settings.backends.items()
        if each.instance.price is not None
    ]
    return (*configured, *load_price_table())


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        # One of them does not exist, so they differ.
        return False
