"""From an image file to all that it says of how it was made."""

from imagen.domain.container import read_facts
from imagen.domain.dialects import recipes_of
from imagen.domain.jpeg import find_in_jpeg
from imagen.domain.making import Making
from imagen.domain.png import find_in_png
from imagen.domain.texts import Texts
from imagen.domain.webp import find_in_webp
from imagen.domain.xmp import SOURCE_TYPE, SOURCE_TYPES, XMP_KEY, xmp_property


def read_making(content: bytes) -> Making:
    """Return all that the file says of how it was made.

    However hostile the file, this takes time and memory in proportion to its size, and
    at most a fixed amount more; what is left out for that is among the warnings.

    Raises:
        NotAnImage: it is no PNG, JPEG, WebP or GIF, or not a whole one.
    """
    facts, texts = read_facts(content), Texts()
    match facts.media_type:
        case "image/png":
            find_in_png(content, texts)
        case "image/jpeg":
            find_in_jpeg(content, texts)
        case "image/webp":
            find_in_webp(content, texts)
        case _:
            pass
    source_type = xmp_property(texts.found.get(XMP_KEY, ""), SOURCE_TYPE)
    return Making(
        facts=facts,
        recipes=tuple(recipes_of(texts)),
        source_type=source_type.removeprefix(SOURCE_TYPES),
        texts=texts.found,
        warnings=tuple(texts.warnings),
    )
