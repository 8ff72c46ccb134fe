"""A fake of the image editor."""

from imagen.domain.errors import StorageError
from imagen.domain.fit import Fit
from imagen.domain.size import Size
from imagen.formats.container import NotAnImage, read_facts
from imagen.testing.fakes import tiny_png


class PlainEditor:
    """An image editor whose result is always a PNG of one colour.

    Attributes:
        calls: The media type and the fit of each call.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Fit | None]] = []

    def redraw(
        self, content: bytes, *, media_type: str, fit: Fit | None, size: Size | None
    ) -> bytes:
        """Return a plain image, in the given size if there is a fit."""
        self.calls.append((media_type, fit))
        try:
            facts = read_facts(content)
        except NotAnImage as error:
            raise StorageError(f"The image cannot be converted: {error}.") from error
        if media_type != "image/png":
            raise StorageError(f"PlainEditor cannot write {media_type}.")
        if fit is None or size is None:
            return tiny_png(facts.width, facts.height)
        return tiny_png(*size.sides)
