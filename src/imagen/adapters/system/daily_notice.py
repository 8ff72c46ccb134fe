"""Say something at most once a day, however many processes want to say it."""

import os
from contextlib import suppress
from datetime import date
from pathlib import Path

from imagen.adapters.system.private_files import create_private_file


def claim_day(folder: Path, name: str, day: date) -> bool:
    """Return whether this is the first claim of that name on that day.

    Args:
        folder: The folder for the mark of the day; without it, there is no claim.
        name: The name of the notice.
        day: A UTC date.
    """
    mark = folder / f"{name}-{day}"
    try:
        os.close(create_private_file(mark))
    except OSError:
        return False
    for older in folder.glob(f"{name}-*"):
        if older != mark:
            with suppress(OSError):
                older.unlink()
    return True
