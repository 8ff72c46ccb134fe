"""The images and sweeps that the Python API returns."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from imagen.domain.result import StoredImage
from imagen.domain.sidecar import Sidecar

if TYPE_CHECKING:
    from PIL import Image as PillowImage


class Image:
    """An image that was generated and stored; shows itself in a notebook."""

    def __init__(self, stored: StoredImage) -> None:
        self._stored = stored

    def __repr__(self) -> str:
        return f"<imagen.Image {self.path} {self.width}x{self.height} seed={self.seed}>"

    @property
    def path(self) -> Path:
        """The path of the file."""
        return Path(self._stored.location)

    @property
    def sidecar(self) -> Sidecar:
        """The record of how the image was generated."""
        return self._stored.sidecar

    @property
    def bytes(self) -> bytes:
        """The content of the file."""
        return self._stored.content

    @property
    def mime_type(self) -> str:
        """The media type of the file, such as `image/png`."""
        return self._stored.facts.media_type

    @property
    def seed(self) -> int | None:
        """The seed that was used; None if the backend takes none."""
        return self.sidecar.seed

    @property
    def width(self) -> int:
        """The width in pixels, read from the file."""
        return self._stored.facts.width

    @property
    def height(self) -> int:
        """The height in pixels, read from the file."""
        return self._stored.facts.height

    @property
    def cost_usd(self) -> float | None:
        """The cost in dollars; None if it is unknown."""
        return self.sidecar.cost_usd

    @property
    def extras(self) -> "list[Image]":
        """Images that the same call made beyond the requested ones.

        Without `count`, these are also the other images of a workflow's batch.
        """
        return [Image(each) for each in self._stored.extras]

    def pil(self) -> "PillowImage.Image":
        """Return the image as a `PIL.Image.Image`."""
        from io import BytesIO  # noqa: PLC0415 - only here

        from PIL import Image as pillow  # noqa: N813 - costs Pillow

        picture = pillow.open(BytesIO(self.bytes))
        picture.load()
        return picture

    # A notebook passes `include` and `exclude`, and selects from the bundle itself too.
    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return the picture with its caption, as HTML and as text."""
        from imagen.adapters.display.notebook import render_figure  # noqa: PLC0415 - rare

        return {"text/html": render_figure(self._stored), "text/plain": repr(self)}


class Images(list[Image]):
    """The images of one request; shows itself as a grid in a notebook."""

    def join(self) -> Image:
        """Return the first image; the others are among its extras."""
        first, *others = (image._stored for image in self)  # noqa: SLF001 - same module
        if not others:
            return self[0]
        rest = [one for other in others for one in (other, *other.extras)]
        return Image(msgspec.structs.replace(first, extras=(*first.extras, *rest)))

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from imagen.adapters.display.notebook import render_grid  # noqa: PLC0415 - rare

        stored = [image._stored for image in self]  # noqa: SLF001 - same module
        return {"text/html": render_grid(stored), "text/plain": repr(self)}


class Sweep(msgspec.Struct, eq=False):
    """The images of a sweep and its contact sheet, which a notebook shows.

    Attributes:
        images: In the order of the combinations.
        cells: For each image, the values that it was generated with, by name.
        page: The contact sheet as HTML; None if there is none.
        picture: The contact sheet as PNG; None if there is none.
    """

    images: Images
    cells: list[Mapping[str, object]]
    page: Path | None
    picture: Path | None

    def __repr__(self) -> str:
        page = f" {self.page}" if self.page else ""
        return f"<imagen.Sweep of {len(self.images)} images{page}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        if self.picture is None:
            return {**self.images._repr_mimebundle_()}
        from base64 import b64encode  # noqa: PLC0415 - rare

        data = b64encode(self.picture.read_bytes()).decode()
        return {"image/png": data, "text/plain": repr(self)}
