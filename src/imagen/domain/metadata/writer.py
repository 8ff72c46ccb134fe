"""Embedding and removal of metadata in image files."""

from imagen.domain.errors import Unsupported
from imagen.domain.metadata.infotext import write_infotext
from imagen.domain.result import AI_GENERATED
from imagen.domain.sidecar import Sidecar, write_embedded_sidecar
from imagen.formats.container import ImageFacts, read_facts
from imagen.formats.exif import build_exif
from imagen.formats.png import insert_png_texts, strip_png
from imagen.formats.xmp import SOURCE_TYPE, SOURCE_TYPES, XMP_KEY, build_xmp_packet

_NOTE = "imagen:note"


def embed_metadata(
    content: bytes,
    facts: ImageFacts,
    sidecar: Sidecar,
    *,
    source_type: str = AI_GENERATED,
) -> bytes:
    """Return the file with the sidecar embedded, if the format allows it.

    IPTC's fields for the model and its prompt are written for AI-generated images only.

    The compressed pixels and all existing data stay unchanged, in their order. An
    existing text, EXIF block or XMP packet takes precedence over imagen's own.
    """
    # Any change would invalidate the signature of a C2PA manifest.
    if facts.signed:
        return content
    infotext, note = write_infotext(sidecar), write_embedded_sidecar(sidecar)
    software = f"imagen {sidecar.imagen_version}"
    properties = {
        "xmp:CreatorTool": software,
        SOURCE_TYPE: SOURCE_TYPES + source_type,
    }
    if source_type == AI_GENERATED:
        properties |= {
            "Iptc4xmpExt:AISystemUsed": sidecar.model or sidecar.backend,
            "Iptc4xmpExt:AIPromptInformation": sidecar.prompt_sent,
        }
    match facts.media_type:
        case "image/png":
            texts = {"imagen": note, "parameters": infotext}
            texts[XMP_KEY] = build_xmp_packet(properties)
            return insert_png_texts(content, texts)
        case "image/jpeg":
            from imagen.formats.jpeg import insert_jpeg_metadata  # noqa: PLC0415 - rarer

            block = build_exif(infotext, software=software)
            return insert_jpeg_metadata(content, block, {**properties, _NOTE: note})
        case "image/webp":
            from imagen.formats.webp import insert_webp_metadata  # noqa: PLC0415 - rarer

            block = build_exif(infotext, software=software)
            return insert_webp_metadata(content, block, {**properties, _NOTE: note})
        case _:
            return content


def strip_metadata(content: bytes) -> bytes:
    """Return the file without metadata and without data after the end of the image.

    Everything that affects the display stays unchanged: the compressed pixels, frames
    and their timing, transparency, background, the colour profile and other colour
    information, pixel density and aspect ratio, and the orientation.

    Raises:
        NotAnImage: the file is not a complete image of a format that imagen stores.
        Unsupported: the file is a GIF, AVIF or SVG.
    """
    match read_facts(content).media_type:
        case "image/png":
            return strip_png(content)
        case "image/jpeg":
            from imagen.formats.jpeg import strip_jpeg  # noqa: PLC0415 - rarer

            return strip_jpeg(content)
        case "image/webp":
            from imagen.formats.webp import strip_webp  # noqa: PLC0415 - rarer

            return strip_webp(content)
        case other:
            raise Unsupported(
                f"Removing metadata from {other} is not supported.",
                hint="imagen strip supports PNG, JPEG and WebP.",
            )
