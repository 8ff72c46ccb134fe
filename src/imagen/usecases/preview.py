"""Show images that were just stored. A failed preview has no other effect."""

from collections.abc import Callable

import msgspec

from imagen.domain.events import Listener, PreviewFailed
from imagen.domain.result import StoredImage
from imagen.ports.preview import Preview, PreviewError

MOST_PREVIEWS = 4
"""Previews for one request; further images are not shown."""


class PreviewImages(msgspec.Struct, kw_only=True, eq=False):
    """Shows the first few images of one request."""

    preview: Preview
    locate: Callable[[str], str]
    listen: Listener
    left: int = MOST_PREVIEWS

    def run(self, image: StoredImage) -> None:
        """Show the image if it is one of the first; never raise."""
        if not self.left:
            return
        self.left -= 1
        if image.location == "-":
            self._fail("the image was written to standard output")
            return
        try:
            self.preview.show(self.locate(image.location))
        except PreviewError as why:
            self._fail(str(why))
        except Exception as error:  # noqa: BLE001 - the image is stored anyway
            self._fail(f"internal error: {type(error).__name__}: {error}")

    def _fail(self, reason: str) -> None:
        # The next image would fail for the same reason, so one report is enough.
        self.left = 0
        self.listen(PreviewFailed(reason=reason))
