"""The port for drawing contact sheets."""

from typing import Protocol

from imagen.domain.contact_sheet import Sheet, Thumbnail


class SheetRenderer(Protocol):
    """A renderer of contact sheets."""

    def make_thumbnail(self, content: bytes) -> Thumbnail:
        """Return the image, small enough for a sheet of hundreds.

        Raises:
            StorageError: the image cannot be decoded.
        """
        ...

    def render_png(self, sheet: Sheet) -> bytes:
        """Return the sheet as a PNG."""
        ...

    def render_html(self, sheet: Sheet) -> bytes:
        """Return the sheet as an HTML page that loads nothing from other addresses."""
        ...
