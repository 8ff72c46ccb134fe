"""Whether the server can generate images now, for load balancers and monitoring."""

import os
import shutil
from pathlib import Path

from imagen.domain.errors import ImagenError
from imagen.server.jobs.service import ServerContext

MIN_FREE_BYTES = 100_000_000
"""Free space below which the disk counts as full."""
OK = "ok"


def check_readiness(context: ServerContext) -> dict[str, str]:
    """Return `ok` or the problem of each part; reads files, sends nothing.

    The texts are for everyone: they name no path.
    """
    workers = OK if context.workers.available else "no worker process responds"
    return {
        "account": _check_account(context),
        "disk": _check_disk(context),
        "workers": workers,
        "backends": _check_backends(context),
    }


def _check_account(context: ServerContext) -> str:
    try:
        context.stores.journal.list_open()
    except ImagenError:
        return "the database cannot be read"
    return OK


def _check_disk(context: ServerContext) -> str:
    output = context.settings.output.dir
    for name, folder in (
        ("images", output),
        ("database", context.runtime.environment.data_dir),
    ):
        existing = _find_existing(folder)
        try:
            free = shutil.disk_usage(existing).free
        except OSError:
            return f"the folder of the {name} cannot be read"
        if not os.access(existing, os.W_OK | os.X_OK):
            return f"the folder of the {name} cannot be written"
        if free < MIN_FREE_BYTES:
            return f"the disk of the {name} is full"
    return OK


def _find_existing(folder: Path) -> Path:
    """Return the folder, or the one in which it would be created."""
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.exists())


def _check_backends(context: ServerContext) -> str:
    """Check that the default backend, or else any, can be used as configured."""
    default = context.settings.default_backend
    names = list(context.settings.backends) if default is None else [default]
    for name in names:
        try:
            context.runtime.get_backend(name).capabilities()
        except ImagenError:
            continue
        return OK
    return "the default backend cannot be used" if default else "no backend can be used"
