"""A contact sheet, built while the images of a sweep are generated."""

from collections.abc import Callable
from contextlib import suppress

import msgspec

from imagen.domain.contact_sheet import (
    CellResult,
    Sheet,
    build_cell_result,
    build_sheet,
)
from imagen.domain.errors import InvalidRequest, StorageError
from imagen.domain.naming import (
    Destination,
    NameFacts,
    candidate_names,
    expand_template,
)
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.sweep import SweepPlan
from imagen.engine.old_files import OldFiles
from imagen.engine.save import save_file
from imagen.ports.contact_sheet import SheetRenderer
from imagen.ports.storage import Storage


class SavedSheet(msgspec.Struct, frozen=True, kw_only=True):
    """The locations of a contact sheet as a PNG and as an HTML page."""

    picture_location: str
    page_location: str


class ContactSheet(msgspec.Struct, kw_only=True, eq=False):
    """Collects a thumbnail of each image, and no full-size image.

    Attributes:
        link: Converts the location of an image to a URL relative to the page name.
        old_files: Moves existing files to the trash if the user named the images; None
            replaces no file.
    """

    plan: SweepPlan
    renderer: SheetRenderer
    storage: Storage
    destination: Destination
    link: Callable[[str, str], str]
    old_files: OldFiles | None = None
    cells: dict[int, CellResult] = {}

    def check_place(self) -> None:
        """Check that existing files of the sheet's names can be moved to the trash.

        Raises:
            InvalidRequest: one of them cannot.
        """
        if self.old_files is not None:
            for extension in ("html", "png"):
                self.old_files.examine_file(f"{self._stem()}.{extension}")

    def add(self, outcome: StoredImage | FailedImage) -> None:
        """Add the outcome of a cell."""
        image = outcome.rescued if isinstance(outcome, FailedImage) else outcome
        thumbnail = None
        if image is not None:
            # Without a thumbnail, the cell still shows the parameters.
            with suppress(StorageError):
                thumbnail = self.renderer.make_thumbnail(image.content)
        self.cells[outcome.number] = build_cell_result(outcome, thumbnail)

    @property
    def is_empty(self) -> bool:
        """True if the sheet has no image."""
        return not any(made.sidecar for made in self.cells.values())

    def sheet(self, name: str = "") -> Sheet:
        """Return the current sheet.

        Args:
            name: The name of the page, to which links are relative.
        """
        links = {
            number: self.link(made.location, name)
            for number, made in self.cells.items()
            if made.location
        }
        return build_sheet(self.plan, self.cells, links)

    def save(self) -> SavedSheet:
        """Store the sheet as a PNG and as an HTML page, beside the images.

        Raises:
            StorageError: one of the files cannot be stored.
        """
        stem = self._stem()
        page = self.renderer.render_html(self.sheet(stem))
        picture = self.renderer.render_png(self.sheet(stem))
        return SavedSheet(
            page_location=self._save(f"{stem}.html", page, "text/html"),
            picture_location=self._save(f"{stem}.png", picture, "image/png"),
        )

    def _stem(self) -> str:
        if self.destination.name is not None:
            return self.destination.name.rpartition(".")[0] + "-sheet"
        first = self.plan.plans[0]
        facts = NameFacts(
            at=first.at,
            prompt=first.request.prompt,
            seed=None,
            backend=first.instance.name,
            extension="png",
        )
        folder, slash, _ = self.destination.template.rpartition("/")
        template = folder + slash + "{date}-{time}-{slug}-sheet"
        return expand_template(template, facts).removesuffix(".png")

    def _save(self, name: str, content: bytes, media_type: str) -> str:
        try:
            return save_file(
                self.storage,
                candidate_names(name),
                content,
                media_type=media_type,
                old_files=self.old_files,
            )
        except InvalidRequest as error:
            # The images exist by now, so this is not a failure of the request.
            raise StorageError(error.message, hint=error.hint) from error
