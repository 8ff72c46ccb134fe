"""Render contact sheets and their thumbnails with Pillow."""

from io import BytesIO

from PIL import Image

from imagen.adapters.imaging.pixels import UNREADABLE, apply_orientation, open_image
from imagen.adapters.imaging.sheet_page import render_page
from imagen.adapters.imaging.sheet_picture import render_picture
from imagen.domain.contact_sheet import Sheet, Thumbnail
from imagen.domain.errors import StorageError

THUMBNAIL = 480
"""The longer side of a thumbnail in pixels."""


class PillowSheetRenderer:
    """A renderer of contact sheets as PNG and HTML."""

    def make_thumbnail(self, content: bytes) -> Thumbnail:
        """Return a WebP of a few dozen kilobytes, rotated as its EXIF data says.

        Raises:
            StorageError: the file cannot be decoded.
        """
        try:
            with open_image(content) as image:
                # libjpeg decodes at a fraction of the size, which is much faster.
                image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
                picture = apply_orientation(image)
            picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
            buffer = BytesIO()
            picture.save(buffer, "WEBP", quality=82)
        except UNREADABLE as error:
            raise StorageError(f"The thumbnail cannot be drawn: {error}.") from error
        return Thumbnail(content=buffer.getvalue(), size=picture.size)

    def render_png(self, sheet: Sheet) -> bytes:
        """Return the sheet as a PNG."""
        return render_picture(sheet)

    def render_html(self, sheet: Sheet) -> bytes:
        """Return the sheet as an HTML page."""
        return render_page(sheet)
