"""Load the secret of this machine, created once and stored beside the database."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from imagen.adapters.system.private_files import (
    create_private_folder,
    write_private_file,
)
from imagen.domain.errors import ImagenError

FILE = "secret"
LENGTH = 32


def load_secret(folder: Callable[[], Path]) -> bytes:
    """Return the secret of 32 bytes; a temporary one if it cannot be stored."""
    try:
        return _load_or_create(create_private_folder(folder()) / FILE)
    except (OSError, ImagenError):
        return os.urandom(LENGTH)


def _load_or_create(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        if len(secret := path.read_bytes()) == LENGTH:
            return secret
        path.unlink()
    # If another process created the secret first, its secret must stay. Both processes
    # then return the same one.
    with suppress(FileExistsError):
        write_private_file(path, os.urandom(LENGTH), replace=False)
    return path.read_bytes()
