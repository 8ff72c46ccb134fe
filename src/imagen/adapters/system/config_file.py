"""Write the config file: a new one, or a changed one in place of the old."""

import os
from contextlib import suppress
from pathlib import Path

from imagen.domain.errors import Misconfigured


def create_config(path: Path, text: str) -> None:
    """Write a new config file; create its folder if there is none.

    Raises:
        Misconfigured: the file exists already, or it cannot be written.
    """
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
        file = path.open("x", encoding="utf-8")
    except FileExistsError as error:
        if not path.parent.is_dir():
            raise _cannot_write(path, error) from error
        raise Misconfigured(
            f"The config file {path} exists already; nothing was written.",
            hint="`imagen setup` adds a backend to it. Otherwise move it away first.",
        ) from None
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with file:
            file.write(text)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from error
        raise


def replace_config(path: Path, text: str, *, previous: bytes) -> None:
    """Replace a config file; other processes see the old or the new one.

    A link stays a link, and the file keeps its permissions.

    Args:
        path: The config file.
        text: The new content.
        previous: The content that the new one was made from.

    Raises:
        Misconfigured: the file was changed in the meantime, or it cannot be written.
    """
    target = Path(os.path.realpath(path))
    check_regular(target)
    draft = target.with_name(f"{target.name}.{os.urandom(8).hex()}.part")
    try:
        if target.read_bytes() != previous:
            raise Misconfigured(
                f"The config file {path} was changed in the meantime; "
                "nothing was written.",
                hint="Run the command again.",
            )
        try:
            draft.write_text(text, encoding="utf-8")
            found = target.stat()
            draft.chmod(found.st_mode)
            # For root, who may edit the file of another user.
            with suppress(OSError):
                os.chown(draft, found.st_uid, found.st_gid)
            draft.replace(target)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
    except OSError as error:
        raise _cannot_write(path, error) from error


def check_regular(path: Path) -> None:
    """Check that an existing config is a file that can be replaced, not a device.

    Raises:
        Misconfigured: it is something else, such as /dev/null.
    """
    if not path.is_file():
        raise Misconfigured(
            f"The config file {path} is not a regular file; nothing was written.",
            hint="Choose another place: unset IMAGEN_CONFIG, or give --config PATH.",
        )


def _cannot_write(path: Path, error: OSError) -> Misconfigured:
    reason = error.strerror or type(error).__name__
    return Misconfigured(
        f"The config file {path} cannot be written: {reason}.",
        hint="Check the permissions, or choose another place with --config PATH.",
    )
