"""Read and write secrets in the keyring of the desktop; the extra `keyring`."""

import re
from collections.abc import Generator
from contextlib import contextmanager

from imagen.adapters.system.installation import format_install_command
from imagen.domain.errors import Misconfigured

_NAME = re.compile(r"keyring:([^\s/:]+)/([^\s/:]+)")


def read_secret(name: str) -> str:
    """Return the secret of `keyring:SERVICE/NAME`; "" if there is none.

    Raises:
        Misconfigured: the extra is not installed, or the keyring cannot be read.
    """
    service, user = _parse(name)
    with _opening(name):
        from keyring import get_password  # noqa: PLC0415 - an extra

        return get_password(service, user) or ""


def store_secret(name: str, secret: str) -> None:
    """Store a secret as `keyring:SERVICE/NAME`.

    Raises:
        Misconfigured: the extra is not installed, or the keyring cannot be written.
    """
    service, user = _parse(name)
    with _opening(name):
        from keyring import set_password  # noqa: PLC0415 - an extra

        set_password(service, user, secret)


@contextmanager
def _opening(name: str) -> Generator[None]:
    try:
        from keyring.errors import KeyringError  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise Misconfigured(
            f"{name} needs the extra `keyring`, which is not installed.",
            hint=f"Run: {format_install_command('keyring')}",
        ) from error
    try:
        yield
    except KeyringError as error:
        # Of the message only the first line: some back ends append instructions.
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise Misconfigured(
            f"{name} cannot be used: {reason.rstrip('.')}.",
            hint="Unlock the keyring, or put the key into an environment variable.",
        ) from error


def _parse(name: str) -> tuple[str, str]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise Misconfigured(f"{name!r} is not keyring:SERVICE/NAME.")
    return found[1], found[2]
