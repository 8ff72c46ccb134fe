"""Fetches the files of a finished job."""

from functools import partial

from imagen.adapters.backends.comfyui.client import ComfyClient
from imagen.adapters.backends.comfyui.protocol import File
from imagen.adapters.backends.comfyui.run import GRACE, LONGEST_AWAY, LOOK_EVERY_BLINDLY
from imagen.adapters.remote.client import BackgroundCall, is_truncated
from imagen.domain.errors import BackendError, ImagenError, Unavailable, Unfinished
from imagen.ports.backend import JobContext

_FETCHES = 4


def read_download(
    server: ComfyClient, file: File, context: JobContext
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
            found = BackgroundCall(partial(server.view, file)).result(context)
        except Unavailable as error:
            trouble: ImagenError = error
            absent += LOOK_EVERY_BLINDLY
        except BackendError as error:
            trouble, failures = error, failures + 1
        else:
            if not is_truncated(found[0]) or len(cut) + 1 == _FETCHES:
                return found
            cut.append(found)
            context.sleep(GRACE * len(cut))
            continue
        if failures == _FETCHES or absent > LONGEST_AWAY:
            raise Unfinished(
                f"{server.name} made the image, but it could not be fetched:"
                f" {trouble.message}"
            ) from trouble
        context.sleep(GRACE if failures + absent < _FETCHES else LOOK_EVERY_BLINDLY)
