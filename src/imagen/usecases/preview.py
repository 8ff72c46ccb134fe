"""Show images that were just stored. A failed preview has no other effect."""

from collections.abc import Callable

from imagen.domain.events import Listener, PreviewFailed
from imagen.domain.result import StoredImage
from imagen.ports import preview as port
from imagen.ports.preview import Preview

MOST_PREVIEWS = 4
"""Previews for one request; further images are not shown."""

STREAM = "-"


class PreviewImages:
    """Shows the first few images of one request."""

    def __init__(
        self, preview: Preview, *, locate: Callable[[str], str], listen: Listener
    ) -> None:
        self._preview = preview
        self._locate = locate
        self._listen = listen
        self._left = MOST_PREVIEWS

    def run(self, image: StoredImage) -> None:
        """Show the image if it is one of the first; never raise."""
        if not self._left:
            return
        self._left -= 1
        if image.location == STREAM:
            self._fail("the image was written to standard output")
            return
        try:
            self._preview.show(self._locate(image.location))
        except port.PreviewError as why:
            self._fail(str(why))
        except Exception as error:  # noqa: BLE001 - the image is stored anyway
            self._fail(f"internal error: {type(error).__name__}: {error}")

    def _fail(self, reason: str) -> None:
        # The next image would fail for the same reason, so one report is enough.
        self._left = 0
        self._listen(PreviewFailed(reason=reason))
