"""Load the secret of this machine, created once and stored beside the database."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from imagen.adapters.system.private_files import (
    create_private_file,
    create_private_folder,
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
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with os.fdopen(create_private_file(draft), "wb") as file:
            file.write(os.urandom(LENGTH))
        # A link, not a rename: if another process created the secret first, its
        # secret must stay. Both processes then return the same one.
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    return path.read_bytes()
