"""The places that images are stored in: files, folders, stdout, rescue folders."""

import os
from os.path import lexists
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from imagen.bootstrap.runtime import Runtime
from imagen.domain.errors import InvalidRequest, Misconfigured
from imagen.domain.naming import LONGEST_NAME, Destination
from imagen.settings.environment import Environment
from imagen.settings.model import Settings

if TYPE_CHECKING:
    from imagen.domain.call import OutputTarget
    from imagen.engine.old_files import OldFiles
    from imagen.engine.store import Numbering, StoreImage
    from imagen.ports.images import ImageEditor
    from imagen.ports.storage import Storage

STDOUT = "-"
"""The output path that means the stream."""


class OutputOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The place that the images of one request go to, and the files beside them.

    Attributes:
        path: A file, a folder, `-` for `stream`, or None for the naming template.
        sidecar: False writes no sidecar, even if the config enables it.
        metadata: False writes no metadata into the files, even if the config does.
        cloud: False uploads no copy, even if the config enables it.
        format: The media type of files whose name has no extension; None leaves it to
            the backend.
        stream: The stream that `-` means.
    """

    path: str | None = None
    sidecar: bool = True
    metadata: bool = True
    cloud: bool = True
    format: str | None = None
    stream: BinaryIO | None = None


def resolve_target(
    runtime: Runtime, options: OutputOptions
) -> "tuple[Path | None, OutputTarget]":
    """Return the folder, None for the stream, and the whole target.

    The folder is as the user wrote it, since messages and results name it; the target
    has its absolute path, since `imagen resume` may run in another folder.

    Raises:
        InvalidRequest: images cannot be stored there.
        Misconfigured: a copy in the cloud is required, and Supabase is not set up.
    """
    from imagen.domain.call import OutputTarget  # noqa: PLC0415 - not for `imagen strip`

    settings = runtime.settings
    folder = settings.output.dir
    target = OutputTarget(
        folder=make_absolute(folder),
        destination=Destination(template=settings.output.naming, format=options.format),
        sidecar=settings.output.sidecar and options.sidecar,
        metadata=settings.output.metadata and options.metadata,
        owner=find_cloud_owner(runtime) if options.cloud else "",
    )
    replace = msgspec.structs.replace
    if options.path is None:
        return folder, target
    if options.path == STDOUT:
        return None, replace(target, folder="", sidecar=False)
    folder, name = split_output_path(options.path, runtime.environment)
    if name is None:
        return folder, replace(target, folder=make_absolute(folder))
    return folder, replace(
        target, folder=make_absolute(folder), destination=Destination(name=name)
    )


def build_image_store(
    environment: Environment,
    target: "OutputTarget",
    folder: Path | None,
    *,
    stream: BinaryIO | None = None,
    extras: Path | None = None,
    durable: bool = True,
    numbering: "Numbering | None" = None,
    old_files: "OldFiles | None" = None,
) -> "StoreImage":
    """Build what stores the images of one request, in a folder or else the stream.

    Images beyond the requested ones go to the folder `extras`, if there is no other.
    """
    from imagen.adapters.storage.local import LocalStorage  # noqa: PLC0415
    from imagen.engine.store import StoreImage  # noqa: PLC0415

    def create_rescue_folder() -> Path:
        rescued = environment.data_dir / "rescued"
        rescued.mkdir(mode=0o700, parents=True, exist_ok=True)
        return rescued

    # If the data folder cannot be written either, such as on a full disk.
    def create_temporary_folder() -> Path:
        from tempfile import mkdtemp  # noqa: PLC0415 - rare

        return Path(mkdtemp(prefix="imagen-rescued-"))

    return StoreImage(
        storage=build_storage(folder, stream, durable=durable),
        extras=None if folder or not extras else LocalStorage(extras, durable=durable),
        numbering=numbering,
        old_files=old_files,
        rescues=(
            LocalStorage(create_rescue_folder),
            LocalStorage(create_temporary_folder),
        ),
        load_editor=_load_editor,
        place=target,
    )


def build_storage(
    folder: Path | None, stream: BinaryIO | None, *, durable: bool = True
) -> "Storage":
    """Build the storage for a folder, or else for the stream.

    Raises:
        InvalidRequest: neither a folder nor a stream is given.
    """
    if folder is not None:
        from imagen.adapters.storage.local import LocalStorage  # noqa: PLC0415

        return LocalStorage(folder, durable=durable)
    from imagen.adapters.storage.stream import StreamStorage  # noqa: PLC0415 - rare

    if stream is None:
        raise InvalidRequest(
            "Standard output is not available here.",
            hint="Use the `bytes` of the image instead of `-`.",
        )
    return StreamStorage(stream, name=STDOUT)


def split_output_path(output: str, environment: Environment) -> tuple[Path, str | None]:
    """Return the folder of an output path, and the file name if it has one.

    Raises:
        InvalidRequest: the path is empty or invalid, or its folder cannot exist.
    """
    if not output:
        raise InvalidRequest("The output path is empty.")
    if "\0" in output:
        raise InvalidRequest("The output path contains a NUL character.")
    path = environment.expand_home(Path(output))
    if output.endswith("/") or _is_folder(path):
        _check_folder(path)
        return path, None
    _check_folder(path.parent)
    return path.parent, path.name


def make_absolute(location: str | Path) -> str:
    """Return the absolute path of a location; `-` stays as it is."""
    try:
        return str(location if location == STDOUT else Path(location).absolute())
    except OSError:
        # The current folder was deleted, so that no absolute path is known.
        return str(location)


def find_cloud_owner(runtime: Runtime) -> str:
    """Return the owner of the copies in the cloud; "" if none are made.

    Raises:
        Misconfigured: copies are switched on, and Supabase is not set up.
    """
    settings, environment = runtime.settings, runtime.environment
    mode = get_cloud_mode(settings, environment)
    if mode == "off":
        return ""
    missing = environment.missing_for_supabase
    if not settings.owner_user_id:
        missing = (*missing, "owner_user_id in the config")
    if missing and mode == "on":
        from imagen.adapters.system.pages import find_page  # noqa: PLC0415 - rare
        from imagen.domain.suggestion import join_missing  # noqa: PLC0415 - rare

        page = find_page("supabase.md")
        raise Misconfigured(
            f"Cloud copies are on, and {join_missing(missing)}.",
            hint=f"Set it, or use --no-cloud; {page} has every step.",
        )
    return "" if missing else settings.owner_user_id


def get_cloud_mode(settings: Settings, environment: Environment) -> str:
    """Return whether copies go to the cloud: auto, on or off."""
    return environment.cloud_sync or settings.output.cloud_sync


def _check_folder(folder: Path) -> None:
    """Raise now, before anything is paid for, if the folder cannot be created."""
    long = [part for part in folder.parts if len(os.fsencode(part)) > LONGEST_NAME]
    if long:
        raise InvalidRequest(f"The folder name {long[0][:40]!r}... is too long.")
    existing = next((each for each in (folder, *folder.parents) if lexists(each)), None)
    if existing is not None and not _is_folder(existing):
        raise InvalidRequest(
            f"{existing} is not a folder.", hint="Choose another output path."
        )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        # The name is too long, which `Destination` reports with a better message.
        return False


def _load_editor() -> "ImageEditor":
    from imagen.adapters.imaging.convert import PillowEditor  # noqa: PLC0415 - costs Pillow

    return PillowEditor()
