"""Choose the folder for imagen's own files where the usual one cannot be used."""

import os
import stat
from os.path import lexists
from pathlib import Path


def can_hold_data(folder: Path) -> bool:
    """Return whether the folder can be used, or fails with an error of its own.

    False if it does not exist and cannot be created, or is empty and cannot be written.
    A folder with files is used in any case: what was recorded there can be read.
    """
    for each in (folder, *folder.parents):
        if lexists(each):
            # A file in its place is an error that the database reports.
            if os.access(each, os.W_OK | os.X_OK) or each.is_file():
                return True
            return each == folder and _has_files(folder)
    return False


def find_temporary_folder(named: str) -> Path | None:
    """Return a temporary folder of this user, which is created; None if none can be.

    It is the same for all processes of the user, so that one command sees what another
    has recorded.

    Args:
        named: The value of `$TMPDIR`; "" if it is not set.
    """
    for parent in (named, "/tmp", "/var/tmp"):  # noqa: S108 - the owner is checked
        if not parent:
            continue
        folder = Path(parent, f"imagen-{os.geteuid()}")
        try:
            if not lexists(folder):
                folder.mkdir(0o700)
            found = folder.lstat()
        except OSError:
            continue
        # Any user may create a folder of that name there, and would read the records.
        is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        if is_own and not found.st_mode & 0o077 and os.access(folder, os.W_OK):
            return folder
    return None


def _has_files(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entries)
    except OSError:
        return False
