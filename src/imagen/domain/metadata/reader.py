"""The reader of generation metadata in an image file."""

from imagen.domain.metadata.dialects import read_recipes
from imagen.domain.metadata.embedded import EmbeddedMetadata
from imagen.formats.container import read_facts
from imagen.formats.jpeg import read_jpeg_metadata
from imagen.formats.png import read_png_metadata
from imagen.formats.texts import Texts
from imagen.formats.webp import read_webp_metadata
from imagen.formats.xmp import SOURCE_TYPE, SOURCE_TYPES, XMP_KEY, find_xmp_property

_READERS = {
    "image/png": read_png_metadata,
    "image/jpeg": read_jpeg_metadata,
    "image/webp": read_webp_metadata,
}


def read_embedded_metadata(content: bytes) -> EmbeddedMetadata:
    """Return all generation metadata of a file.

    Time and memory are proportional to the size of the file, plus a constant, even for
    hostile files. Data beyond the limits is left out, with a warning.

    Raises:
        NotAnImage: the file is not a complete image of a format that imagen stores.
    """
    facts, texts = read_facts(content), Texts()
    if read := _READERS.get(facts.media_type):
        read(content, texts)
    source_type = find_xmp_property(texts.found.get(XMP_KEY, ""), SOURCE_TYPE)
    return EmbeddedMetadata(
        facts=facts,
        recipes=tuple(read_recipes(texts)),
        source_type=source_type.removeprefix(SOURCE_TYPES),
        texts=texts.found,
        warnings=(*facts.warnings, *texts.warnings),
    )
