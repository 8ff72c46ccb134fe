"""Download of a finished job's image files."""

from functools import partial

from imagen.adapters.backends.comfyui.client import ComfyClient
from imagen.adapters.backends.comfyui.listener import FAST_POLL_INTERVAL, GRACE_PERIOD
from imagen.adapters.backends.comfyui.protocol import OutputFile
from imagen.adapters.backends.comfyui.run import MAX_OUTAGE
from imagen.adapters.remote.background import BackgroundCall
from imagen.adapters.remote.downloads import is_truncated
from imagen.domain.errors import BackendError, ImagenError, Unavailable, Unfinished
from imagen.ports.job_context import JobContext

_DOWNLOAD_TRIES = 4


def read_download(
    server: ComfyClient, file: OutputFile, context: JobContext
) -> tuple[bytes, str]:
    """Download a file; return its bytes and its media type according to the server.

    A truncated file is downloaded again, up to four times in all; the last body is
    returned even if it is truncated. While the server is unavailable, the download is
    retried for up to `MAX_OUTAGE` seconds: files survive a restart.

    Raises:
        FileGone: the server no longer has the file.
        Unfinished: the file exists, but the download failed.
    """
    truncated, failures, absent = 0, 0, 0.0
    while True:
        try:
            found = BackgroundCall(partial(server.download, file)).result(context)
        except Unavailable as error:
            reason: ImagenError = error
            absent += FAST_POLL_INTERVAL
        except BackendError as error:
            reason, failures = error, failures + 1
        else:
            if not is_truncated(found[0]) or truncated + 1 == _DOWNLOAD_TRIES:
                return found
            truncated += 1
            context.sleep(GRACE_PERIOD * truncated)
            continue
        if failures == _DOWNLOAD_TRIES or absent > MAX_OUTAGE:
            raise Unfinished(
                f"{server.name} made the image, but the download failed:"
                f" {reason.message}"
            ) from reason
        context.sleep(
            GRACE_PERIOD if failures + absent < _DOWNLOAD_TRIES else FAST_POLL_INTERVAL
        )
