"""A contact sheet, collected while the images of a sweep are made."""

from collections.abc import Callable
from contextlib import suppress

import msgspec

from imagen.domain.contact_sheet import (
    CellResult,
    Sheet,
    build_cell_result,
    build_sheet,
)
from imagen.domain.errors import NameTaken, StorageError
from imagen.domain.naming import (
    Destination,
    NameFacts,
    candidate_names,
    expand_template,
)
from imagen.domain.result import FailedImage, StoredImage
from imagen.domain.sweep import SweepPlan
from imagen.ports.contact_sheet import SheetRenderer
from imagen.ports.storage import Storage

_MOST_NAMES = 1000


class SavedSheet(msgspec.Struct, frozen=True, kw_only=True):
    """Where the two forms of a contact sheet are."""

    picture_location: str
    page_location: str


class ContactSheet:
    """Keeps a thumbnail of each image, and nothing else of it."""

    def __init__(
        self,
        plan: SweepPlan,
        *,
        renderer: SheetRenderer,
        storage: Storage,
        destination: Destination,
        link: Callable[[str, str], str],
    ) -> None:
        """Begin an empty sheet.

        Args:
            plan: The sweep that is shown.
            artist: Draws it.
            storage: Where the images go, and the sheet as well.
            destination: What they are called there.
            link: Turns where an image is, and what the page is called, into a URL.
        """
        self._plan = plan
        self._artist = renderer
        self._storage = storage
        self._destination = destination
        self._link = link
        self._made: dict[int, CellResult] = {}

    def add(self, outcome: StoredImage | FailedImage) -> None:
        """Show what became of a cell."""
        image = outcome.rescued if isinstance(outcome, FailedImage) else outcome
        thumbnail = None
        if image is not None:
            with suppress(StorageError):  # its cell says how it was made all the same
                thumbnail = self._artist.make_thumbnail(image.content)
        self._made[outcome.number] = build_cell_result(outcome, thumbnail)

    @property
    def is_empty(self) -> bool:
        """Whether there is no image to show."""
        return not any(made.sidecar for made in self._made.values())

    def sheet(self, name: str = "") -> Sheet:
        """Return the sheet as it is now.

        Args:
            name: What the page is called, which links are to start from.
        """
        links = {
            number: self._link(made.location, name)
            for number, made in self._made.items()
            if made.location
        }
        return build_sheet(self._plan, self._made, links)

    def save(self) -> SavedSheet:
        """Store the sheet as a picture and as a page, beside the images.

        Raises:
            StorageError: one of them could not be stored.
        """
        stem = self._stem()
        page = self._artist.render_html(self.sheet(stem))
        picture = self._artist.render_png(self.sheet(stem))
        return SavedSheet(
            page_location=self._save(f"{stem}.html", page, "text/html"),
            picture_location=self._save(f"{stem}.png", picture, "image/png"),
        )

    def _stem(self) -> str:
        if self._destination.name is not None:
            return self._destination.name.rpartition(".")[0] + "-sheet"
        first = self._plan.plans[0]
        facts = NameFacts(
            at=first.at,
            prompt=first.request.prompt,
            seed=None,
            backend=first.instance.name,
            extension="png",
        )
        folder, slash, _ = expand_template(
            self._destination.template, facts
        ).rpartition("/")
        return (
            folder + slash + expand_template("{date}-{time}-{slug}-sheet", facts)[:-4]
        )

    def _save(self, name: str, content: bytes, media_type: str) -> str:
        replace = self._destination.name is not None
        for free, _ in zip(candidate_names(name), range(_MOST_NAMES), strict=False):
            try:
                return self._storage.save(
                    free, content, media_type=media_type, replace=replace
                )
            except NameTaken:
                continue
        raise StorageError(f"No free name was found for {name}.")
