"""Store a file under the first free name, or in place of one that the user named."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from imagen.domain.errors import NameTaken, StorageError
from imagen.engine.store import MAX_NAMES_TRIED

if TYPE_CHECKING:
    from imagen.engine.old_files import OldFiles
    from imagen.ports.storage import Storage


def save_file(
    storage: "Storage",
    names: Iterable[str],
    content: bytes,
    *,
    media_type: str,
    sidecar: bytes | None = None,
    again: bool = False,
    old_files: "OldFiles | None" = None,
) -> str:
    """Store a file and its sidecar, and return the location.

    Args:
        names: The possible names, in order of preference.
        again: Whether a file that already has the same content is left as it is.
        old_files: Moves an existing file of the first name to the trash, unless it has
            the same content; None replaces no file.

    Raises:
        InvalidRequest: the existing file cannot be moved.
        StorageError: the file cannot be stored; an existing one is where it was.
    """
    save = partial(
        storage.save, content=content, media_type=media_type, sidecar=sidecar
    )
    for name in islice(names, MAX_NAMES_TRIED):
        with suppress(NameTaken):
            if old_files is None:
                return save(name, again=again)
            return _replace(old_files, name, save=save, has_sidecar=sidecar is not None)
        # Another file appeared under the name just now, and is not replaced.
        old_files = None
    raise StorageError(f"No free name was found after {MAX_NAMES_TRIED} tries.")


def _replace(
    old_files: "OldFiles", name: str, *, save: Callable[..., str], has_sidecar: bool
) -> str:
    version = old_files.examine_file(name)
    if version is None:
        # Another process may store the same file at this moment.
        return save(name, again=True)
    # Otherwise an old sidecar would be deleted, or a new one added to an old file.
    if has_sidecar == bool(version.sidecar):
        with suppress(NameTaken):
            return save(name, again=True)
    with old_files.replacing(name, version):
        return save(name)
