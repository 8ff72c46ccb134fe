"""Checks of downloaded images."""

from imagen.domain.media import EXTENSIONS
from imagen.formats.container import NotAnImage, read_facts
from imagen.formats.file_type import guess_file_type

_SHORTEST = 12
"""Bytes that show the format of every image."""


def is_truncated(content: bytes) -> bool:
    """Return whether the content is empty or an incomplete image of a known format."""
    try:
        read_facts(content)
    except NotAnImage:
        # An HTML error page has no image signature: downloading it again would not
        # help.
        is_image = guess_file_type(content)[0] in EXTENSIONS
        return is_image or len(content) < _SHORTEST
    return False
