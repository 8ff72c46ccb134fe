"""Write a copy of an image without its metadata."""

from collections.abc import Callable
from itertools import islice
from pathlib import PurePosixPath

import msgspec

from imagen.domain.errors import InvalidRequest, NameTaken, StorageError
from imagen.domain.media import EXTENSIONS, guess_media_type
from imagen.domain.metadata.writer import strip_metadata
from imagen.domain.naming import candidate_names
from imagen.engine.store import MAX_NAMES_TRIED
from imagen.ports.storage import Storage
from imagen.usecases.find import FindImage


class StripImage(msgspec.Struct, frozen=True, kw_only=True):
    """Writes copies without prompt and metadata; the pixels do not change.

    Attributes:
        place_of: Returns the storage of the copy of an image, and the file name, which
            is replaced if it exists; None finds a free name.
    """

    find: FindImage
    place_of: Callable[[str], tuple[Storage, str | None]]

    def run(self, name: str) -> str:
        """Write a copy of the image with that name, and return its location.

        Raises:
            InvalidRequest: no such image exists, its format is not supported, or the
                suffix of the copy does not match its format.
        """
        found, content = self.find.load(name)
        bare = strip_metadata(content)
        storage, copy_name = self.place_of(found.location)
        media_type = found.media_type
        if copy_name is not None:
            if guess_media_type(copy_name) != media_type:
                raise InvalidRequest(
                    f"The copy of {found.location} has the same format, {media_type}.",
                    hint=f"Name the copy .{EXTENSIONS[media_type]}.",
                )
            return storage.save(copy_name, bare, media_type=media_type, replace=True)
        # Never replaces a file: the name of the copy was not chosen by the user.
        path = PurePosixPath(found.location)
        names = candidate_names(f"{path.stem}-stripped{path.suffix}")
        for copy in islice(names, MAX_NAMES_TRIED):
            try:
                return storage.save(copy, bare, media_type=media_type)
            except NameTaken:
                continue
        raise StorageError(f"No free name was found after {MAX_NAMES_TRIED} tries.")
