"""Make a copy of an image that says nothing about its making."""

from collections.abc import Callable
from itertools import islice
from pathlib import PurePosixPath

import msgspec

from imagen.domain.errors import InvalidRequest, NameTaken, StorageError
from imagen.domain.media import EXTENSIONS, guess_media_type
from imagen.domain.metadata.writer import strip_metadata
from imagen.domain.naming import candidate_names
from imagen.ports.storage import Storage
from imagen.usecases.find import FindImage

MOST_NAMES_TRIED = 10_000


class CopyTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a copy goes.

    Attributes:
        storage: The folder, or the stream.
        name: Of the file, which is replaced; None finds a free name.
    """

    storage: Storage
    name: str | None = None


class StripImage(msgspec.Struct, frozen=True, kw_only=True):
    """Writes copies without prompt or metadata; the pixels stay as they are.

    Attributes:
        find: Finds the images.
        place_of: Says where the copy of the image at some place goes.
    """

    find: FindImage
    place_of: Callable[[str], CopyTarget]

    def run(self, name: str) -> str:
        """Write the copy of the image of that name, and return where it is.

        Raises:
            InvalidRequest: there is no such image, or its format cannot be stripped,
                or is another than that of the file that the copy is to be.
            JournalError: the history cannot be read, and is needed.
            StorageError: the copy cannot be written.
        """
        found, content = self.find.load(name)
        bare = strip_metadata(content)
        place = self.place_of(found.location)
        media_type = found.media_type
        if place.name is not None:
            if guess_media_type(place.name) != media_type:
                raise InvalidRequest(
                    f"A copy of {found.location} is {media_type}, as it is itself.",
                    hint=f"Name it .{EXTENSIONS[media_type]}.",
                )
            return place.storage.save(
                place.name, bare, media_type=media_type, replace=True
            )
        for copy in islice(
            candidate_names(_copy_name(found.location)), MOST_NAMES_TRIED
        ):
            try:
                return place.storage.save(copy, bare, media_type=media_type)
            except NameTaken:
                continue
        raise StorageError(f"No free name was found after {MOST_NAMES_TRIED} tries.")


def _copy_name(location: str) -> str:
    path = PurePosixPath(location)
    return f"{path.stem}-stripped{path.suffix}"
