"""The images, sweeps, estimates and jobs that the Python API returns."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from imagen.bootstrap.library import read_stored_image
from imagen.domain.errors import InvalidRequest
from imagen.domain.estimate import Estimate
from imagen.domain.history import HistoryEntry
from imagen.domain.result import StoredImage
from imagen.domain.sidecar import Sidecar
from imagen.usecases.jobs import UnfinishedCommand, UnfinishedJob

if TYPE_CHECKING:
    from PIL import Image as PillowImage


class Image:
    """An image that was generated and stored; shows itself in a notebook.

    The content of an image from the history is read from its file on each use, and
    raises `InvalidRequest` if the file was deleted or changed.
    """

    def __init__(self, record: StoredImage | HistoryEntry) -> None:
        self._record = record

    def __repr__(self) -> str:
        return f"<imagen.Image {self.path} {self.width}x{self.height} seed={self.seed}>"

    @property
    def path(self) -> Path:
        """The path of the file."""
        return Path(self._record.location)

    @property
    def sidecar(self) -> Sidecar:
        """The record of how the image was generated."""
        return self._record.sidecar

    @property
    def bytes(self) -> bytes:
        """The content of the file."""
        record = self._record
        if isinstance(record, StoredImage):
            return record.content
        content = read_stored_image(record)
        if content is None:
            raise InvalidRequest(
                f"The file {record.location} was deleted or changed.",
                hint="`imagen trash list` lists the files that can be restored.",
            )
        return content

    @property
    def mime_type(self) -> str:
        """The media type of the file, such as `image/png`."""
        return self.sidecar.mime_type

    @property
    def seed(self) -> int | None:
        """The seed that was used; None if the backend takes none."""
        return self.sidecar.seed

    @property
    def width(self) -> int:
        """The width of the file in pixels."""
        return self.sidecar.width

    @property
    def height(self) -> int:
        """The height of the file in pixels."""
        return self.sidecar.height

    @property
    def cost_usd(self) -> float | None:
        """The cost in dollars; None if it is unknown."""
        return self.sidecar.cost_usd

    @property
    def extras(self) -> "list[Image]":
        """Images that the same call made beyond the requested ones.

        Without `count`, these are also the other images of a workflow's batch.
        """
        if isinstance(self._record, HistoryEntry):
            return []
        return [Image(each) for each in self._record.extras]

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

        try:
            content = self.bytes
        except InvalidRequest:
            content = None
        figure = render_figure(self.sidecar, self._record.location, content)
        return {"text/html": figure, "text/plain": repr(self)}


class Images(list[Image]):
    """The images of one request; shows itself as a grid in a notebook."""

    def join(self) -> Image:
        """Return the first image; the others are among its extras."""
        records = (image._record for image in self)  # noqa: SLF001 - same module
        first, *others = (each for each in records if isinstance(each, StoredImage))
        if not others:
            return self[0]
        rest = [one for other in others for one in (other, *other.extras)]
        return Image(msgspec.structs.replace(first, extras=(*first.extras, *rest)))

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from imagen.adapters.display.notebook import render_grid  # noqa: PLC0415 - rare

        figures = (image._repr_mimebundle_()["text/html"] for image in self)
        return {"text/html": render_grid(figures), "text/plain": repr(self)}


class ShownEstimate(Estimate, frozen=True, kw_only=True):
    """What would be sent, and its cost; shows itself as a table in a notebook."""

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from imagen.adapters.display.notebook import render_facts  # noqa: PLC0415 - rare

        return {"text/html": render_facts(self.describe()), "text/plain": repr(self)}


class Jobs(list[UnfinishedJob]):
    """The unfinished jobs, the oldest first.

    Attributes:
        commands: The interrupted commands of several images.
    """

    def __init__(
        self, jobs: Iterable[UnfinishedJob], commands: Iterable[UnfinishedCommand]
    ) -> None:
        super().__init__(jobs)
        self.commands = list(commands)


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
