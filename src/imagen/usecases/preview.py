"""Show images that were just made; whatever becomes of that, they are stored."""

from collections.abc import Callable

from imagen.domain.events import Listener, PreviewFailed
from imagen.domain.result import StoredImage
from imagen.ports import preview as port
from imagen.ports.preview import Preview

MOST_PREVIEWS = 4
"""For one request; the others are stored without a word."""

STREAM = "-"


class PreviewImages:
    """Shows the first few images of one request.

    Args:
        preview: Where they are shown.
        locate: Says where a stored image is found from anywhere.
        listen: Hears of what cannot be shown.
    """

    def __init__(
        self, preview: Preview, *, locate: Callable[[str], str], listen: Listener
    ) -> None:
        self._preview = preview
        self._locate = locate
        self._listen = listen
        self._left = MOST_PREVIEWS

    def run(self, image: StoredImage) -> None:
        """Show the image if it is one of the first; raise nothing."""
        if not self._left:
            return
        self._left -= 1
        if image.location == STREAM:
            self._fail("the image went to standard output")
            return
        try:
            self._preview.show(self._locate(image.location))
        except port.PreviewError as why:
            self._fail(str(why))
        except Exception as error:  # noqa: BLE001 - it is only a preview
            self._fail(f"a fault of our own: {type(error).__name__}: {error}")

    def _fail(self, reason: str) -> None:
        self._left = 0  # nor could the next one be shown
        self._listen(PreviewFailed(reason=reason))
