"""Fetches the files of a finished job."""

from functools import partial

from imagen.adapters.backends.comfyui.client import ComfyClient
from imagen.adapters.backends.comfyui.protocol import OutputFile
from imagen.adapters.backends.comfyui.run import (
    FAST_POLL_INTERVAL,
    GRACE_PERIOD,
    MAX_OUTAGE,
)
from imagen.adapters.remote.client import BackgroundCall, is_truncated
from imagen.domain.errors import BackendError, ImagenError, Unavailable, Unfinished
from imagen.ports.backend import JobContext

_DOWNLOAD_TRIES = 4


def read_download(
    server: ComfyClient, file: OutputFile, context: JobContext
) -> tuple[bytes, str]:
    """Return a whole file, and of what type the server calls it.

    One that was cut off on its way is fetched again; one that stays as it is, is
    returned as it is. A server that is away is waited for: it still has the file.

    Raises:
        Gone: the server has it no more.
        Unfinished: it is there, but it could not be fetched.
    """
    cut: list[tuple[bytes, str]] = []
    failures, absent = 0, 0.0
    while True:
        try:
            found = BackgroundCall(partial(server.download, file)).result(context)
        except Unavailable as error:
            trouble: ImagenError = error
            absent += FAST_POLL_INTERVAL
        except BackendError as error:
            trouble, failures = error, failures + 1
        else:
            if not is_truncated(found[0]) or len(cut) + 1 == _DOWNLOAD_TRIES:
                return found
            cut.append(found)
            context.sleep(GRACE_PERIOD * len(cut))
            continue
        if failures == _DOWNLOAD_TRIES or absent > MAX_OUTAGE:
            raise Unfinished(
                f"{server.name} made the image, but it could not be fetched:"
                f" {trouble.message}"
            ) from trouble
        context.sleep(
            GRACE_PERIOD if failures + absent < _DOWNLOAD_TRIES else FAST_POLL_INTERVAL
        )
