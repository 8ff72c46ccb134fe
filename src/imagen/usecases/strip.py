"""Write a copy of an image without its metadata."""

from collections.abc import Callable
from pathlib import PurePosixPath

import msgspec

from imagen.domain.errors import InvalidRequest
from imagen.domain.media import EXTENSIONS, guess_media_type
from imagen.domain.metadata.writer import strip_metadata
from imagen.domain.naming import candidate_names
from imagen.engine.old_files import OldFiles
from imagen.engine.save import save_file
from imagen.ports.storage import Storage
from imagen.usecases.find import FindImage


class StripImage(msgspec.Struct, frozen=True, kw_only=True):
    """Writes copies without prompt and metadata; the pixels do not change.

    Attributes:
        place_of: Returns the storage of the copy of an image, and the file name that
            the user gave it; None finds a free name.
        old_files: Moves an existing file of that name to the trash; None if the user
            gave none.
    """

    find: FindImage
    place_of: Callable[[str], tuple[Storage, str | None]]
    old_files: OldFiles | None = None

    def run(self, name: str) -> str:
        """Write a copy of the image with that name, and return its location.

        Raises:
            InvalidRequest: no such image exists, its format is not supported, the
                suffix of the copy does not match its format, or the existing file
                cannot be moved to the trash.
            StorageError: the copy cannot be stored.
        """
        found, content = self.find.load(name)
        bare = strip_metadata(content)
        storage, copy_name = self.place_of(found.location)
        media_type = found.media_type
        if copy_name is None:
            path = PurePosixPath(found.location)
            copy_name = f"{path.stem}-stripped{path.suffix}"
        elif guess_media_type(copy_name) != media_type:
            raise InvalidRequest(
                f"The copy of {found.location} has the same format, {media_type}.",
                hint=f"Name the copy .{EXTENSIONS[media_type]}.",
            )
        return save_file(
            storage,
            candidate_names(copy_name),
            bare,
            media_type=media_type,
            old_files=self.old_files,
        )
